"""Twins of parts for inference alone: weights laid out for the processor once, a step of a cell in one pass.

A twin has the interface of its part, which is its specification; :func:`twin` says which parts have one. Products may
be bf16, all else is of the part's own type. What happens to a part's weights afterwards does not reach its twin.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from henkan.nn import pointwise
from henkan.nn.cell import CellState
from henkan.nn.feedforward import FeedForward
from henkan.nn.gru import GRUCell, ResetAfterGRUCell
from henkan.nn.heads import Alignment, LinearTokenScores, TokenHead
from henkan.nn.lstm import LSTMCell
from henkan.nn.product import Matrix, PackedBest, PackedProduct
from henkan.nn.rnn import RNNCell
from henkan.nn.scores import GeneralScores
from henkan.tensors import StepScores


def twin(part: nn.Module, dtype: torch.dtype) -> nn.Module | None:
    """The part's twin, whose products are of this type, or None where the part serves inference as it is."""
    match part:
        case nn.Linear():
            return PackedLinear(part, dtype)
        case FeedForward():
            return PackedFeedForward(part, dtype)
        case TokenHead():
            return PackedTokenHead(part, dtype)
        case GeneralScores():
            return PackedGeneralScores(part, dtype)
        case _:
            return None


def step_twin(part: nn.Module, dtype: torch.dtype) -> nn.Module | None:
    """The same of a cell that will be asked for one step at a time."""
    match part:
        case LSTMCell():
            return PackedLSTMCell(part, dtype)
        case GRUCell():
            return PackedGRUCell(part, dtype)
        case ResetAfterGRUCell():
            return PackedResetAfterGRUCell(part, dtype)
        case RNNCell():
            return PackedRNNCell(part, dtype)
        case _:
            return None


class UnknownPartError(Exception):
    """A part that is not written in C++."""


def matrix_of(part: object) -> Matrix:
    """The weights of a packed part with one product, for the functions of ``native``.

    Raises:
        UnknownPartError: they do not serve it.
    """
    product = part.product if isinstance(part, PackedLinear) else part
    if not isinstance(product, PackedProduct) or product.panels is None:
        raise UnknownPartError
    return product.panels.matrix


def check_tokens(ids: Tensor, vocabulary: int) -> None:
    """IndexError unless all ids are in a vocabulary of this size."""
    low, high = ids.aminmax()
    if int(low) < 0 or int(high) >= vocabulary:
        raise IndexError(f"token {int(low)} or {int(high)}: expected at least 0 and below {vocabulary}")


class PackedLinear(nn.Module):
    """x W^T + b."""

    def __init__(self, linear: nn.Linear, dtype: torch.dtype) -> None:
        super().__init__()
        self.product = PackedProduct(linear.weight, linear.bias, dtype)

    def forward(self, vectors: Tensor) -> Tensor:
        """(..., K) to (..., M)."""
        return self.product(vectors)


class PackedFeedForward(nn.Module):
    """:class:`FeedForward`."""

    def __init__(self, network: FeedForward, dtype: torch.dtype) -> None:
        super().__init__()
        self.inner = PackedProduct(network.inner.weight, network.inner.bias, dtype)
        self.outer = PackedProduct(network.outer.weight, network.outer.bias, dtype)
        self.activation = network.activation

    def forward(self, vectors: Tensor) -> Tensor:
        """(..., D) to (..., D)."""
        return self.outer(self.activation(self.inner(vectors)))


class PackedGeneralScores(nn.Module):
    """:class:`GeneralScores`; only the keys' product is packed."""

    def __init__(self, scores: GeneralScores, dtype: torch.dtype) -> None:
        super().__init__()
        self.product = PackedProduct(scores.weight, None, dtype)

    def project(self, states: Tensor) -> Tensor:
        """(N, S, key width) to (N, S, query width)."""
        return self.product(states)

    def forward(self, queries: Tensor, keys: Tensor) -> Tensor:
        """(N, T, D), (N, S, D) to (N, T, S)."""
        return torch.bmm(queries, keys.transpose(1, 2))


class PackedTokenHead(nn.Module):
    """:class:`TokenHead`; whole targets are scored with the weight as it is."""

    def __init__(self, head: TokenHead, dtype: torch.dtype) -> None:
        super().__init__()
        self.weight, self.bias = head.weight, head.bias
        self._best = PackedBest(head.weight, head.bias, dtype)

    def forward(self, hidden: Tensor, alignment: Alignment | None = None) -> LinearTokenScores:
        """Hidden (N, T, D)."""
        return LinearTokenScores(hidden, self.weight, self.bias)

    def step(self, hidden: Tensor, alignment: Alignment) -> StepScores:
        """Hidden (N, D) of one step."""
        return PackedStepScores(self._best, hidden, self.weight.detach(), self.bias, alignment.weights)


@dataclass(frozen=True)
class PackedStepScores:
    """The scores of one step, made when they are asked for."""

    best: PackedBest
    hidden: Tensor  # (N, D)
    weight: Tensor  # (V, D)
    bias: Tensor | None  # (V,)
    weights: Callable[[], Tensor | None]

    def argmax(self) -> Tensor:
        """(N,) the best token."""
        return self.top(1)[1][:, 0]

    def top(self, k: int) -> tuple[Tensor, Tensor]:
        """Log-probabilities (float32) and ids of the best k tokens, both (N, k)."""
        return self.best(self.hidden, k)

    def log_probs(self) -> Tensor:
        """(N, V) in float32; nothing is rounded, for whoever asks for all of them will add them up with others."""
        logits = functional.linear(self.hidden, self.weight, self.bias)
        return torch.log_softmax(logits, -1, dtype=torch.float32)

    def attention(self) -> Tensor | None:
        """(N, S) weights over the source, or None."""
        return self.weights()


class _Inputs:
    """The share of inputs in the gates; each part of an input has a product, packed when it first comes."""

    def __init__(self, weight: Tensor, bias: Tensor, dtype: torch.dtype) -> None:
        self._weight, self._bias, self._dtype = weight.detach(), bias.detach(), dtype
        self._parts: dict[tuple[int, int], PackedProduct] = {}

    def __call__(self, inputs: Tensor, first: int) -> Tensor:
        part = (first, first + inputs.shape[-1])
        product = self._parts.get(part)
        if product is None:
            product = PackedProduct(self._weight[:, slice(*part)], None if first else self._bias, self._dtype)
            self._parts[part] = product
        return product(inputs)

    def zeros(self, rows: int, size: int) -> Tensor:
        return self._bias.new_zeros(rows, size)


class PackedLSTMCell(nn.Module):
    """:class:`LSTMCell`; the carousel is float32 within a step."""

    def __init__(self, cell: LSTMCell, dtype: torch.dtype) -> None:
        super().__init__()
        self.size, self.forgetting = cell.size, cell.forgetting
        self.input_weight, self.hidden_weight = cell.input_weight.detach(), cell.hidden_weight.detach()
        self.bias = cell.bias.detach()
        self._inputs = _Inputs(cell.input_weight, cell.bias, dtype)
        self._recurrent = PackedProduct(cell.hidden_weight, None, dtype)
        peepholes = cell.peephole_weight
        self.peephole_weight = None if peepholes is None else peepholes.detach().to(pointwise.wide(peepholes.dtype))

    def start(self, rows: int) -> CellState:
        """Zeros: output and cell, (N, D) each."""
        return (self._inputs.zeros(rows, self.size), self._inputs.zeros(rows, self.size))

    def project(self, inputs: Tensor, first: int = 0) -> Tensor:
        """(..., F) to (..., gates * D)."""
        return self._inputs(inputs, first)

    def advance(self, projected: Tensor, state: CellState, seen: Tensor | None = None) -> CellState:
        """The rest of the equations."""
        hidden, before = state[0].contiguous(), state[1]
        cell = before.to(pointwise.wide(hidden.dtype)).contiguous()
        after, cell_after, gates = torch.empty_like(hidden), torch.empty_like(cell), _gates(projected)
        recurrent = self._recurrent(hidden if seen is None else seen)
        pointwise.lstm_forward(
            *(self.forgetting, projected, recurrent, self.peephole_weight, _real(hidden)),
            *(hidden, cell, after, cell_after, gates),
        )
        return (after, cell_after.to(before.dtype))

    def forward(self, inputs: Tensor, state: CellState) -> CellState:
        """Inputs (N, F)."""
        return self.advance(self.project(inputs), state)


class PackedGRUCell(nn.Module):
    """:class:`GRUCell`."""

    def __init__(self, cell: GRUCell, dtype: torch.dtype) -> None:
        super().__init__()
        self.size = cell.size
        self._inputs = _Inputs(cell.input_weight, cell.bias, dtype)
        asking, recurring = cell.hidden_weight.split([2 * cell.size, cell.size])
        self._asking, self._recurring = PackedProduct(asking, None, dtype), PackedProduct(recurring, None, dtype)

    def start(self, rows: int) -> CellState:
        """Zeros (N, D)."""
        return (self._inputs.zeros(rows, self.size),)

    def project(self, inputs: Tensor, first: int = 0) -> Tensor:
        """(..., F) to (..., 3 D)."""
        return self._inputs(inputs, first)

    def advance(self, projected: Tensor, state: CellState, seen: Tensor | None = None) -> CellState:
        """The rest of the equations."""
        assert seen is None, "only training masks what a cell sees"
        hidden = state[0].contiguous()
        after, reset, gates = torch.empty_like(hidden), torch.empty_like(hidden), _gates(projected)
        pointwise.gru_gates(projected, self._asking(hidden), hidden, gates, reset)
        pointwise.gru_output(projected, self._recurring(reset), _real(hidden), hidden, after, gates)
        return (after,)

    def forward(self, inputs: Tensor, state: CellState) -> CellState:
        """Inputs (N, F)."""
        return self.advance(self.project(inputs), state)


class PackedResetAfterGRUCell(nn.Module):
    """:class:`ResetAfterGRUCell`."""

    def __init__(self, cell: ResetAfterGRUCell, dtype: torch.dtype) -> None:
        super().__init__()
        self.size = cell.size
        self._inputs = _Inputs(cell.input_weight, cell.bias, dtype)
        self._recurrent = PackedProduct(cell.hidden_weight, None, dtype)
        self._hidden_bias = cell.hidden_bias.detach()

    def start(self, rows: int) -> CellState:
        """Zeros (N, D)."""
        return (self._inputs.zeros(rows, self.size),)

    def project(self, inputs: Tensor, first: int = 0) -> Tensor:
        """(..., F) to (..., 3 D)."""
        return self._inputs(inputs, first)

    def advance(self, projected: Tensor, state: CellState, seen: Tensor | None = None) -> CellState:
        """The rest of the equations."""
        hidden = state[0].contiguous()
        after, gates = torch.empty_like(hidden), projected.new_empty(len(hidden), 4 * self.size)
        recurrent = self._recurrent(hidden if seen is None else seen)
        pointwise.reset_after_forward(projected, recurrent, self._hidden_bias, _real(hidden), hidden, after, gates)
        return (after,)

    def forward(self, inputs: Tensor, state: CellState) -> CellState:
        """Inputs (N, F)."""
        return self.advance(self.project(inputs), state)


class PackedRNNCell(nn.Module):
    """:class:`RNNCell`."""

    def __init__(self, cell: RNNCell, dtype: torch.dtype) -> None:
        super().__init__()
        self.size = cell.size
        self._relu = cell.activation == "relu"
        self._inputs = _Inputs(cell.input_weight, cell.bias, dtype)
        self._recurrent = PackedProduct(cell.hidden_weight, None, dtype)

    def start(self, rows: int) -> CellState:
        """Zeros (N, D)."""
        return (self._inputs.zeros(rows, self.size),)

    def project(self, inputs: Tensor, first: int = 0) -> Tensor:
        """(..., F) to (..., D)."""
        return self._inputs(inputs, first)

    def advance(self, projected: Tensor, state: CellState, seen: Tensor | None = None) -> CellState:
        """The rest of the equation."""
        hidden = state[0].contiguous()
        after = torch.empty_like(hidden)
        recurrent = self._recurrent(hidden if seen is None else seen)
        pointwise.rnn_forward(self._relu, projected, recurrent, _real(hidden), hidden, after)
        return (after,)

    def forward(self, inputs: Tensor, state: CellState) -> CellState:
        """Inputs (N, F)."""
        return self.advance(self.project(inputs), state)


def _gates(projected: Tensor) -> Tensor:
    """Where a step may write what only a way back would read."""
    return torch.empty(projected.shape, dtype=projected.dtype, device=projected.device)


def _real(hidden: Tensor) -> Tensor:
    """No row of a step is padding; the loop around it leaves out those that are."""
    return torch.ones(len(hidden), 1, dtype=torch.bool, device=hidden.device)
