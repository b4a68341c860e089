"""From hidden vectors to what is predicted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from henkan.nn.cross_entropy import cross_entropy_chunked
from henkan.nn.top import top
from henkan.tensors import IGNORE, StepScores, TokenScores


@dataclass(frozen=True)
class Alignment:
    """Where a decoder looked while it made its hidden vectors."""

    weights: Callable[[], Tensor | None]  # (N, T, S), or (N, S) for one step; called only if somebody asks for them
    ids: Tensor | None = None  # (N, S) int64: the source's tokens, where the decoder keeps them


class Head(Protocol):
    """From hidden vectors to the scores of tokens."""

    @property
    def weight(self) -> nn.Parameter:
        """(V, D), which may be an embedding's."""
        ...

    def __call__(self, hidden: Tensor, alignment: Alignment) -> TokenScores:
        """Hidden (N, T, D)."""
        ...

    def step(self, hidden: Tensor, alignment: Alignment) -> StepScores:
        """Hidden (N, D) of one step."""
        ...


@dataclass(frozen=True)
class LinearTokenScores:
    """Hidden vectors and an output matrix: all that is needed for logits, which may stay unmade."""

    hidden: Tensor  # (N, T, D)
    weight: Tensor  # (V, D)
    bias: Tensor | None  # (V,)

    def logits(self) -> Tensor:
        """(N, T, V)."""
        return functional.linear(self.hidden, self.weight, self.bias)

    def loss(self, labels: Tensor, smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
        """Sum of smoothed cross-entropies over labels (N, T) that are not IGNORE, and their (N, T) log-probabilities.

        Log-probabilities are detached, and 0 where the label is IGNORE.
        """
        hidden, flat = self.hidden.reshape(-1, self.hidden.shape[-1]), labels.flatten()
        if flat.device.type != "cpu":  # to ask where padding is would make the accelerator wait
            loss, log_probs = cross_entropy_chunked(hidden, self.weight, self.bias, flat, smoothing)
            return loss, log_probs.view(labels.shape)
        real = (flat != IGNORE).nonzero()[:, 0]  # padding takes no part in the largest product
        loss, chosen = cross_entropy_chunked(
            hidden.index_select(0, real), self.weight, self.bias, flat.index_select(0, real), smoothing
        )
        log_probs = chosen.new_zeros(flat.shape).index_copy_(0, real, chosen)
        return loss, log_probs.view(labels.shape)


@dataclass(frozen=True)
class LinearStepScores:
    """The scores of one step; see :class:`henkan.tensors.StepScores`."""

    logits: Tensor  # (N, V)
    weights: Callable[[], Tensor | None]

    def argmax(self) -> Tensor:
        """(N,) the best token."""
        return self.logits.float().argmax(-1)  # on a CPU, searching among bf16 numbers is several times slower

    def top(self, k: int) -> tuple[Tensor, Tensor]:
        """Log-probabilities (float32) and ids of the best k tokens, both (N, k)."""
        return top(self.logits, k)

    def log_probs(self) -> Tensor:
        """(N, V) in float32."""
        return torch.log_softmax(self.logits, -1, dtype=torch.float32)

    def attention(self) -> Tensor | None:
        """(N, S) weights over the source, or None."""
        return self.weights()


class TokenHead(nn.Module):
    """The next token: an output matrix of its own, or tied to an embedding (Press & Wolf 2017)."""

    def __init__(self, width: int, vocabulary: int, *, tied: nn.Parameter | None = None, bias: bool = False) -> None:
        super().__init__()
        if tied is not None and tuple(tied.shape) != (vocabulary, width):
            raise ValueError(f"a tied output matrix is ({vocabulary}, {width}), the embedding is {tuple(tied.shape)}")
        self.weight = nn.Parameter(torch.empty(vocabulary, width)) if tied is None else tied
        self.bias = nn.Parameter(torch.zeros(vocabulary)) if bias else None
        if tied is None:
            nn.init.xavier_uniform_(self.weight)

    def forward(self, hidden: Tensor, alignment: Alignment | None = None) -> LinearTokenScores:
        """Hidden (N, T, D); these scores do not depend on where the decoder looked."""
        return LinearTokenScores(hidden, self.weight, self.bias)

    def step(self, hidden: Tensor, alignment: Alignment) -> LinearStepScores:
        """Hidden (N, D) of one step."""
        return LinearStepScores(functional.linear(hidden, self.weight, self.bias), alignment.weights)
