"""Recurrent cells: one step, from inputs and a state to outputs and the next state.

Every cell splits its step in two, because the first half needs no state and can be done for all steps at once:
``project`` is the product with the inputs, ``advance`` the rest. Weights lie as (gates * D, inputs); gates are ordered
input, forget, cell, output in the LSTM (torch's order) and reset, update, candidate in the GRU.
"""

from __future__ import annotations

from typing import Annotated, Literal, Protocol

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from henkan.config import Config
from henkan.nn.init import glorot_uniform, orthogonal_blocks

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

    def advance(self, projected: Tensor, state: CellState) -> CellState:
        """One step from projected inputs (N, gates * D)."""
        ...

    def __call__(self, inputs: Tensor, state: CellState) -> CellState:
        """One step from inputs (N, F)."""
        ...


def project(inputs: Tensor, weight: Tensor, bias: Tensor, first: int) -> Tensor:
    """Inputs (..., F) by columns ``first`` to ``first + F`` of the weight; the bias once, with the first part."""
    part = weight[:, first : first + inputs.shape[-1]]
    return functional.linear(inputs, part, None if first else bias)


class RNNCell(nn.Module):
    """h[t] = tanh(x[t] W + h[t-1] U + b) (Elman 1990)."""

    def __init__(self, inputs: int, size: int) -> None:
        super().__init__()
        self.size = size
        self.input_weight = nn.Parameter(torch.empty(size, inputs))
        self.hidden_weight = nn.Parameter(torch.empty(size, size))
        self.bias = nn.Parameter(torch.zeros(size))
        glorot_uniform(self.input_weight)
        orthogonal_blocks(self.hidden_weight, 1)

    def start(self, rows: int) -> CellState:
        """Zeros (N, D)."""
        return (self.bias.new_zeros(rows, self.size),)

    def project(self, inputs: Tensor, first: int = 0) -> Tensor:
        """x W + b: (..., F) to (..., D)."""
        return project(inputs, self.input_weight, self.bias, first)

    def advance(self, projected: Tensor, state: CellState) -> CellState:
        """The rest of the equation."""
        return (torch.tanh(projected + functional.linear(state[0], self.hidden_weight)),)

    def forward(self, inputs: Tensor, state: CellState) -> CellState:
        """Inputs (N, F)."""
        return self.advance(self.project(inputs), state)


class LSTMCell(nn.Module):
    """i, f, o = s(x W + h U + b); c[t] = f * c[t-1] + i * tanh(...); h[t] = o * tanh(c[t]).

    Hochreiter & Schmidhuber (1997) with the forget gate of Gers et al. (2000), whose bias starts at 1
    (Jozefowicz et al. 2015).
    """

    def __init__(self, inputs: int, size: int) -> None:
        super().__init__()
        self.size = size
        self.input_weight = nn.Parameter(torch.empty(4 * size, inputs))
        self.hidden_weight = nn.Parameter(torch.empty(4 * size, size))
        self.bias = nn.Parameter(torch.zeros(4 * size))
        glorot_uniform(self.input_weight, blocks=4)
        orthogonal_blocks(self.hidden_weight, 4)
        with torch.no_grad():
            self.bias[size : 2 * size] = 1.0

    def start(self, rows: int) -> CellState:
        """Zeros: output and cell, (N, D) each."""
        return (self.bias.new_zeros(rows, self.size), self.bias.new_zeros(rows, self.size))

    def project(self, inputs: Tensor, first: int = 0) -> Tensor:
        """x W + b: (..., F) to (..., 4 D)."""
        return project(inputs, self.input_weight, self.bias, first)

    def advance(self, projected: Tensor, state: CellState) -> CellState:
        """The rest of the equations."""
        hidden, cell = state
        entering, forgetting, candidate, leaving = torch.addmm(projected, hidden, self.hidden_weight.t()).chunk(4, -1)
        cell = torch.sigmoid(forgetting) * cell + torch.sigmoid(entering) * torch.tanh(candidate)
        return (torch.sigmoid(leaving) * torch.tanh(cell), cell)

    def forward(self, inputs: Tensor, state: CellState) -> CellState:
        """Inputs (N, F)."""
        return self.advance(self.project(inputs), state)


class GRUCell(nn.Module):
    """r, z = s(x W + h U + b); g = tanh(x W + (r * h) U + b); h[t] = z * h[t-1] + (1 - z) * g (Cho et al. 2014).

    The reset gate acts before the recurrent product, as in the paper; torch's own GRU applies it after.
    """

    def __init__(self, inputs: int, size: int) -> None:
        super().__init__()
        self.size = size
        self.input_weight = nn.Parameter(torch.empty(3 * size, inputs))
        self.hidden_weight = nn.Parameter(torch.empty(3 * size, size))
        self.bias = nn.Parameter(torch.zeros(3 * size))
        glorot_uniform(self.input_weight, blocks=3)
        orthogonal_blocks(self.hidden_weight, 3)

    def start(self, rows: int) -> CellState:
        """Zeros (N, D)."""
        return (self.bias.new_zeros(rows, self.size),)

    def project(self, inputs: Tensor, first: int = 0) -> Tensor:
        """x W + b: (..., F) to (..., 3 D)."""
        return project(inputs, self.input_weight, self.bias, first)

    def advance(self, projected: Tensor, state: CellState) -> CellState:
        """The rest of the equations."""
        hidden = state[0]
        gates, candidate = projected.split([2 * self.size, self.size], -1)
        gate_weight, candidate_weight = self.hidden_weight.split([2 * self.size, self.size])
        reset, update = torch.sigmoid(torch.addmm(gates, hidden, gate_weight.t())).chunk(2, -1)
        candidate = torch.tanh(torch.addmm(candidate, reset * hidden, candidate_weight.t()))
        return (torch.lerp(candidate, hidden, update),)

    def forward(self, inputs: Tensor, state: CellState) -> CellState:
        """Inputs (N, F)."""
        return self.advance(self.project(inputs), state)


class RNNConfig(Config):
    """Elman (1990)."""

    kind: Literal["rnn"] = "rnn"
    size: int = Field(ge=1, le=65536)

    def build(self, inputs: int) -> RNNCell:
        """A cell for inputs of this width."""
        return RNNCell(inputs, self.size)


class LSTMConfig(Config):
    """Hochreiter & Schmidhuber (1997); the forget gate is Gers et al. (2000)."""

    kind: Literal["lstm"] = "lstm"
    size: int = Field(ge=1, le=65536)

    def build(self, inputs: int) -> LSTMCell:
        """A cell for inputs of this width."""
        return LSTMCell(inputs, self.size)


class GRUConfig(Config):
    """Cho et al. (2014), reset before the recurrent product."""

    kind: Literal["gru"] = "gru"
    size: int = Field(ge=1, le=65536)

    def build(self, inputs: int) -> GRUCell:
        """A cell for inputs of this width."""
        return GRUCell(inputs, self.size)


CellConfig = Annotated[RNNConfig | LSTMConfig | GRUConfig, Field(discriminator="kind")]
