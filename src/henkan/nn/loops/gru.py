"""GRUs through time, by hand."""

from __future__ import annotations

import torch
from torch import Tensor

from henkan.nn import pointwise
from henkan.nn.cell import CellState
from henkan.nn.gru import GRUCell, ResetAfterGRUCell
from henkan.nn.loops.loop import OutputPath
from henkan.nn.product import Product


class GRULoop:
    """:class:`GRUCell`: the reset gate stands before the product, so a step has two."""

    def __init__(self, cell: GRUCell, state: CellState, steps: int) -> None:
        rows, size = state[0].shape
        weight = cell.hidden_weight.detach()
        self._weights = weight.split([2 * size, size])
        self._products = [Product(part, rows) for part in self._weights]
        self._output = OutputPath(state[0], steps)
        self.hidden = self._output.hidden
        self._gates = self.hidden.new_empty(rows, steps, 3 * size)
        self._reset_hidden = self.hidden.new_empty(rows, steps, size)
        self.grad_projected = self._gates  # made by turn

    def forward(self, step: int, projected: Tensor, real: Tensor) -> None:
        """See :meth:`Loop.forward`."""
        hidden, gates, reset_hidden = self.hidden[:, step], self._gates[:, step], self._reset_hidden[:, step]
        ask, recur = self._products
        pointwise.gru_gates(projected, ask(hidden), hidden, gates, reset_hidden)
        pointwise.gru_output(projected, recur(reset_hidden), real, hidden, self.hidden[:, step + 1], gates)

    def last(self) -> CellState:
        """See :meth:`Loop.last`."""
        return (self.hidden[:, -1].clone(),)

    def turn(self, grad_last: CellState) -> None:
        """See :meth:`Loop.turn`."""
        self._output.turn(grad_last[0])
        self._products = [Product(part.t(), len(grad_last[0])) for part in self._weights]
        self.grad_projected = torch.empty_like(self._gates)

    def backward(self, step: int, arriving: Tensor, real: Tensor) -> None:
        """See :meth:`Loop.backward`."""
        output, hidden, gates = self._output, self.hidden[:, step], self._gates[:, step]
        size = hidden.shape[1]
        grad_gates = self.grad_projected[:, step]
        ask, recur = self._products
        pointwise.gru_output_backward(arriving, output.product, output.carry, gates, real, hidden, grad_gates)
        grad_reset_hidden = recur(grad_gates[:, 2 * size :])
        pointwise.gru_gates_backward(grad_reset_hidden, output.carry, gates, real, hidden, grad_gates)
        output.product = ask(grad_gates[:, : 2 * size])

    def grad_first(self) -> CellState:
        """See :meth:`Loop.grad_first`."""
        return (self._output.grad_first(),)

    def grad_weights(self) -> tuple[Tensor, ...]:
        """Of the recurrent weight."""
        size = self.hidden.shape[2]
        gates, candidate = self.grad_projected.flatten(0, 1).split([2 * size, size], -1)
        return (torch.cat([gates.t() @ self._output.before(), candidate.t() @ self._reset_hidden.flatten(0, 1)]),)


class ResetAfterGRULoop:
    """:class:`ResetAfterGRUCell`: one product a step."""

    def __init__(self, cell: ResetAfterGRUCell, state: CellState, steps: int) -> None:
        rows, size = state[0].shape
        self._weight, self._hidden_bias = cell.hidden_weight.detach(), cell.hidden_bias.detach()
        self._product = Product(self._weight, rows)
        self._output = OutputPath(state[0], steps)
        self.hidden = self._output.hidden
        self._gates = self.hidden.new_empty(rows, steps, 4 * size)
        self.grad_projected = self._grad_recurrent = self._gates  # made by turn

    def forward(self, step: int, projected: Tensor, real: Tensor) -> None:
        """See :meth:`Loop.forward`."""
        hidden = self.hidden[:, step]
        pointwise.reset_after_forward(
            *(projected, self._product(hidden), self._hidden_bias, real),
            *(hidden, self.hidden[:, step + 1], self._gates[:, step]),
        )

    def last(self) -> CellState:
        """See :meth:`Loop.last`."""
        return (self.hidden[:, -1].clone(),)

    def turn(self, grad_last: CellState) -> None:
        """See :meth:`Loop.turn`."""
        rows, steps, _ = self._gates.shape
        self._output.turn(grad_last[0])
        self._product = Product(self._weight.t(), rows)
        self.grad_projected = self.hidden.new_empty(rows, steps, len(self._weight))
        self._grad_recurrent = torch.empty_like(self.grad_projected)

    def backward(self, step: int, arriving: Tensor, real: Tensor) -> None:
        """See :meth:`Loop.backward`."""
        output, grad_recurrent = self._output, self._grad_recurrent[:, step]
        pointwise.reset_after_backward(
            *(arriving, output.product, output.carry, self._gates[:, step], real, self.hidden[:, step]),
            *(self.grad_projected[:, step], grad_recurrent),
        )
        output.product = self._product(grad_recurrent)

    def grad_first(self) -> CellState:
        """See :meth:`Loop.grad_first`."""
        return (self._output.grad_first(),)

    def grad_weights(self) -> tuple[Tensor, ...]:
        """Of the recurrent weight and of the bias inside the reset."""
        size = self.hidden.shape[2]
        flat = self._grad_recurrent.flatten(0, 1)
        return (flat.t() @ self._output.before(), flat[:, 2 * size :].sum(0))
