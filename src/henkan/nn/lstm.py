"""The LSTM in all its generations.

    i = s(x W_i + h[t-1] U_i + b_i)       input gate                          Hochreiter & Schmidhuber (1997)
    f = s(x W_f + h[t-1] U_f + b_f)       forget gate                         Gers et al. (2000); none before: f = 1
    g = tanh(x W_g + h[t-1] U_g + b_g)    candidate
    c[t] = f * c[t-1] + i * g             constant error carousel
    o = s(x W_o + h[t-1] U_o + b_o)       output gate
    h[t] = o * tanh(c[t])

Peepholes (Gers & Schmidhuber 2000): i and f also see p * c[t-1], o sees p * c[t]. Coupled gates (Greff et al. 2017):
f = 1 - i.
"""

from __future__ import annotations

from typing import ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from henkan.config import Config
from henkan.nn.cell import CellState, project
from henkan.nn.init import glorot_uniform, orthogonal_blocks

Forgetting = Literal["gate", "coupled", "none"]


class LSTMCell(nn.Module):
    """The equations above; a forget gate's bias starts at 1 (Jozefowicz et al. 2015)."""

    def __init__(self, inputs: int, size: int, forgetting: Forgetting = "gate", peephole: bool = False) -> None:
        super().__init__()
        self.size = size
        self.forgetting = forgetting
        self.gates = 4 if forgetting == "gate" else 3
        self.is_standard = forgetting == "gate" and not peephole  # the one that vendors' kernels run
        self.input_weight = nn.Parameter(torch.empty(self.gates * size, inputs))
        self.hidden_weight = nn.Parameter(torch.empty(self.gates * size, size))
        self.bias = nn.Parameter(torch.zeros(self.gates * size))
        # input, forget (where there is one), output
        self.peephole_weight = nn.Parameter(torch.zeros((self.gates - 1) * size)) if peephole else None
        glorot_uniform(self.input_weight, blocks=self.gates)
        orthogonal_blocks(self.hidden_weight, self.gates)
        if forgetting == "gate":
            nn.init.ones_(self.bias.detach()[size : 2 * size])

    def start(self, rows: int) -> CellState:
        """Zeros: output and cell, (N, D) each."""
        return (self.bias.new_zeros(rows, self.size), self.bias.new_zeros(rows, self.size))

    def project(self, inputs: Tensor, first: int = 0) -> Tensor:
        """x W + b: (..., F) to (..., gates * D)."""
        return project(inputs, self.input_weight, self.bias, first)

    def advance(self, projected: Tensor, state: CellState, seen: Tensor | None = None) -> CellState:
        """The rest of the equations."""
        hidden, cell = state
        hidden = hidden if seen is None else seen
        entering, *forgetting, candidate, leaving = torch.addmm(projected, hidden, self.hidden_weight.t()).chunk(
            self.gates, -1
        )
        if self.peephole_weight is not None:
            peepholes = self.peephole_weight.chunk(self.gates - 1)
            entering = entering + peepholes[0] * cell
            forgetting = [gate + peepholes[1] * cell for gate in forgetting]
        entering = torch.sigmoid(entering)
        if self.forgetting == "gate":
            kept = torch.sigmoid(forgetting[0]) * cell
        else:
            kept = cell - entering * cell if self.forgetting == "coupled" else cell
        cell = kept + entering * torch.tanh(candidate)
        if self.peephole_weight is not None:
            leaving = leaving + peepholes[-1] * cell
        return (torch.sigmoid(leaving) * torch.tanh(cell), cell)

    def forward(self, inputs: Tensor, state: CellState) -> CellState:
        """Inputs (N, F)."""
        return self.advance(self.project(inputs), state)


class FirstLSTMCell(nn.Module):
    """The cell of 1997 to the letter: g in [-2, 2], output squashed by 2 s(c) - 1, gradients cut at the gates.

    "Cut" (``truncated``): errors flow back through the carousel alone, not through what gates and candidate saw of
    h[t-1] (Hochreiter & Schmidhuber 1997, appendix A.1).
    """

    def __init__(self, inputs: int, size: int, squash_1997: bool, truncated: bool) -> None:
        super().__init__()
        self.size = size
        self.truncated = truncated
        self.squash_1997 = squash_1997
        self.input_weight = nn.Parameter(torch.empty(3 * size, inputs))
        self.hidden_weight = nn.Parameter(torch.empty(3 * size, size))
        self.bias = nn.Parameter(torch.zeros(3 * size))
        glorot_uniform(self.input_weight, blocks=3)
        orthogonal_blocks(self.hidden_weight, 3)

    def start(self, rows: int) -> CellState:
        """Zeros: output and cell, (N, D) each."""
        return (self.bias.new_zeros(rows, self.size), self.bias.new_zeros(rows, self.size))

    def project(self, inputs: Tensor, first: int = 0) -> Tensor:
        """x W + b: (..., F) to (..., 3 D)."""
        return project(inputs, self.input_weight, self.bias, first)

    def advance(self, projected: Tensor, state: CellState, seen: Tensor | None = None) -> CellState:
        """The rest of the equations."""
        hidden, cell = state
        hidden = hidden if seen is None else seen
        hidden = hidden.detach() if self.truncated else hidden
        entering, candidate, leaving = torch.addmm(projected, hidden, self.hidden_weight.t()).chunk(3, -1)
        if self.squash_1997:
            candidate = 4 * torch.sigmoid(candidate) - 2
        else:
            candidate = torch.tanh(candidate)
        cell = cell + torch.sigmoid(entering) * candidate
        squashed = 2 * torch.sigmoid(cell) - 1 if self.squash_1997 else torch.tanh(cell)
        return (torch.sigmoid(leaving) * squashed, cell)

    def forward(self, inputs: Tensor, state: CellState) -> CellState:
        """Inputs (N, F)."""
        return self.advance(self.project(inputs), state)


class LayerNormLSTMCell(nn.Module):
    """i, f, g, o = LN(x W) + LN(h[t-1] U) + b; h[t] = o * tanh(LN(c[t])) (Ba et al. 2016, equations 20 to 22).

    An input made of several parts is normalised part by part.
    """

    def __init__(self, inputs: int, size: int) -> None:
        super().__init__()
        self.size = size
        self.input_weight = nn.Parameter(torch.empty(4 * size, inputs))
        self.hidden_weight = nn.Parameter(torch.empty(4 * size, size))
        self.bias = nn.Parameter(torch.zeros(4 * size))
        self.input_scale = nn.Parameter(torch.ones(4 * size))
        self.hidden_scale = nn.Parameter(torch.ones(4 * size))
        self.cell_scale = nn.Parameter(torch.ones(size))
        self.cell_bias = nn.Parameter(torch.zeros(size))
        glorot_uniform(self.input_weight, blocks=4)
        orthogonal_blocks(self.hidden_weight, 4)
        nn.init.ones_(self.bias.detach()[size : 2 * size])

    def start(self, rows: int) -> CellState:
        """Zeros: output and cell, (N, D) each."""
        return (self.bias.new_zeros(rows, self.size), self.bias.new_zeros(rows, self.size))

    def project(self, inputs: Tensor, first: int = 0) -> Tensor:
        """LN(x W) + b: (..., F) to (..., 4 D)."""
        product = functional.linear(inputs, self.input_weight[:, first : first + inputs.shape[-1]])
        return functional.layer_norm(product, (4 * self.size,), self.input_scale, None if first else self.bias)

    def advance(self, projected: Tensor, state: CellState, seen: Tensor | None = None) -> CellState:
        """The rest of the equations."""
        hidden, cell = state
        recurrent = functional.linear(hidden if seen is None else seen, self.hidden_weight)
        gates = projected + functional.layer_norm(recurrent, (4 * self.size,), self.hidden_scale)
        entering, forgetting, candidate, leaving = gates.chunk(4, -1)
        cell = torch.sigmoid(forgetting) * cell + torch.sigmoid(entering) * torch.tanh(candidate)
        normed = functional.layer_norm(cell, (self.size,), self.cell_scale, self.cell_bias)
        return (torch.sigmoid(leaving) * torch.tanh(normed), cell)

    def forward(self, inputs: Tensor, state: CellState) -> CellState:
        """Inputs (N, F)."""
        return self.advance(self.project(inputs), state)


class LSTMConfig(Config):
    """Hochreiter & Schmidhuber (1997); the forget gate is Gers et al. (2000), peepholes Gers & Schmidhuber (2000)."""

    parts: ClassVar[int] = 2  # tensors of a state
    kind: Literal["lstm"] = "lstm"
    size: int = Field(ge=1, le=65536)
    forget_gate: bool = True
    peephole: bool = False
    coupled: bool = False  # the forget gate is 1 - input gate (Greff et al. 2017)

    @model_validator(mode="after")
    def _couples_what_is_there(self) -> Self:
        if self.coupled and not self.forget_gate:
            raise ValueError("coupled: true makes a forget gate, 1 - input gate; it cannot go with forget_gate: false")
        return self

    def build(self, inputs: int) -> LSTMCell:
        """A cell for inputs of this width."""
        forgetting: Forgetting = "coupled" if self.coupled else "gate" if self.forget_gate else "none"
        return LSTMCell(inputs, self.size, forgetting, self.peephole)


class FirstLSTMConfig(Config):
    """Hochreiter & Schmidhuber (1997): constant error carousel, input and output gates, no forget gate."""

    parts: ClassVar[int] = 2  # tensors of a state
    kind: Literal["lstm-1997"] = "lstm-1997"
    size: int = Field(ge=1, le=65536)
    squash_1997: bool = False  # candidate in [-2, 2], output by 2 s(c) - 1, as published; otherwise tanh twice
    truncated: bool = False  # gradients cut at the gates, as published; otherwise the whole gradient

    def build(self, inputs: int) -> LSTMCell | FirstLSTMCell:
        """A cell for inputs of this width."""
        if self.squash_1997 or self.truncated:
            return FirstLSTMCell(inputs, self.size, self.squash_1997, self.truncated)
        return LSTMCell(inputs, self.size, "none")


class LayerNormLSTMConfig(Config):
    """Ba et al. (2016)."""

    parts: ClassVar[int] = 2  # tensors of a state
    kind: Literal["lstm-layer-norm"] = "lstm-layer-norm"
    size: int = Field(ge=1, le=65536)

    def build(self, inputs: int) -> LayerNormLSTMCell:
        """A cell for inputs of this width."""
        return LayerNormLSTMCell(inputs, self.size)
