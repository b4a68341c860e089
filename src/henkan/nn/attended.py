"""What every single-head attention over a source has in common.

An attention is a part with an explicit state, like a cell: what moves from one target position to the next (a position,
a coverage) goes in and comes out, so a target may be read whole, in pieces or word by word.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from henkan.nn.multihead import score_bias
from henkan.tensors import Memory

AttentionState = tuple[Tensor, ...]
"""What moves from step to step: tensors with one row for each hypothesis; () where nothing does."""


@dataclass(frozen=True)
class Attended:
    """What attention keeps of a source; one row for each source."""

    keys: Tensor  # (sources, S, D') as the scorer projected them
    values: Tensor  # (sources, S, C)
    bias: Tensor  # (sources, 1, S): 0, or a large negative number at padding
    lengths: Tensor  # (sources, 1) int64: real positions


@dataclass(frozen=True)
class Focus:
    """Where an attention looked, and what it saw there."""

    contexts: Tensor  # (R, T, C)
    weights: Tensor  # (R, T, S) as they were used
    state: AttentionState  # after the last real query of each row
    extras: dict[str, Tensor] = field(default_factory=dict)  # for an objective, e.g. "log_probability" (R, T)


class Projection(Protocol):
    """The part of a scorer that sees the source."""

    def project(self, states: Tensor) -> Tensor:
        """Source states (N, S, C) to keys (N, S, D')."""
        ...


class Attention(Protocol):
    """Queries to contexts; R is sources * width, the beams of a source side by side."""

    def project(self, memory: Memory) -> Attended:
        """Done once for each source."""
        ...

    def start(self, source: Attended) -> AttentionState:
        """Before the first query, one row for each source."""
        ...

    def __call__(self, queries: Tensor, mask: Tensor, source: Attended, state: AttentionState) -> Focus:
        """Queries (R, T, D), of which those where ``mask`` (R, T) is False change no state."""
        ...


def attended(scorer: Projection, memory: Memory) -> Attended:
    """Keys, values and the bias that hides padding."""
    bias = score_bias(memory.mask[:, None], memory.states.dtype)[:, 0]
    return Attended(scorer.project(memory.states), memory.states, bias, memory.mask.sum(1, keepdim=True))


def fold(queries: Tensor, source: Attended) -> Tensor:
    """(sources * width, T, ...) to (sources, width * T, ...): beams go into the query axis, keys are never repeated."""
    rows, length, *rest = queries.shape
    sources = source.values.shape[0]
    return queries.reshape(sources, rows // sources * length, *rest)


def seen(weights: Tensor, source: Attended, rows: int) -> tuple[Tensor, Tensor]:
    """Folded weights (sources, width * T, S) to contexts (R, T, C) and weights (R, T, S)."""
    contexts = torch.bmm(weights, source.values)
    return contexts.view(rows, -1, contexts.shape[2]), weights.view(rows, -1, weights.shape[2])
