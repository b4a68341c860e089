"""Multi-head attention (Vaswani et al. 2017, section 3.2): over oneself with a cache, and over a source.

The score mask is prepared once for all layers by :func:`score_bias`; only what is in this file knows it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from henkan.nn.cache import Cache, PreallocatedCache
from henkan.nn.dropout import dropout as apply_dropout
from henkan.nn.init import glorot_uniform
from henkan.nn.step_attention import attend_past, attend_source
from henkan.nn.varlen import Within, attend_within


def score_bias(visible: Tensor, dtype: torch.dtype) -> Tensor:
    """What to add to the scores so that invisible positions get no weight.

    Args:
        visible: (N or 1, T or 1, S) bool, True where a query may look.

    Returns:
        (N or 1, 1, T or 1, S) of ``dtype``: 0 or a large negative number. It is finite, so that a row which sees
        nothing (all padding) gives equal weights and never NaN.
    """
    low = -3e4 if dtype == torch.float16 else -1e9
    return torch.zeros((), dtype=dtype, device=visible.device).masked_fill(~visible[:, None], low)


def attention_weights(queries: Tensor, keys: Tensor, bias: Tensor | None) -> Tensor:
    """softmax(Q K^T / sqrt(E) + bias): (N, H, T, E), (N, H, S, E) to (N, H, T, S)."""
    rows, heads, length, size = queries.shape
    positions = keys.shape[2]
    scores = torch.bmm(
        (queries * (1.0 / math.sqrt(size))).reshape(rows * heads, length, size),
        keys.reshape(rows * heads, positions, size).transpose(1, 2),
    ).view(rows, heads, length, positions)
    return torch.softmax(scores if bias is None else scores + bias, -1)


def attend_plain(queries: Tensor, keys: Tensor, values: Tensor, bias: Tensor | None, dropout: float) -> Tensor:
    """The specification, and the fast path for training on a CPU, where the fused backward is slow in bf16."""
    rows, heads, length, size = queries.shape
    weights = attention_weights(queries, keys, bias)
    if dropout:
        weights = apply_dropout(weights, dropout)
    weights = weights.view(rows * heads, length, -1)
    return torch.bmm(weights, values.reshape(rows * heads, -1, size)).view(rows, heads, length, size)


def attend(queries: Tensor, keys: Tensor, values: Tensor, bias: Tensor | Within | None, dropout: float) -> Tensor:
    """Context vectors.

    Args:
        queries: (N, H, T, E).
        keys, values: (N, H, S, E).
        bias: added to the scores, broadcastable to (N, H, T, S); or what each position of a packed row may see.
        dropout: probability of dropping an attention weight; 0 outside training.

    Returns:
        (N, H, T, E).
    """
    if isinstance(bias, Within):
        return attend_within(queries, keys, values, bias, dropout)
    if queries.device.type == "cpu" and torch.is_grad_enabled():
        return attend_plain(queries, keys, values, bias, dropout)
    return functional.scaled_dot_product_attention(queries, keys, values, bias, dropout)


def _is_step(vectors: Tensor) -> bool:
    """Whether this is a step of decoding, (R, 1, D): nothing is learnt, and each row has one query."""
    return vectors.shape[1] == 1 and not torch.is_grad_enabled()


class SelfAttention(nn.Module):
    """Queries, keys and values from the same vectors, by one product."""

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.inputs = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)
        glorot_uniform(self.inputs.weight, blocks=3)
        glorot_uniform(self.output.weight)
        nn.init.zeros_(self.inputs.bias)
        nn.init.zeros_(self.output.bias)

    def forward(
        self, vectors: Tensor, bias: Tensor | Within | None, cache: Cache | None = None
    ) -> tuple[Tensor, Cache | None]:
        """Vectors (N, T, D) look at themselves and at what the cache holds.

        Args:
            bias: from :func:`score_bias`, over the cached and the new positions; or the sentences of a packed row.
            cache: of (N, slots, 2, H, E) keys and values, or None.

        Returns:
            (N, T, D), and the cache with the new positions appended.
        """
        rows, length, width = vectors.shape
        queries, pairs = self.inputs(vectors).split([width, 2 * width], -1)
        queries = queries.view(rows, length, self.heads, -1)
        pairs = pairs.view(rows, length, 2, self.heads, -1)
        if cache is not None:
            cache = cache.append(pairs)
            if isinstance(cache, PreallocatedCache) and isinstance(bias, Tensor) and _is_step(vectors):
                return self.output(attend_past(queries[:, 0], cache, bias[:, 0, 0])[:, None]), cache
            pairs = cache.filled
        keys, values = pairs.transpose(1, 3).unbind(2)  # (N, H, S, E) each
        context = attend(queries.transpose(1, 2), keys, values, bias, self.dropout if self.training else 0.0)
        return self.output(context.transpose(1, 2).reshape(rows, length, width)), cache


@dataclass(frozen=True)
class SourceKeys:
    """Keys and values of a source, projected once for each sentence; beams share them."""

    keys: Tensor  # (sources, H, S, E)
    values: Tensor  # (sources, H, S, E)


class SourceAttention(nn.Module):
    """Queries from the target, keys and values from the source."""

    def __init__(self, width: int, heads: int, source_width: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.query = nn.Linear(width, width)
        self.pairs = nn.Linear(source_width, 2 * width)
        self.output = nn.Linear(width, width)
        glorot_uniform(self.query.weight)
        glorot_uniform(self.pairs.weight, blocks=2)
        glorot_uniform(self.output.weight)
        for linear in (self.query, self.pairs, self.output):
            nn.init.zeros_(linear.bias)

    def project(self, states: Tensor) -> SourceKeys:
        """Source states (sources, S, D), once."""
        rows, positions, _ = states.shape
        pairs = self.pairs(states).view(rows, positions, 2, self.heads, -1)
        keys, values = pairs.permute(2, 0, 3, 1, 4).unbind(0)
        if not torch.is_grad_enabled():  # many steps will read them
            keys, values = keys.contiguous(), values.contiguous()
        return SourceKeys(keys, values)

    def queries(self, vectors: Tensor, sources: int) -> Tensor:
        """Vectors (sources * width, T, D) to queries (sources, H, width * T, E): beams of a source fold together."""
        rows, length, _ = vectors.shape
        queries = self.query(vectors).view(sources, rows // sources * length, self.heads, -1)
        return queries.transpose(1, 2)

    def forward(self, vectors: Tensor, source: SourceKeys, bias: Tensor | Within) -> Tensor:
        """Vectors (sources * width, T, D), bias (sources, 1, 1, S) or sentences, to (sources * width, T, D)."""
        if isinstance(bias, Tensor) and _is_step(vectors):
            queries = self.query(vectors)[:, 0].unflatten(-1, (self.heads, -1))
            return self.output(attend_source(queries, source.keys, source.values, bias[:, 0, 0])[:, None])
        queries = self.queries(vectors, source.keys.shape[0])
        context = attend(queries, source.keys, source.values, bias, self.dropout if self.training else 0.0)
        return self.output(context.transpose(1, 2).reshape(vectors.shape))

    def weights(self, vectors: Tensor, source: SourceKeys, bias: Tensor) -> Tensor:
        """The mean over heads of the attention weights: (sources * width, T, S), computed only when asked for."""
        weights = attention_weights(self.queries(vectors, source.keys.shape[0]), source.keys, bias).mean(1)
        return weights.view(vectors.shape[0], vectors.shape[1], -1)
