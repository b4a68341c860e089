"""One update: its examples fetched ahead, its micro-batches backward, its step.

Sums are divided by the counts of the whole update, over micro-batches and ranks, before they go backward. So one large
batch, several micro-batches and several ranks give the same gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from henkan.data.example import Example
from henkan.data.packing import Packing
from henkan.data.plan import Plan, share
from henkan.errors import NonFiniteLoss
from henkan.objectives.base import Learner, Objective
from henkan.tensors import Batch
from henkan.training import depth, distributed
from henkan.training.optim import FiniteWatch, FlatOptimiser, MasterWeights, MovingAverage
from henkan.training.options import TrainingConfig
from henkan.training.packing import collation
from henkan.training.schedule import Moment
from henkan.tree import map_leaves

if TYPE_CHECKING:
    from henkan.tasks.base import Task

SPLIT = "train"
NAMED_EXAMPLES = 20
"""So many examples of a bad batch are listed."""


@dataclass(frozen=True)
class Work:
    """The examples of one update."""

    epoch: int
    windows: int  # in an epoch
    window_size: int  # updates in that window of the epoch
    indices: np.ndarray  # of all ranks
    tokens: int  # real target tokens of all ranks; source tokens where there is no target
    batches: list[Batch | None]  # this rank's micro-batches; None where it has nothing to do


@dataclass(frozen=True)
class Outcome:
    """What an update came to. Tensors stay on the device: whoever reads them waits."""

    sums: dict[str, Tensor]  # of all ranks
    units: dict[str, int]  # of all ranks
    weights: dict[str, float]
    norm: Tensor  # of the gradient, before clipping
    learning_rate: float
    tokens: int


def fetch(
    task: Task,
    plan: Plan,
    options: TrainingConfig,
    epoch: int,
    window: int,
    number: int,
    device: torch.device,
    packing: Packing | None = None,
) -> Iterator[Work]:
    """The updates from one place in the plan onwards, without end; runs in the loader's thread."""
    collate = collation(task, packing)
    while True:
        size = plan.updates(epoch, window)
        assert size > 0, "a corpus without examples is refused before training"
        for place in range(number, size):
            update = plan.update(epoch, window, place)
            if packing is None:
                shares = share(update, distributed.world(), options.accumulation)
            else:
                shares = packing.share(update, distributed.world())
            mine = shares[distributed.rank()]
            batches = [_batch(task, part, options.seed, epoch, device, collate) for part in mine]
            tokens = int(update.lengths.target.sum()) or int(update.lengths.source.sum())
            yield Work(epoch, plan.windows, size, update.places, tokens, batches)
        window, number = window + 1, 0
        if window == plan.windows:
            epoch, window = epoch + 1, 0


def _batch(
    task: Task,
    indices: np.ndarray,
    seed: int,
    epoch: int,
    device: torch.device,
    collate: Callable[[list[Example]], Batch],
) -> Batch | None:
    if not len(indices):
        return None
    examples = [task.example(SPLIT, int(index), np.random.default_rng([seed, epoch, int(index)])) for index in indices]
    batch = collate(examples)
    # Pinned memory goes to the GPU without the host waiting.
    return map_leaves(lambda tensor: tensor.pin_memory(), batch) if device.type == "cuda" else batch


@contextmanager
def seeded(seed: int, update: int, micro_batch: int, device: torch.device) -> Iterator[None]:
    """torch's default generators as this micro-batch of this rank must find them; afterwards as they were before."""
    sequence = np.random.SeedSequence([seed, update, micro_batch, distributed.rank()])
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(int(sequence.generate_state(1, np.uint64)[0]))
        yield


class Updater:
    """Turns work into better weights."""

    def __init__(
        self,
        learner: Learner,
        options: TrainingConfig,
        precision: torch.dtype,
        device: torch.device,
        place: Callable[[int], str],
        learning: Learner | None = None,
    ) -> None:
        """``learning``: what computes the loss, with the parameters of the learner; None: the learner itself."""
        self.learner = learner
        self._learning = learning or learner
        self.device = device
        by_depth = options.layer_decay is not None or options.unfreeze_every is not None
        depths = depth.of_parameters(learner) if by_depth else None
        self.weights = MasterWeights(learner, precision, options.sharded, depths)
        self.optimiser = FlatOptimiser(options.optimiser, self.weights)
        self.ema = None if options.ema is None else MovingAverage(options.ema, self.weights)
        self._options = options
        self._place = place  # where an example comes from
        self._watch = FiniteWatch(device)
        self._unchecked: dict[int, Work] = {}

    def learn(self, work: Work, moment: Moment) -> Outcome:
        """One update.

        Raises:
            NonFiniteLoss: on the processor; a GPU is asked in :meth:`check`. Weights are as before the bad update.
        """
        weights = self.learner.objective.weights(moment.update)
        units = _total_units(self.learner.objective, weights, work.batches)
        scaled = {name: weight / max(units[name], 1) for name, weight in weights.items()}
        sums = torch.zeros(len(weights), device=self.device)
        for number, batch in enumerate(work.batches):
            if batch is not None:
                with seeded(self._options.seed, moment.update, number, self.device):
                    loss, found = self._learning(batch.to(self.device), scaled, moment.update)
                    loss.backward()
                self.weights.collect()
                sums += torch.stack([found[name].float() for name in weights])
        norm = self.weights.reduce(self._options.clip)
        distributed.all_reduce_(sums)

        skip = self._watch.look(moment.update, sums, norm)
        self._unchecked[moment.update] = work
        if self.device.type == "cpu":
            self.check()
        share = partial(
            depth.share,
            update=moment.update,
            decay=self._options.layer_decay,
            unfreeze_every=self._options.unfreeze_every,
        )
        rate = self.optimiser.step(self._options.schedule.factor(moment), skip, share)
        self.weights.reduction.share_masters()
        self.weights.publish()
        if self.ema is not None:
            self.ema.update(self.weights.flat, moment.update)
        by_name = dict(zip(weights, sums, strict=True))
        self.learner.objective.update(by_name, units)
        return Outcome(by_name, units, weights, norm, rate, work.tokens)

    def check(self) -> None:
        """Raise NonFiniteLoss if an update since the last call had a loss or gradient that is not finite; waits."""
        first = self._watch.first()
        if first is not None:
            work = self._unchecked[first]
            named = ", ".join(self._place(int(index)) for index in work.indices[:NAMED_EXAMPLES])
            more = len(work.indices) - NAMED_EXAMPLES
            raise NonFiniteLoss(
                f"update {first + 1} (epoch {work.epoch + 1}): the loss or its gradient is not finite; examples of the "
                f"batch: {named}{f' and {more} more' if more > 0 else ''}; look at them, lower the learning rate, "
                "or set precision=fp32"
            )
        self._unchecked.clear()


def _total_units(objective: Objective, names: Collection[str], batches: list[Batch | None]) -> dict[str, int]:
    """Terms in each sum, over the micro-batches of all ranks; counted on the processor."""
    counted = [objective.units(batch) for batch in batches if batch is not None]
    own = [sum(units[name] for units in counted) for name in names]
    counts = distributed.all_reduce_(torch.tensor(own, dtype=torch.int64))
    return dict(zip(names, counts.tolist(), strict=True))
