"""Errors on their way back through time: the norms of dL/dh[t], and of dL/dc[t] where there is a cell state.

They shrink or grow by a factor a step (Bengio et al. 1994), unless a constant error carousel carries them (Hochreiter &
Schmidhuber 1997). Clipping the global norm (Pascanu et al. 2013) bounds what an update does with them and leaves their
proportions as they are: both are measured here.

Every cell of a copy of the model is wrapped in :class:`Watched`. Such a cell runs step by step by ``run_plain``, and
what it returns at each step keeps its gradient.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from henkan.inspection.long_range import LongRangeNetwork, LongRangeTask
from henkan.nn.cells import Cell, CellState

Losses = Sequence[Callable[[], Tensor]]
"""Each gives the loss of some rows, added up; no row is padded, so that the last position is the end of every row."""


DIVERGED = 1e9
"""A global norm from which there is no way back."""


class Watched(nn.Module):
    """A cell that remembers every state it made, in the order of reading."""

    def __init__(self, cell: Cell) -> None:
        super().__init__()
        self.cell = cell
        self.size = cell.size
        self.states: list[CellState] = []

    def start(self, rows: int) -> CellState:
        """As the cell."""
        return self.cell.start(rows)

    def project(self, inputs: Tensor, first: int = 0) -> Tensor:
        """As the cell."""
        return self.cell.project(inputs, first)

    def advance(self, projected: Tensor, state: CellState, seen: Tensor | None = None) -> CellState:
        """As the cell; the gradients of what it returns are kept."""
        after = self.cell.advance(projected, state, seen)
        for part in after:
            part.retain_grad()
        self.states.append(after)
        return after

    def forward(self, inputs: Tensor, state: CellState) -> CellState:
        """Inputs (N, F)."""
        return self.advance(self.project(inputs), state)

    def norms(self, part: int) -> np.ndarray:
        """Of each row's gradient of one part of the state, by distance from the end: (N, T)."""
        gradients = [state[part].grad for state in reversed(self.states)]
        rows = self.states[0][part].shape[0]
        columns = [torch.zeros(rows) if gradient is None else gradient.norm(dim=1) for gradient in gradients]
        return torch.stack([column.double() for column in columns], 1).numpy()


def watch(module: nn.Module) -> dict[str, Watched]:
    """Wrap every cell inside a module, in place, and name them by where they stand: ``layer 1``, ``layer 2 backwards``.

    A wrapper around a cell (zoneout) is wrapped as one.
    """
    found: dict[str, Watched] = {}

    def look(inside: nn.Module, place: str) -> None:
        for name, child in inside.named_children():
            here = f"{place} {_spoken(name)}".strip()
            if hasattr(child, "advance") and hasattr(child, "project"):
                watched = Watched(child)  # type: ignore[arg-type]
                setattr(inside, name, watched)
                found[here] = watched
            else:
                look(child, here)

    look(module, "")
    return found


def _spoken(name: str) -> str:
    if name.isdigit():
        return f"layer {int(name) + 1}"
    return {"forward_cell": "forwards", "backward_cell": "backwards"}.get(name, "")


@dataclass(frozen=True)
class Flow:
    """Of one recurrent layer: mean norms over all rows that are long enough, by distance from the end."""

    label: str
    hidden: np.ndarray  # (T,)
    cell: np.ndarray | None  # (T,); None where the state is the output alone

    def factor(self) -> float:
        """By how much the norm of dL/dh[t] changes a step, on average over the whole distance."""
        first, last = float(self.hidden[0]), float(self.hidden[-1])
        if len(self.hidden) < 2 or first <= 0:
            return math.nan
        return (last / first) ** (1 / (len(self.hidden) - 1))


@dataclass(frozen=True)
class Measured:
    """Of one model, with clipping on or off."""

    flows: list[Flow]
    norms: list[float]  # global norm of the gradient that reaches the weights, for each batch or update


@dataclass(frozen=True)
class Subject:
    """One model in a comparison."""

    label: str
    off: Measured
    on: Measured

    def diverged(self, updates: int) -> str:
        """A sentence where training without clipping did not come through; otherwise nothing."""
        done = next((place for place, norm in enumerate(self.off.norms) if norm > DIVERGED), len(self.off.norms))
        return f"{self.label} without clipping: its gradients explode at update {done + 1}." if done < updates else ""


class _Tally:
    """Means over rows of different lengths."""

    def __init__(self) -> None:
        self.sums = np.zeros(0)
        self.counts = np.zeros(0)

    def add(self, norms: np.ndarray) -> None:
        rows, steps = norms.shape
        if steps > len(self.sums):
            grown = (0, steps - len(self.sums))
            self.sums, self.counts = np.pad(self.sums, grown), np.pad(self.counts, grown)
        self.sums[:steps] += norms.sum(0)
        self.counts[:steps] += rows

    def mean(self) -> np.ndarray:
        return self.sums / self.counts


def measure(
    network: nn.Module, watched: Mapping[str, Watched], batches: Iterable[tuple[Losses, int]], clip: float
) -> tuple[Measured, Measured]:
    """Norms without clipping and with it.

    Args:
        network: whose weights' gradient is clipped; its cells are watched already.
        watched: from :func:`watch`.
        batches: the losses of the rows of a batch, and by what the batch's loss is divided in training.
        clip: the largest global norm; with clipping, errors count as they enter the update, scaled down alike.
    """
    off: dict[tuple[str, int], _Tally] = {}
    on: dict[tuple[str, int], _Tally] = {}
    before: list[float] = []
    for losses, units in batches:
        network.zero_grad()
        found: list[tuple[tuple[str, int], np.ndarray]] = []
        for loss in losses:
            for cell in watched.values():
                cell.states.clear()
            loss().backward()
            for name, cell in watched.items():
                found += [((name, part), cell.norms(part)) for part in range(len(cell.states[0]))]
        before.append(global_norm(network) / units)
        for key, norms in found:
            off.setdefault(key, _Tally()).add(norms)
            on.setdefault(key, _Tally()).add(norms * clipping(before[-1], clip))
    for cell in watched.values():
        cell.states.clear()
    after = [norm * clipping(norm, clip) for norm in before]
    return Measured(_flows(off, watched), before), Measured(_flows(on, watched), after)


def _flows(tallies: Mapping[tuple[str, int], _Tally], names: Iterable[str]) -> list[Flow]:
    parts = [(name, tallies[name, 0].mean(), tallies.get((name, 1))) for name in names]
    return [Flow(name, hidden, None if cell is None else cell.mean()) for name, hidden, cell in parts]


def global_norm(network: nn.Module) -> float:
    """The norm of all gradients together."""
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    return float(torch.stack([gradient.double().norm() for gradient in gradients]).norm())


def clipping(norm: float, clip: float) -> float:
    """By what clipping multiplies a gradient of this norm (Pascanu et al. 2013, algorithm 1)."""
    return min(1.0, clip / norm) if norm > 0 else 1.0


def long_range_losses(network: LongRangeNetwork, task: LongRangeTask, rows: int, seed: int) -> Losses:
    """A batch of a task: always the same one for the same seed, whatever the network."""
    sequences = task.draw(rows, torch.Generator().manual_seed(seed))
    dtype = network.answer.weight.dtype
    return [lambda: task.losses(network(sequences.inputs.to(dtype)), sequences).sum()]


def train(
    network: LongRangeNetwork, task: LongRangeTask, updates: int, rows: int, rate: float, clip: float | None
) -> list[float]:
    """Plain gradient descent; the norm of each update's gradient, as it is applied.

    It ends early where the loss is no longer a number; the weights are then those before.
    """
    norms = []
    for update in range(updates):
        network.zero_grad()
        (loss,) = long_range_losses(network, task, rows, seed=1 + update)
        (loss() / rows).backward()
        norm = global_norm(network)
        if not math.isfinite(norm):
            break
        scale = 1.0 if clip is None else clipping(norm, clip)
        norms.append(norm * scale)
        with torch.no_grad():
            for parameter in network.parameters():
                if parameter.grad is not None:
                    parameter.sub_(parameter.grad, alpha=rate * scale)
    return norms
