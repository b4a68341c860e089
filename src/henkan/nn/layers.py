"""Recurrent layers: a cell that reads a sequence forwards, or two that read it both ways; and the sum around a layer.

What enters a layer passes its dropout, and the cell goes through time by its ``through``; both are parts, and the
identity and :func:`run` unless something else is handed over.
"""

from __future__ import annotations

from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from henkan.nn.cells import Cell, CellState
from henkan.nn.recurrent import run

Merge = Literal["concatenation", "sum", "mean"]


class Through(Protocol):
    """A cell through time; see :func:`henkan.nn.recurrent.run_plain`."""

    def __call__(self, cell: Cell, inputs: Tensor, mask: Tensor, state: CellState, /) -> tuple[Tensor, CellState]: ...


class Forward(nn.Module):
    """One layer, read from the first position to the last."""

    def __init__(self, cell: Cell, dropout: nn.Module | None = None, through: Through = run) -> None:
        super().__init__()
        self.cell = cell
        self.dropout = nn.Identity() if dropout is None else dropout
        self.through = through
        self.width = cell.size

    def forward(self, inputs: Tensor, mask: Tensor, state: CellState | None = None) -> tuple[Tensor, CellState]:
        """Inputs (N, T, F) to outputs (N, T, D) and the last state; starts from zeros unless told otherwise."""
        state = state or self.cell.start(inputs.shape[0])
        return self.through(self.cell, self.dropout(inputs), mask, state)


class Bidirectional(nn.Module):
    """Two independent layers of one size, one of which reads backwards (Schuster & Paliwal 1997)."""

    def __init__(
        self,
        forward_cell: Cell,
        backward_cell: Cell,
        merge: Merge = "concatenation",
        dropout: nn.Module | None = None,
        through: Through = run,
    ) -> None:
        super().__init__()
        self.forward_cell = forward_cell
        self.backward_cell = backward_cell
        self.merge = merge
        self.dropout = nn.Identity() if dropout is None else dropout
        self.through = through
        self.width = merged_width(forward_cell.size, merge)

    def forward(self, inputs: Tensor, mask: Tensor, state: None = None) -> tuple[Tensor, CellState]:
        """Inputs (N, T, F) to merged outputs (N, T, width); states are merged too, forward first.

        Both directions start from zeros. Reading backwards, the padding comes first and leaves the state there.
        """
        rows, inputs = inputs.shape[0], self.dropout(inputs)
        ahead, ahead_state = self.through(self.forward_cell, inputs, mask, self.forward_cell.start(rows))
        back, back_state = self.through(
            self.backward_cell, inputs.flip(1), mask.flip(1), self.backward_cell.start(rows)
        )
        last = tuple(merged(*pair, self.merge) for pair in zip(ahead_state, back_state, strict=True))
        return merged(ahead, back.flip(1), self.merge), last


def merged(ahead: Tensor, back: Tensor, merge: Merge) -> Tensor:
    """Both directions side by side, (..., 2 D), or as one, (..., D)."""
    if merge == "concatenation":
        return torch.cat([ahead, back], -1)
    return ahead + back if merge == "sum" else (ahead + back) / 2


def merged_width(size: int, merge: Merge) -> int:
    """Of two directions of this size."""
    return 2 * size if merge == "concatenation" else size


class ResidualLayer(nn.Module):
    """inputs + layer(inputs); the state is the layer's own (Wu et al. 2016, equation 6)."""

    def __init__(self, layer: Forward | Bidirectional) -> None:
        super().__init__()
        self.layer = layer
        self.width = layer.width

    def forward(self, inputs: Tensor, mask: Tensor, state: CellState | None = None) -> tuple[Tensor, CellState]:
        """Inputs (N, T, D) to outputs (N, T, D)."""
        outputs, last = self.layer(inputs, mask, state)
        return inputs + outputs, last


Layer = Forward | Bidirectional | ResidualLayer
"""(N, T, F) and a mask to (N, T, ``width``) and a state after the last real position of each row."""
