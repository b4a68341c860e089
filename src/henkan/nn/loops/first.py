"""The LSTM of 1997 to the letter through time, by hand: the products hoisted, the rest by torch's own operators."""

from __future__ import annotations

import torch
from torch import Tensor

from henkan.nn.cell import CellState
from henkan.nn.loops.loop import OutputPath
from henkan.nn.lstm import FirstLSTMCell
from henkan.nn.pointwise import wide
from henkan.nn.product import Product


class FirstLSTMLoop:
    """:class:`FirstLSTMCell`."""

    def __init__(self, cell: FirstLSTMCell, state: CellState, steps: int) -> None:
        rows, size = state[0].shape
        self._weight = cell.hidden_weight.detach()
        self._wide = wide(self._weight.dtype)
        self._squash_1997, self._truncated = cell.squash_1997, cell.truncated
        self._product = Product(self._weight, rows)
        self._output = OutputPath(state[0], steps)
        self.hidden = self._output.hidden
        self._cell = torch.empty_like(self.hidden, dtype=self._wide)
        self._cell[:, 0] = state[1]
        self._gates = self.hidden.new_empty(rows, steps, 3 * size)
        self.grad_projected = self._grad_cell = self._gates  # made by turn

    def forward(self, step: int, projected: Tensor, real: Tensor) -> None:
        """See :meth:`Loop.forward`."""
        hidden, cell = self.hidden[:, step], self._cell[:, step]
        entering, candidate, leaving = (projected + self._product(hidden)).to(self._wide).chunk(3, -1)
        entering, leaving = torch.sigmoid(entering), torch.sigmoid(leaving)
        candidate = 4 * torch.sigmoid(candidate) - 2 if self._squash_1997 else torch.tanh(candidate)
        after = cell + entering * candidate
        self._gates[:, step] = torch.cat([entering, candidate, leaving], -1)
        self.hidden[:, step + 1] = torch.where(real, (leaving * self._squashed(after)).to(hidden.dtype), hidden)
        self._cell[:, step + 1] = torch.where(real, after, cell)

    def _squashed(self, cell: Tensor) -> Tensor:
        return 2 * torch.sigmoid(cell) - 1 if self._squash_1997 else torch.tanh(cell)

    def last(self) -> CellState:
        """See :meth:`Loop.last`."""
        return (self.hidden[:, -1].clone(), self._cell[:, -1].to(self.hidden.dtype, copy=True))

    def turn(self, grad_last: CellState) -> None:
        """See :meth:`Loop.turn`."""
        self._output.turn(grad_last[0])
        self._grad_cell = grad_last[1].to(self._wide)
        self._product = Product(self._weight.t(), len(grad_last[0]))
        self.grad_projected = torch.empty_like(self._gates)

    def backward(self, step: int, arriving: Tensor, real: Tensor) -> None:
        """See :meth:`Loop.backward`; 2 s(c) - 1 is tanh(c / 2), and 4 s(x) - 2 twice tanh(x / 2)."""
        output = self._output
        entering, candidate, leaving = self._gates[:, step].to(self._wide).chunk(3, -1)
        squashed = self._squashed(self._cell[:, step + 1])
        whole = arriving + output.product + output.carry
        slope = 1 - squashed * squashed
        bend = 1 - candidate * candidate
        if self._squash_1997:
            slope, bend = slope / 2, 1 - candidate * candidate / 4
        d_cell = self._grad_cell + whole * leaving * slope
        found = torch.cat(
            [
                d_cell * candidate * entering * (1 - entering),
                d_cell * entering * bend,
                whole * squashed * leaving * (1 - leaving),
            ],
            -1,
        )
        grad_gates = self.grad_projected[:, step]
        grad_gates.copy_(torch.where(real, found, 0.0))
        self._grad_cell = torch.where(real, d_cell, self._grad_cell)
        output.carry = whole.masked_fill(real, 0.0)
        # "cut": what the gates saw of the output before tells it nothing
        output.product = torch.zeros_like(output.product) if self._truncated else self._product(grad_gates)

    def grad_first(self) -> CellState:
        """See :meth:`Loop.grad_first`."""
        return (self._output.grad_first(), self._grad_cell.to(self.hidden.dtype))

    def grad_weights(self) -> tuple[Tensor, ...]:
        """Of the recurrent weight."""
        return (self.grad_projected.flatten(0, 1).t() @ self._output.before(),)
