"""The simple recurrent network (Elman 1990)."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from henkan.config import Config
from henkan.nn.cell import CellState, project
from henkan.nn.init import glorot_uniform, orthogonal_blocks


class RNNCell(nn.Module):
    """h[t] = tanh(x[t] W + h[t-1] U + b) (Elman 1990); or max(0, ...), U starting as identity (Le et al. 2015)."""

    def __init__(self, inputs: int, size: int, activation: Literal["tanh", "relu"] = "tanh") -> None:
        super().__init__()
        self.size = size
        self.activation = activation
        self.input_weight = nn.Parameter(torch.empty(size, inputs))
        self.hidden_weight = nn.Parameter(torch.empty(size, size))
        self.bias = nn.Parameter(torch.zeros(size))
        self._squash = torch.tanh if activation == "tanh" else torch.relu
        glorot_uniform(self.input_weight)
        if activation == "tanh":
            orthogonal_blocks(self.hidden_weight, 1)
        else:
            nn.init.eye_(self.hidden_weight)

    def start(self, rows: int) -> CellState:
        """Zeros (N, D)."""
        return (self.bias.new_zeros(rows, self.size),)

    def project(self, inputs: Tensor, first: int = 0) -> Tensor:
        """x W + b: (..., F) to (..., D)."""
        return project(inputs, self.input_weight, self.bias, first)

    def advance(self, projected: Tensor, state: CellState, seen: Tensor | None = None) -> CellState:
        """The rest of the equation."""
        hidden = state[0] if seen is None else seen
        return (self._squash(projected + functional.linear(hidden, self.hidden_weight)),)

    def forward(self, inputs: Tensor, state: CellState) -> CellState:
        """Inputs (N, F)."""
        return self.advance(self.project(inputs), state)


class RNNConfig(Config):
    """Elman (1990); with relu, Le et al. (2015)."""

    parts: ClassVar[int] = 1  # tensors of a state
    kind: Literal["rnn"] = "rnn"
    size: int = Field(ge=1, le=65536)
    activation: Literal["tanh", "relu"] = "tanh"

    def build(self, inputs: int) -> RNNCell:
        """A cell for inputs of this width."""
        return RNNCell(inputs, self.size, self.activation)
