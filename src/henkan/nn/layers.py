"""Recurrent layers: a cell that reads a sequence forwards, or two that read it both ways."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from henkan.nn.cells import Cell, CellState
from henkan.nn.recurrent import run


class Forward(nn.Module):
    """One layer, read from the first position to the last."""

    def __init__(self, cell: Cell) -> None:
        super().__init__()
        self.cell = cell
        self.width = cell.size

    def forward(self, inputs: Tensor, mask: Tensor, state: CellState | None = None) -> tuple[Tensor, CellState]:
        """Inputs (N, T, F) to outputs (N, T, D) and the last state; starts from zeros unless told otherwise."""
        return run(self.cell, inputs, mask, state or self.cell.start(inputs.shape[0]))


class Bidirectional(nn.Module):
    """Two independent layers, one of which reads backwards, side by side (Schuster & Paliwal 1997)."""

    def __init__(self, forward_cell: Cell, backward_cell: Cell) -> None:
        super().__init__()
        self.forward_cell = forward_cell
        self.backward_cell = backward_cell
        self.width = forward_cell.size + backward_cell.size

    def forward(self, inputs: Tensor, mask: Tensor) -> tuple[Tensor, CellState]:
        """Inputs (N, T, F) to outputs (N, T, 2 D); states are concatenated too, forward first.

        Reading backwards, the padding comes first and leaves the state at zero.
        """
        rows = inputs.shape[0]
        ahead, ahead_state = run(self.forward_cell, inputs, mask, self.forward_cell.start(rows))
        back, back_state = run(self.backward_cell, inputs.flip(1), mask.flip(1), self.backward_cell.start(rows))
        merged = tuple(torch.cat(pair, -1) for pair in zip(ahead_state, back_state, strict=True))
        return torch.cat([ahead, back.flip(1)], -1), merged
