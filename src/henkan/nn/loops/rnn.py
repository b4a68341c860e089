"""The simple network through time, by hand: back-propagation through time (Werbos 1990)."""

from __future__ import annotations

from torch import Tensor

from henkan.nn import pointwise
from henkan.nn.cell import CellState
from henkan.nn.loops.loop import OutputPath
from henkan.nn.product import Product
from henkan.nn.rnn import RNNCell


class RNNLoop:
    """:class:`RNNCell`."""

    def __init__(self, cell: RNNCell, state: CellState, steps: int) -> None:
        rows, size = state[0].shape
        self._relu = cell.activation == "relu"
        self._weight = cell.hidden_weight.detach()
        self._product = Product(self._weight, rows)
        self._output = OutputPath(state[0], steps)
        self.hidden = self._output.hidden
        self._shape = (rows, steps, size)
        self.grad_projected = self.hidden  # made by turn

    def forward(self, step: int, projected: Tensor, real: Tensor) -> None:
        """See :meth:`Loop.forward`."""
        hidden = self.hidden[:, step]
        pointwise.rnn_forward(self._relu, projected, self._product(hidden), real, hidden, self.hidden[:, step + 1])

    def last(self) -> CellState:
        """See :meth:`Loop.last`."""
        return (self.hidden[:, -1].clone(),)

    def turn(self, grad_last: CellState) -> None:
        """See :meth:`Loop.turn`."""
        self._output.turn(grad_last[0])
        self._product = Product(self._weight.t(), self._shape[0])
        self.grad_projected = self.hidden.new_empty(self._shape)

    def backward(self, step: int, arriving: Tensor, real: Tensor) -> None:
        """See :meth:`Loop.backward`."""
        output, grad_projected = self._output, self.grad_projected[:, step]
        pointwise.rnn_backward(
            *(self._relu, arriving, output.product, output.carry, real, self.hidden[:, step + 1], grad_projected)
        )
        output.product = self._product(grad_projected)

    def grad_first(self) -> CellState:
        """See :meth:`Loop.grad_first`."""
        return (self._output.grad_first(),)

    def grad_weights(self) -> tuple[Tensor, ...]:
        """Of the recurrent weight."""
        return (self.grad_projected.flatten(0, 1).t() @ self._output.before(),)
