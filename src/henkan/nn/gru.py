"""Gated recurrent units: the form of 2014, the form of the vendors' kernels, and one that scans.

r, z = s(x W + h[t-1] U + b)          reset and update gate
g = tanh(x W + (r * h[t-1]) U + b)    candidate, reset before the product     Cho et al. (2014)
g = tanh(x W + b + r * (h[t-1] U + d))                   reset after it       torch, cuDNN
h[t] = z * h[t-1] + (1 - z) * g
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from henkan.config import Config
from henkan.nn.cell import CellState, project
from henkan.nn.init import glorot_uniform, orthogonal_blocks


class GRUCell(nn.Module):
    """Reset before the recurrent product, as in the paper (Cho et al. 2014)."""

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

    def advance(self, projected: Tensor, state: CellState, seen: Tensor | None = None) -> CellState:
        """The rest of the equations."""
        hidden = state[0]
        seen = hidden if seen is None else seen
        gates, candidate = projected.split([2 * self.size, self.size], -1)
        gate_weight, candidate_weight = self.hidden_weight.split([2 * self.size, self.size])
        reset, update = torch.sigmoid(torch.addmm(gates, seen, gate_weight.t())).chunk(2, -1)
        candidate = torch.tanh(torch.addmm(candidate, reset * seen, candidate_weight.t()))
        return (torch.lerp(candidate, hidden, update),)

    def forward(self, inputs: Tensor, state: CellState) -> CellState:
        """Inputs (N, F)."""
        return self.advance(self.project(inputs), state)


class ResetAfterGRUCell(nn.Module):
    """Reset after the recurrent product: one product a step; ``hidden_bias`` is d of the equations."""

    def __init__(self, inputs: int, size: int) -> None:
        super().__init__()
        self.size = size
        self.input_weight = nn.Parameter(torch.empty(3 * size, inputs))
        self.hidden_weight = nn.Parameter(torch.empty(3 * size, size))
        self.bias = nn.Parameter(torch.zeros(3 * size))
        self.hidden_bias = nn.Parameter(torch.zeros(size))
        glorot_uniform(self.input_weight, blocks=3)
        orthogonal_blocks(self.hidden_weight, 3)

    def start(self, rows: int) -> CellState:
        """Zeros (N, D)."""
        return (self.bias.new_zeros(rows, self.size),)

    def project(self, inputs: Tensor, first: int = 0) -> Tensor:
        """x W + b: (..., F) to (..., 3 D)."""
        return project(inputs, self.input_weight, self.bias, first)

    def advance(self, projected: Tensor, state: CellState, seen: Tensor | None = None) -> CellState:
        """The rest of the equations."""
        hidden = state[0]
        seen = hidden if seen is None else seen
        gates, candidate = projected.split([2 * self.size, self.size], -1)
        asked, recurrent = torch.mm(seen, self.hidden_weight.t()).split([2 * self.size, self.size], -1)
        reset, update = torch.sigmoid(gates + asked).chunk(2, -1)
        candidate = torch.tanh(candidate + reset * (recurrent + self.hidden_bias))
        return (torch.lerp(candidate, hidden, update),)

    def forward(self, inputs: Tensor, state: CellState) -> CellState:
        """Inputs (N, F)."""
        return self.advance(self.project(inputs), state)


class MinimalGRUCell(nn.Module):
    """z = s(x W_z + b), g = x W_g + b, h[t] = (1 - z) * h[t-1] + z * g: no gate sees h (Feng et al. 2024).

    So a sequence is a scan rather than a loop; see :mod:`henkan.nn.scan`. Rows are ordered update, candidate.
    """

    def __init__(self, inputs: int, size: int) -> None:
        super().__init__()
        self.size = size
        self.input_weight = nn.Parameter(torch.empty(2 * size, inputs))
        self.bias = nn.Parameter(torch.zeros(2 * size))
        glorot_uniform(self.input_weight, blocks=2)

    def start(self, rows: int) -> CellState:
        """Zeros (N, D)."""
        return (self.bias.new_zeros(rows, self.size),)

    def project(self, inputs: Tensor, first: int = 0) -> Tensor:
        """x W + b: (..., F) to (..., 2 D)."""
        return project(inputs, self.input_weight, self.bias, first)

    def advance(self, projected: Tensor, state: CellState, seen: Tensor | None = None) -> CellState:
        """The rest of the equations; there is no recurrent product, so nothing reads ``seen``."""
        update, candidate = projected.chunk(2, -1)
        return (torch.lerp(state[0], candidate, torch.sigmoid(update)),)

    def forward(self, inputs: Tensor, state: CellState) -> CellState:
        """Inputs (N, F)."""
        return self.advance(self.project(inputs), state)


class GRUConfig(Config):
    """Cho et al. (2014); ``reset: after`` is the form of torch and cuDNN."""

    parts: ClassVar[int] = 1  # tensors of a state
    kind: Literal["gru"] = "gru"
    size: int = Field(ge=1, le=65536)
    reset: Literal["before", "after"] = "before"

    def build(self, inputs: int) -> GRUCell | ResetAfterGRUCell:
        """A cell for inputs of this width."""
        return GRUCell(inputs, self.size) if self.reset == "before" else ResetAfterGRUCell(inputs, self.size)


class MinimalGRUConfig(Config):
    """Feng et al. (2024)."""

    parts: ClassVar[int] = 1  # tensors of a state
    kind: Literal["min-gru"] = "min-gru"
    size: int = Field(ge=1, le=65536)

    def build(self, inputs: int) -> MinimalGRUCell:
        """A cell for inputs of this width."""
        return MinimalGRUCell(inputs, self.size)
