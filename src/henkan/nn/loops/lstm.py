"""LSTMs through time, by hand."""

from __future__ import annotations

import torch
from torch import Tensor

from henkan.nn import pointwise
from henkan.nn.cell import CellState
from henkan.nn.loops.loop import OutputPath
from henkan.nn.lstm import LSTMCell
from henkan.nn.product import Product


class LSTMLoop:
    """:class:`LSTMCell`, all its generations."""

    def __init__(self, cell: LSTMCell, state: CellState, steps: int) -> None:
        rows, size = state[0].shape
        peepholes = cell.peephole_weight
        self._weight = cell.hidden_weight.detach()
        self._peepholes = None if peepholes is None else peepholes.detach().to(pointwise.wide(peepholes.dtype))
        self._product = Product(self._weight, rows)
        self._forgetting = cell.forgetting
        self._output = OutputPath(state[0], steps)
        self.hidden = self._output.hidden
        self._cell = torch.empty_like(self.hidden, dtype=pointwise.wide(self.hidden.dtype))
        self._cell[:, 0] = state[1]
        self._gates = self.hidden.new_empty(rows, steps, cell.gates * size)
        self.grad_projected = self._grad_cell = self._gates  # made by turn

    def forward(self, step: int, projected: Tensor, real: Tensor) -> None:
        """See :meth:`Loop.forward`."""
        pointwise.lstm_forward(
            self._forgetting,
            projected,
            self._product(self.hidden[:, step]),
            self._peepholes,
            real,
            self.hidden[:, step],
            self._cell[:, step],
            self.hidden[:, step + 1],
            self._cell[:, step + 1],
            self._gates[:, step],
        )

    def last(self) -> CellState:
        """See :meth:`Loop.last`."""
        return (self.hidden[:, -1].clone(), self._cell[:, -1].to(self.hidden.dtype, copy=True))

    def turn(self, grad_last: CellState) -> None:
        """See :meth:`Loop.turn`."""
        self._output.turn(grad_last[0])
        self._grad_cell = grad_last[1].to(self._cell.dtype, copy=True).contiguous()
        self._product = Product(self._weight.t(), len(grad_last[0]))
        self.grad_projected = torch.empty_like(self._gates)

    def backward(self, step: int, arriving: Tensor, real: Tensor) -> None:
        """See :meth:`Loop.backward`."""
        grad_gates = self.grad_projected[:, step]
        pointwise.lstm_backward(
            self._forgetting,
            arriving,
            self._output.product,
            self._output.carry,
            self._grad_cell,
            self._gates[:, step],
            self._peepholes,
            real,
            self._cell[:, step],
            self._cell[:, step + 1],
            grad_gates,
        )
        self._output.product = self._product(grad_gates)

    def grad_first(self) -> CellState:
        """See :meth:`Loop.grad_first`."""
        return (self._output.grad_first(), self._grad_cell.to(self.hidden.dtype))

    def grad_weights(self) -> tuple[Tensor, ...]:
        """Of the recurrent weight, and of the peepholes where there are any."""
        weight = self.grad_projected.flatten(0, 1).t() @ self._output.before()
        return (weight,) if self._peepholes is None else (weight, self._grad_peepholes())

    def _grad_peepholes(self) -> Tensor:
        size = self.hidden.shape[2]
        entering, *forget, _, leaving = self.grad_projected.split(size, -1)
        before, after = self._cell[:, :-1], self._cell[:, 1:]
        parts = [pointwise.peephole_gradient(gate, before) for gate in (entering, *forget)]
        return torch.cat([*parts, pointwise.peephole_gradient(leaving, after)]).to(self.hidden.dtype)
