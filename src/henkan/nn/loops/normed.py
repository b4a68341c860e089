"""The LSTM with layer normalisation through time, by hand: the products hoisted, the rest by torch's own operators."""

from __future__ import annotations

import torch
from torch import Tensor

from henkan.nn.cell import CellState
from henkan.nn.loops.loop import OutputPath
from henkan.nn.lstm import LayerNormLSTMCell
from henkan.nn.pointwise import wide
from henkan.nn.product import Product

EPSILON = 1e-5
"""torch's; the plain cell uses it too."""


class LayerNormLSTMLoop:
    """:class:`LayerNormLSTMCell`."""

    def __init__(self, cell: LayerNormLSTMCell, state: CellState, steps: int) -> None:
        rows, size = state[0].shape
        self._weight = cell.hidden_weight.detach()
        self._wide = wide(self._weight.dtype)
        scales = (cell.hidden_scale, cell.cell_scale, cell.cell_bias)
        self._scale, self._cell_scale, self._cell_bias = (scale.detach().to(self._wide) for scale in scales)
        self._product = Product(self._weight, rows)
        self._output = OutputPath(state[0], steps)
        self.hidden = self._output.hidden
        wide_empty = torch.empty_like(self.hidden, dtype=self._wide)
        self._cell = wide_empty
        self._cell[:, 0] = state[1]
        self._recurrent = self.hidden.new_empty(rows, steps, 4 * size)
        self._gates = self.hidden.new_empty(rows, steps, 4 * size)
        self._statistics: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
        self.grad_projected = self._grad_recurrent = self._gates  # made by turn
        self._grad_cell = self._scale
        self._grad_scales: list[Tensor] = []

    def forward(self, step: int, projected: Tensor, real: Tensor) -> None:
        """See :meth:`Loop.forward`."""
        hidden, cell, size = self.hidden[:, step], self._cell[:, step], self.hidden.shape[2]
        recurrent = self._product(hidden)
        self._recurrent[:, step] = recurrent
        normed, mean, deviation = torch.native_layer_norm(
            recurrent.to(self._wide), [4 * size], self._scale, None, EPSILON
        )
        entering, forgetting, candidate, leaving = (projected + normed).chunk(4, -1)
        entering, forgetting, leaving = map(torch.sigmoid, (entering, forgetting, leaving))
        candidate = torch.tanh(candidate)
        after = forgetting * cell + entering * candidate
        flat, cell_mean, cell_deviation = torch.native_layer_norm(
            after, [size], self._cell_scale, self._cell_bias, EPSILON
        )
        self._statistics.append((mean, deviation, cell_mean, cell_deviation))
        self._gates[:, step] = torch.cat([entering, forgetting, candidate, leaving], -1)
        self.hidden[:, step + 1] = torch.where(real, (leaving * torch.tanh(flat)).to(hidden.dtype), hidden)
        self._cell[:, step + 1] = torch.where(real, after, cell)

    def last(self) -> CellState:
        """See :meth:`Loop.last`."""
        return (self.hidden[:, -1].clone(), self._cell[:, -1].to(self.hidden.dtype, copy=True))

    def turn(self, grad_last: CellState) -> None:
        """See :meth:`Loop.turn`."""
        self._output.turn(grad_last[0])
        self._grad_cell = grad_last[1].to(self._wide)
        self._product = Product(self._weight.t(), len(grad_last[0]))
        self.grad_projected = torch.empty_like(self._gates)
        self._grad_recurrent = torch.empty_like(self._gates)
        self._grad_scales = [torch.zeros_like(part) for part in (self._scale, self._cell_scale, self._cell_bias)]

    def backward(self, step: int, arriving: Tensor, real: Tensor) -> None:
        """See :meth:`Loop.backward`."""
        size = self.hidden.shape[2]
        mean, deviation, cell_mean, cell_deviation = self._statistics[step]
        entering, forgetting, candidate, leaving = self._gates[:, step].to(self._wide).chunk(4, -1)
        before = self._cell[:, step]
        after = forgetting * before + entering * candidate  # not the buffer: at padding that holds the state before
        whole = (arriving + self._output.product + self._output.carry) * real
        squashed = torch.tanh((after - cell_mean) * cell_deviation * self._cell_scale + self._cell_bias)
        d_after, d_cell_scale, d_cell_bias = torch.ops.aten.native_layer_norm_backward(
            *(whole * leaving * (1 - squashed * squashed), after, [size], cell_mean, cell_deviation),
            *(self._cell_scale, self._cell_bias, [True, True, True]),
        )
        d_cell = d_after + self._grad_cell * real
        grad_gates = torch.cat(
            [
                d_cell * candidate * entering * (1 - entering),
                d_cell * before * forgetting * (1 - forgetting),
                d_cell * entering * (1 - candidate * candidate),
                whole * squashed * leaving * (1 - leaving),
            ],
            -1,
        )
        self.grad_projected[:, step] = grad_gates
        d_recurrent, d_scale, _ = torch.ops.aten.native_layer_norm_backward(
            *(grad_gates, self._recurrent[:, step].to(self._wide), [4 * size], mean, deviation),
            *(self._scale, None, [True, True, False]),
        )
        self._grad_recurrent[:, step] = d_recurrent
        for total, found in zip(self._grad_scales, (d_scale, d_cell_scale, d_cell_bias), strict=True):
            total += found
        self._output.carry = (arriving + self._output.product + self._output.carry).masked_fill(real, 0.0)
        self._grad_cell = torch.where(real, d_cell * forgetting, self._grad_cell)
        self._output.product = self._product(self._grad_recurrent[:, step])

    def grad_first(self) -> CellState:
        """See :meth:`Loop.grad_first`."""
        return (self._output.grad_first(), self._grad_cell.to(self.hidden.dtype))

    def grad_weights(self) -> tuple[Tensor, ...]:
        """Of the recurrent weight, the recurrent scale, the carousel's scale and bias."""
        weight = self._grad_recurrent.flatten(0, 1).t() @ self._output.before()
        return (weight, *(total.to(self.hidden.dtype) for total in self._grad_scales))
