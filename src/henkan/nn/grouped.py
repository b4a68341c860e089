"""Multi-head attention in general: what ``nn/multihead.py`` does, with heads of any width, keys that several query
heads share (Ainslie et al. 2023), products without biases, scores that are not divided, a bias for each head, and
turned queries and keys. The attentions of that file are faster where they suffice.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from henkan.nn.cache import Cache
from henkan.nn.init import glorot_uniform
from henkan.nn.multihead import SourceKeys, attend, attention_weights
from henkan.nn.rotary import Rotation
from henkan.nn.varlen import Within


def _shared(vectors: Tensor, heads: int) -> Tensor:
    """Keys or values (N, G, S, E), one for each of ``heads`` query heads: consecutive heads share."""
    groups = vectors.shape[1]
    return vectors if groups == heads else vectors.repeat_interleave(heads // groups, 1)


def _fresh(linear: nn.Linear, blocks: int = 1) -> nn.Linear:
    glorot_uniform(linear.weight, blocks)
    if linear.bias is not None:
        nn.init.zeros_(linear.bias)
    return linear


class GroupedAttention(nn.Module):
    """Over oneself; interchangeable with :class:`henkan.nn.multihead.SelfAttention`.

    Args:
        heads, key_heads: H and G, of queries and of keys; H is a multiple of G.
        head_width: E; H * E need not be the width.
        scaled: whether scores are divided by sqrt(E), as T5's are not.
        bias: whether products have biases.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        dropout: float = 0.0,
        *,
        key_heads: int,
        head_width: int,
        scaled: bool = True,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.heads, self.key_heads, self.head_width = heads, key_heads, head_width
        self.stretch = 1.0 if scaled else head_width**0.5  # ``attend`` divides by the root
        self.dropout = dropout
        self.inputs = _fresh(nn.Linear(width, (heads + 2 * key_heads) * head_width, bias=bias))
        self.output = _fresh(nn.Linear(heads * head_width, width, bias=bias))

    def forward(
        self, vectors: Tensor, bias: Tensor | Within | Rotation, cache: Cache | None = None
    ) -> tuple[Tensor, Cache | None]:
        """Vectors (N, T, D) look at themselves and at what the cache holds.

        Args:
            bias: (N or 1, H or 1, T or 1, S) over the cached and the new positions, or a rotation that has one.
            cache: of (N, slots, 2, G, E) keys and values, or None.

        Returns:
            (N, T, D), and the cache with the new positions appended.
        """
        queries, keys, values = (
            self.inputs(vectors)
            .unflatten(-1, (-1, self.head_width))
            .split([self.heads, self.key_heads, self.key_heads], 2)
        )
        if isinstance(bias, Rotation):
            queries, keys, bias = bias.turn(queries), bias.turn(keys), bias.bias
        pairs = torch.stack([keys, values], 2)  # (N, T, 2, G, E)
        if cache is not None:
            cache = cache.append(pairs)
            pairs = cache.filled
        keys, values = (_shared(half, self.heads) for half in pairs.transpose(1, 3).unbind(2))  # (N, H, S, E)
        queries = queries.transpose(1, 2)
        if self.stretch != 1.0:
            queries = queries * self.stretch
        context = attend(queries, keys, values, bias, self.dropout if self.training else 0.0)
        return self.output(context.transpose(1, 2).flatten(2)), cache


class GroupedSourceAttention(nn.Module):
    """Over a source; interchangeable with :class:`henkan.nn.multihead.SourceAttention`. Arguments as above."""

    def __init__(
        self,
        width: int,
        heads: int,
        source_width: int,
        dropout: float = 0.0,
        *,
        key_heads: int,
        head_width: int,
        scaled: bool = True,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.heads, self.key_heads, self.head_width = heads, key_heads, head_width
        self.stretch = 1.0 if scaled else head_width**0.5
        self.dropout = dropout
        self.query = _fresh(nn.Linear(width, heads * head_width, bias=bias))
        self.pairs = _fresh(nn.Linear(source_width, 2 * key_heads * head_width, bias=bias), 2)
        self.output = _fresh(nn.Linear(heads * head_width, width, bias=bias))

    def project(self, states: Tensor) -> SourceKeys:
        """Source states (sources, S, D), once."""
        pairs = self.pairs(states).unflatten(-1, (2, self.key_heads, self.head_width))
        keys, values = (_shared(half, self.heads) for half in pairs.permute(2, 0, 3, 1, 4).unbind(0))
        return SourceKeys(keys, values)

    def queries(self, vectors: Tensor, sources: int) -> Tensor:
        """Vectors (sources * width, T, D) to queries (sources, H, width * T, E): beams of a source fold together."""
        rows, length, _ = vectors.shape
        queries = self.query(vectors).view(sources, rows // sources * length, self.heads, self.head_width)
        return queries.transpose(1, 2) * self.stretch

    def forward(self, vectors: Tensor, source: SourceKeys, bias: Tensor | Within) -> Tensor:
        """Vectors (sources * width, T, D), bias (sources, 1, 1, S) or sentences, to (sources * width, T, D)."""
        queries = self.queries(vectors, source.keys.shape[0])
        context = attend(queries, source.keys, source.values, bias, self.dropout if self.training else 0.0)
        return self.output(context.transpose(1, 2).reshape(*vectors.shape[:2], -1))

    def weights(self, vectors: Tensor, source: SourceKeys, bias: Tensor) -> Tensor:
        """The mean over heads of the attention weights: (sources * width, T, S), computed only when asked for."""
        weights = attention_weights(self.queries(vectors, source.keys.shape[0]), source.keys, bias).mean(1)
        return weights.view(vectors.shape[0], vectors.shape[1], -1)
