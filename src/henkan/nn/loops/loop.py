"""What a loop is: one cell through one sequence, with the way back written by hand.

Going forward, step t reads its projected inputs and writes everything that the way back needs into buffers; going back,
it turns the gradient of the output at t into that of the projected inputs at t. The gradients of the weights are single
large products after the loop. No autograd here; equations are in nn/lstm.py, gru.py and rnn.py.

Shapes: N rows, T steps, D width, G gates; ``real`` (N, 1) bool, see nn/pointwise.py.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from henkan.nn.cell import CellState
from henkan.nn.pointwise import wide


class Loop(Protocol):
    """One sequence of one cell."""

    hidden: Tensor  # (N, T + 1, D): the outputs, behind the one it started from
    grad_projected: Tensor  # (N, T, G * D), complete after step 0 has gone back

    def forward(self, step: int, projected: Tensor, real: Tensor) -> None:
        """Projected inputs (N, G * D) to the state after the step."""
        ...

    def last(self) -> CellState:
        """The state after the last step, in the type of the outputs."""
        ...

    def turn(self, grad_last: CellState) -> None:
        """Prepare the way back, given the gradient of :meth:`last`."""
        ...

    def backward(self, step: int, arriving: Tensor, real: Tensor) -> None:
        """The gradient of the output (N, D) to that of the projected inputs and of the state before the step."""
        ...

    def grad_first(self) -> CellState:
        """The gradient of the state it started from."""
        ...

    def grad_weights(self) -> tuple[Tensor, ...]:
        """Of :func:`weights_of` the cell, in that order."""
        ...


class OutputPath:
    """What every loop has: the outputs, and their gradient on the way back in its two parts."""

    def __init__(self, first: Tensor, steps: int) -> None:
        rows, size = first.shape
        self.hidden = first.new_empty(rows, steps + 1, size)
        self.hidden[:, 0] = first
        self.product = self.carry = first  # made by turn

    def turn(self, grad_last: Tensor) -> None:
        self.product = grad_last.contiguous()
        self.carry = torch.zeros_like(self.product, dtype=wide(grad_last.dtype))

    def grad_first(self) -> Tensor:
        return (self.product + self.carry).to(self.hidden.dtype)

    def before(self) -> Tensor:
        """(N * T, D): what each step started from."""
        return self.hidden[:, :-1].reshape(-1, self.hidden.shape[2])
