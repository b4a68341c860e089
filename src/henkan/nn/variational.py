"""Variational dropout: one mask for all steps of a sequence (Gal & Ghahramani 2016, section 4).

Of what enters a layer, and of what the recurrent products read of h[t-1]. A mask is drawn for each call, with one row
for each sequence.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from henkan.nn.cell import Cell, CellState
from henkan.nn.dropout import dropout
from henkan.nn.recurrent import run


class VariationalDropout(nn.Module):
    """Vectors (N, T, F), of which the same elements are zeroed at every step."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, vectors: Tensor) -> Tensor:
        """(N, T, F)."""
        if not self.training:
            return vectors
        return vectors * dropout(vectors.new_ones(vectors.shape[0], 1, vectors.shape[2]), self.probability)


class MaskedRecurrence:
    """A cell whose recurrent products read h[t-1] * mask; the mask is (N, D), 0 or 1 / (1 - probability).

    What h[t-1] hands on without passing a product, a GRU's carry or what zoneout keeps, is not masked: it would be
    wiped and scaled again at every step.
    """

    def __init__(self, cell: Cell, mask: Tensor) -> None:
        self.cell = cell
        self.mask = mask
        self.size = cell.size

    def start(self, rows: int) -> CellState:
        """The cell's."""
        return self.cell.start(rows)

    def project(self, inputs: Tensor, first: int = 0) -> Tensor:
        """The cell's."""
        return self.cell.project(inputs, first)

    def advance(self, projected: Tensor, state: CellState, seen: Tensor | None = None) -> CellState:
        """The cell's step, in which it sees the masked output."""
        return self.cell.advance(projected, state, (state[0] if seen is None else seen) * self.mask)

    def __call__(self, inputs: Tensor, state: CellState) -> CellState:
        """Inputs (N, F)."""
        return self.advance(self.project(inputs), state)


class MaskedRun(nn.Module):
    """:func:`henkan.nn.recurrent.run` with :class:`MaskedRecurrence` around the cell while training."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, cell: Cell, inputs: Tensor, mask: Tensor, state: CellState) -> tuple[Tensor, CellState]:
        """As ``run``: (N, T, F), (N, T) bool, (N, D) tensors."""
        if not self.training:
            return run(cell, inputs, mask, state)
        seen = dropout(torch.ones_like(state[0]), self.probability)
        return run(MaskedRecurrence(cell, seen), inputs, mask, state)
