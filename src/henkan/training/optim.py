"""Float32 masters, the gradients that are summed for them, and the optimiser that moves them.

The module computes in its own parameters, bfloat16 or float32. Behind them lie three flat float32 buffers: masters,
gradient, and the optimiser's state. After each backward pass `collect` adds the parameters' gradients to the flat
gradient and frees them; the sum over ranks, the norm and the optimiser then each take one call whatever the number of
parameters; `publish` rounds the masters into the module. Of several ranks each may move only a part of the masters:
reduction.py. Outside these files everything goes by parameter name, so a checkpoint does not depend on how the buffers
are laid out or divided.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from henkan.config import Config
from henkan.errors import FolderError
from henkan.training import reduction
from henkan.training.reduction import ALIGNMENT

NonNegative = Annotated[float, Field(ge=0.0)]
Rate = Annotated[float, Field(gt=0.0)]
Decay = Annotated[float, Field(ge=0.0, lt=1.0)]


class AdamWConfig(Config):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019); betas as in Vaswani et al. 2017."""

    kind: Literal["adamw"] = "adamw"
    learning_rate: Rate = 1e-3  # the highest; the schedule multiplies it
    betas: tuple[Decay, Decay] = (0.9, 0.98)
    epsilon: Rate = 1e-9
    weight_decay: NonNegative = 0.01  # of matrices only; see `decays`

    def build(self, groups: list[dict]) -> torch.optim.Optimizer:
        """The optimiser over flat parameter groups."""
        return torch.optim.AdamW(groups, self.learning_rate, self.betas, self.epsilon, self.weight_decay, fused=True)


class SGDConfig(Config):
    """Stochastic gradient descent; without momentum and with rate 0.7 it is that of Sutskever et al. 2014."""

    kind: Literal["sgd"] = "sgd"
    learning_rate: Rate = 0.7
    momentum: Decay = 0.0
    weight_decay: NonNegative = 0.0

    def build(self, groups: list[dict]) -> torch.optim.Optimizer:
        """The optimiser over flat parameter groups."""
        return torch.optim.SGD(groups, self.learning_rate, self.momentum, weight_decay=self.weight_decay, fused=True)


class AdadeltaConfig(Config):
    """Step sizes from the ratio of past updates to past gradients (Zeiler 2012), as in Bahdanau et al. 2015."""

    kind: Literal["adadelta"] = "adadelta"
    learning_rate: Rate = 1.0
    rho: Decay = 0.95
    epsilon: Rate = 1e-6
    weight_decay: NonNegative = 0.0

    def build(self, groups: list[dict]) -> torch.optim.Optimizer:
        """The optimiser over flat parameter groups."""
        return torch.optim.Adadelta(groups, self.learning_rate, self.rho, self.epsilon, self.weight_decay)


Optimiser = Annotated[AdamWConfig | SGDConfig | AdadeltaConfig, Field(discriminator="kind")]


def decayed_parameters(module: nn.Module) -> set[nn.Parameter]:
    """The parameters that weight decay shrinks: matrices, but no embeddings.

    Norms and biases are scales and offsets, which should be free. An embedding row gets a gradient only when its token
    occurs, so decay would shrink rare words towards zero; that a tied output matrix is spared with it is accepted.
    """
    embeddings = {
        parameter
        for part in module.modules()
        if "embedding" in type(part).__name__.lower()
        for parameter in part.parameters(recurse=False)
    }
    return {parameter for parameter in module.parameters() if parameter.dim() >= 2 and parameter not in embeddings}


class FlatGroup:
    """Parameters that one rule moves, end to end in one stretch of the flat buffers."""

    def __init__(self, parameters: Mapping[str, nn.Parameter], start: int, decayed: bool, depth: int) -> None:
        self.decayed, self.depth = decayed, depth
        self.places: dict[str, tuple[int, torch.Size]] = {}
        size = 0
        for name, parameter in parameters.items():
            self.places[name] = (size, parameter.shape)
            size += math.ceil(parameter.numel() / ALIGNMENT) * ALIGNMENT
        self.stretch = slice(start, start + size)

    def views(self, stretch: Tensor) -> dict[str, Tensor]:
        """The part of each parameter, by name and in its shape, in a buffer that has this group's size."""
        return {
            name: stretch[first : first + shape.numel()].view(shape) for name, (first, shape) in self.places.items()
        }


class MasterWeights:
    """The float32 masters of a module's parameters, and the float32 sum of their gradients.

    The module's parameters become the compute copy, of dtype ``precision``; buffers keep their dtype. A tied parameter
    appears once, under its first name. Groups that are decayed come first, and of these the one nearest the output.
    Every parameter starts at a multiple of :data:`ALIGNMENT`; the gaps stay zero. Parameters without a gradient are
    frozen: in no buffer, but among all weights by name, in float32.

    Args:
        sharded: see :class:`henkan.training.reduction.Sharded`.
        depths: of parameters whose learning rates differ, see ``training/depth.py``; None: all are at depth 0.
    """

    def __init__(
        self,
        module: nn.Module,
        precision: torch.dtype,
        sharded: bool = False,
        depths: Mapping[str, int] | None = None,
    ) -> None:
        decayed = decayed_parameters(module)
        named = {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}
        rules = {
            name: (parameter in decayed, 0 if depths is None else depths[name]) for name, parameter in named.items()
        }
        self.groups: list[FlatGroup] = []
        for rule in sorted(set(rules.values()), key=lambda rule: (not rule[0], rule[1])):
            members = {name: parameter for name, parameter in named.items() if rules[name] == rule}
            self.groups.append(FlatGroup(members, self.groups[-1].stretch.stop if self.groups else 0, *rule))
        self.parameters: list[Tensor] = [named[name] for group in self.groups for name in group.places]
        device = self.parameters[0].device
        self.reduction = reduction.choose(self.groups[-1].stretch.stop, device, sharded)
        self.flat, self.gradient = self.reduction.masters, self.reduction.gradient
        self._gradients = list(self.views(self.gradient).values())
        self._masters = list(self.views(self.flat).values())
        self._empty = True
        torch._foreach_copy_(self._masters, [parameter.detach() for parameter in self.parameters])
        for parameter in self.parameters:
            parameter.data = parameter.data.to(precision)
        fixed = {name: parameter for name, parameter in module.named_parameters() if not parameter.requires_grad}
        self._fixed = list(fixed.values())
        self.frozen = {name: parameter.detach().float() for name, parameter in fixed.items()}
        for parameter in self._fixed:
            parameter.data = parameter.data.to(precision)
        self._recurrent = [part for part in module.modules() if isinstance(part, nn.RNNBase)]
        self._flatten_recurrent()

    @property
    def count(self) -> int:
        """How many numbers are learnt."""
        return sum(parameter.numel() for parameter in self.parameters)

    def views(self, flat: Tensor) -> dict[str, Tensor]:
        """The part of each parameter, by name and in its shape, in a buffer laid out like the masters."""
        return {name: view for group in self.groups for name, view in group.views(flat[group.stretch]).items()}

    def named(self, flat: Tensor) -> dict[str, Tensor]:
        """All weights of the module by name: those in a buffer laid out like the masters, and the frozen ones."""
        return {**self.views(flat), **self.frozen}

    @torch.no_grad()
    def collect(self) -> None:
        """Add the parameters' gradients to the flat float32 gradient, and free them."""
        found = [(view, p.grad) for view, p in zip(self._gradients, self.parameters, strict=True) if p.grad is not None]
        views, gradients = [view for view, _ in found], [gradient for _, gradient in found]
        if self._empty and len(found) == len(self.parameters):
            torch._foreach_copy_(views, gradients)  # cheaper than zeroing and adding
        elif found:
            if self._empty:
                self.gradient.zero_()
            torch._foreach_add_(views, gradients)
        self._empty = self._empty and not found
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def reduce(self, clip: float | None) -> Tensor:
        """Sum the gradient over ranks, scale it so that its global norm is at most ``clip``, return the norm before.

        Afterwards the part that this rank owns is the sum. The next :meth:`collect` starts a new sum.
        """
        if self._empty:
            self.gradient.zero_()
        self._empty = True
        self.reduction.sum_gradients()
        norm = self.reduction.norm()
        if clip is not None and (norm.device.type != "cpu" or norm > clip):  # on a GPU to ask is to wait
            self.gradient[self.reduction.owned].mul_((clip / (norm + 1e-6)).clamp_(max=1.0))
        return norm

    @torch.no_grad()
    def publish(self) -> None:
        """Round the masters into the module's parameters."""
        torch._foreach_copy_(self.parameters, self._masters)

    @contextmanager
    def using(self, flat: Tensor) -> Iterator[None]:
        """Let the module compute with other weights, laid out like the masters, for a while."""
        with torch.no_grad():
            torch._foreach_copy_(self.parameters, list(self.views(flat).values()))
        try:
            yield
        finally:
            self.publish()

    @torch.no_grad()
    def load(self, tensors: Mapping[str, Tensor], place: str) -> None:
        """Take the masters from tensors by name, and publish them; ``place`` says in errors where they came from."""
        fill(self.named(self.flat), tensors, place)
        for parameter, weight in zip(self._fixed, self.frozen.values(), strict=True):
            parameter.copy_(weight)
        self.publish()

    @torch.no_grad()
    def release(self, flat: Tensor) -> None:
        """Leave the module in float32, with these weights."""
        for parameter, view in zip(self.parameters, self.views(flat).values(), strict=True):
            parameter.data = view.clone()
        for parameter, weight in zip(self._fixed, self.frozen.values(), strict=True):
            parameter.data = weight
        self._flatten_recurrent()

    def _flatten_recurrent(self) -> None:
        """cuDNN wants the weights of a recurrent layer in one block, which new ones are not."""
        for part in self._recurrent:
            part.flatten_parameters()


def fill(views: Mapping[str, Tensor], tensors: Mapping[str, Tensor], place: str) -> None:
    """Copy every tensor into the view of its name; FolderError unless names and shapes agree."""
    if missing := sorted(views.keys() - tensors.keys()):
        raise FolderError(f"{place} has no {missing[0]}: it belongs to another model; was the recipe changed?")
    if surplus := sorted(tensors.keys() - views.keys()):
        raise FolderError(f"{place} has {surplus[0]}, which this model has not; was the recipe changed?")
    for name, view in views.items():
        if tensors[name].shape != view.shape:
            shapes = f"{tuple(tensors[name].shape)}, this model's is {tuple(view.shape)}"
            raise FolderError(f"{place}: {name} is {shapes}; was the recipe changed?")
        view.copy_(tensors[name])


class FlatOptimiser:
    """One of torch's optimisers over the flat masters that this rank owns, with its state by parameter name."""

    def __init__(self, config: AdamWConfig | SGDConfig | AdadeltaConfig, weights: MasterWeights) -> None:
        self._peak = config.learning_rate
        self._weights = weights
        owned = weights.reduction.owned
        self._members: list[tuple[slice, nn.Parameter]] = []
        groups = []
        for group in weights.groups:
            start = max(owned.start, group.stretch.start)
            own = slice(start, max(start, min(owned.stop, group.stretch.stop)))  # a rank may own nothing of it
            member = nn.Parameter(weights.flat[own])
            member.grad = weights.gradient[own]
            self._members.append((own, member))
            decay = {} if group.decayed else {"weight_decay": 0.0}
            groups.append({"params": [member], **decay})
        self._torch = config.build(groups)

    def step(self, factor: float, skip: Tensor, share: Callable[[int], float] = lambda depth: 1.0) -> float:
        """Move the masters at ``factor`` times the highest learning rate, which is returned.

        Of that rate each depth gets its ``share``. At a share of 0 weights stay as they are, bit for bit, and moments
        go on: the first step afterwards knows the gradients before it.

        Where ``skip`` (a float32 scalar on the masters' device) is 1, nothing changes. torch's fused kernels read it on
        the device, under the name that its gradient scaler gives it, so nobody waits for the answer; others cannot.
        """
        rate = self._peak * factor
        for group, settings in zip(self._weights.groups, self._torch.param_groups, strict=True):
            settings["lr"] = rate * share(group.depth)
        self._torch.found_inf = skip  # type: ignore[attr-defined]
        if self._torch.defaults.get("fused") or not skip:
            self._torch.step()
        return rate

    def tensors(self) -> dict[str, Tensor]:
        """The state of all ranks: ``exp_avg.model.encoder…`` for each parameter, and scalars such as ``step``.

        On the processor; all ranks must call this together.
        """
        found: dict[str, Tensor] = {}
        reduction = self._weights.reduction
        states = [self._torch.state[member] for _, member in self._members]
        for key, example in states[0].items():
            if example is None:  # momentum that is not used
                continue
            if example.shape != self._members[0][1].shape:
                found[key] = example
                continue
            shard = torch.zeros_like(self._weights.flat[reduction.owned])
            for (own, _), state in zip(self._members, states, strict=True):
                shard[own.start - reduction.owned.start : own.stop - reduction.owned.start] = state[key]
            named = self._weights.views(reduction.whole(shard))
            found.update({f"{key}.{name}": view for name, view in named.items()})
        return found

    def load(self, tensors: Mapping[str, Tensor], place: str) -> None:
        """Take what this rank owns of the state from tensors by name; FolderError if they do not fit."""
        for key in {name.partition(".")[0] for name in tensors}:
            if key in tensors:
                for _, member in self._members:
                    self._torch.state[member][key] = tensors[key].to(member.device, copy=True)
                continue
            whole = torch.zeros(len(self._weights.flat))
            views = self._weights.views(whole)
            own_names = {name: f"{key}.{name}" for name in views}
            fill(views, {name: tensors[full] for name, full in own_names.items() if full in tensors}, f"{place}: {key}")
            for own, member in self._members:
                self._torch.state[member][key] = whole[own].to(member.device, copy=True)


class MovingAverage:
    """An exponential moving average of the masters (Polyak & Juditsky 1992), laid out like them."""

    def __init__(self, decay: float, weights: MasterWeights) -> None:
        self.decay = decay
        self.flat = weights.flat.clone()

    def update(self, flat: Tensor, updates: int) -> None:
        """Move towards the masters after so many updates; early on faster, or the start would linger."""
        self.flat.lerp_(flat, 1 - min(self.decay, (1 + updates) / (10 + updates)))


class FiniteWatch:
    """Remembers the first update whose loss or gradient was not finite, without waiting for the device."""

    def __init__(self, device: torch.device) -> None:
        self._first = torch.full((), -1, dtype=torch.int64, device=device)

    def look(self, update: int, *values: Tensor) -> Tensor:
        """1.0 from the first update with a value that is not finite onwards, else 0.0, as a scalar on the device."""
        bad = ~torch.isfinite(torch.cat([value.detach().float().flatten() for value in values])).all()
        self._first = torch.where((self._first < 0) & bad, update, self._first)
        return (self._first >= 0).float()

    def first(self) -> int | None:
        """That update's number, or None; this waits for the device."""
        first = int(self._first)
        return first if first >= 0 else None
