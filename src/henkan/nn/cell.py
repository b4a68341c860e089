"""What a recurrent cell is: one step, from inputs and a state to outputs and the next state.

Every cell splits its step in two, because the first half needs no state and can be done for all steps at once:
``project`` is the product with the inputs, ``advance`` the rest. Weights lie as (gates * D, inputs). The order of
gates, in memory and in files, is input, forget, cell, output in an LSTM (one without a forget gate leaves that out) and
reset, update, candidate in a GRU. Recurrent weights start orthogonal, gate by gate; input weights by Glorot & Bengio
(2010); biases at 0, but a forget gate's at 1.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor
from torch.nn import functional

CellState = tuple[Tensor, ...]
"""(N, D) tensors, the output first."""


class Cell(Protocol):
    """One step of a recurrence."""

    size: int  # D

    def start(self, rows: int) -> CellState:
        """Zeros."""
        ...

    def project(self, inputs: Tensor, first: int = 0) -> Tensor:
        """The share of inputs (..., F) in the gates, (..., gates * D).

        An input made of several parts may be projected part by part: ``first`` is the column at which this part
        begins, and the bias goes with the part that begins at 0.
        """
        ...

    def advance(self, projected: Tensor, state: CellState, seen: Tensor | None = None) -> CellState:
        """One step from projected inputs (N, gates * D).

        ``seen``, (N, D), is what the recurrent products read in place of the output before (see
        :mod:`henkan.nn.variational`); what passes from step to step without a product is the state's own.
        """
        ...

    def __call__(self, inputs: Tensor, state: CellState) -> CellState:
        """One step from inputs (N, F)."""
        ...


def project(inputs: Tensor, weight: Tensor, bias: Tensor, first: int) -> Tensor:
    """Inputs (..., F) by columns ``first`` to ``first + F`` of the weight; the bias once, with the first part."""
    part = weight[:, first : first + inputs.shape[-1]]
    return functional.linear(inputs, part, None if first else bias)
