"""Zoneout: a unit that now and then keeps what it had (Krueger et al. 2017)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from henkan.nn.cell import Cell, CellState


class Zoneout(nn.Module):
    """A cell each unit of which stays as it was with probability ``rate``: output, and cell where there is one.

    h[t] = k * h[t-1] + (1 - k) * h'[t], with h' from the cell and k drawn anew for each row, step and part of a state;
    in evaluation k is its expectation, ``rate``.
    """

    def __init__(self, cell: Cell, rate: float) -> None:
        super().__init__()
        self.cell = cell
        self.rate = rate
        self.size = cell.size

    def start(self, rows: int) -> CellState:
        """The cell's."""
        return self.cell.start(rows)

    def project(self, inputs: Tensor, first: int = 0) -> Tensor:
        """The cell's."""
        return self.cell.project(inputs, first)

    def advance(self, projected: Tensor, state: CellState, seen: Tensor | None = None) -> CellState:
        """The cell's step, and what stays of the state before it."""
        after = self.cell.advance(projected, state, seen)
        return tuple(self._mixed(old, new) for old, new in zip(state, after, strict=True))

    def forward(self, inputs: Tensor, state: CellState) -> CellState:
        """Inputs (N, F)."""
        return self.advance(self.project(inputs), state)

    def _mixed(self, old: Tensor, new: Tensor) -> Tensor:
        if not self.training:
            return torch.lerp(new, old, self.rate)
        stays = torch.empty(new.shape, dtype=torch.bool, device=new.device).bernoulli_(self.rate)
        return torch.where(stays, old, new)
