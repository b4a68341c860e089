"""DeBERTa's disentangled attention (He et al. 2021): content and distance have vectors of their own.

    score(i, j) = (q_i . k_j  + q_i . K r(i - j) + k_j . Q r(i - j)) / sqrt(f E),   f = how many of the three there are

r(d) is a learnt vector of the bucket of distance d, query minus key, and Q and K are the layer's own projections of
content, as in versions 2 and 3. The buckets of those are logarithmic beyond half their number; in version 1 each
distance up to k has its own. (The paper writes r(j - i) in the last term; its code, and so this, has r(i - j) in both.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from henkan.nn.biases import only_padded
from henkan.nn.cache import Cache
from henkan.nn.init import glorot_uniform
from henkan.nn.multihead import attend
from henkan.nn.varlen import Within


def log_buckets(distance: Tensor, span: int, limit: int) -> Tensor:
    """From distances to signed buckets in (-span, span), of which half hold one distance each.

    A distance of ``limit`` - 1 falls into the last bucket; the caller cuts off what is beyond.
    """
    exact = span // 2
    size = distance.abs().clamp(min=exact)
    ratio = torch.log(size.double() / exact) / math.log((limit - 1) / exact)
    far = exact + torch.ceil(ratio * (exact - 1)).long()
    return torch.where(distance.abs() <= exact, distance, far * distance.sign())


@dataclass(frozen=True)
class Distances:
    """What attention takes: the bias of the mask, and the vectors of the distances that occur."""

    bias: Tensor  # (N or 1, 1, 1, S)
    vectors: Tensor  # (buckets, D)
    chosen: Tensor  # (N or 1, 1, T, S) int64: which of them stands between a query and a key

    def asked_at(self, places: Tensor) -> Distances:
        """The same for queries at some of the positions alone; ``places`` is (N, T), and T need not be S."""
        return Distances(self.bias, self.vectors, self.chosen[0, 0][places][:, None])


@dataclass(frozen=True)
class Seen:
    """What queries meet; it does not depend on them, only on where they stand."""

    keys: Tensor  # (N, H, S, E)
    values: Tensor  # (N, H, S, E)
    far_keys: Tensor  # (H, buckets, E)
    chosen: Tensor  # (N, H, T, S)
    bias: Tensor  # broadcastable to (N, H, T, S): the mask's, and what keys make of distances


class DistanceTerms(nn.Module):
    """The vectors of all distances, shared by all layers.

    Args:
        span: how many buckets there are on each side.
        limit: with logarithmic buckets, the distance at which the last one begins; 0: a bucket for each distance.
        norm: what the vectors go through; identity where nothing.
    """

    def __init__(self, width: int, span: int, limit: int, norm: nn.Module) -> None:
        super().__init__()
        self.span, self.limit = span, limit
        self.weight = nn.Parameter(torch.empty(2 * span, width))
        self.norm = norm
        nn.init.normal_(self.weight, std=0.02)

    def forward(self, bias: Tensor | Within, mask: Tensor, length: int) -> Distances:
        """See :meth:`henkan.nn.biases.MaskAlone.forward`; queries are all the keys."""
        bias = only_padded(bias, "disentangled positions")
        assert mask.shape[1] == length, "nothing is cached: every position sees every other"
        order = torch.arange(length, device=mask.device)
        distance = order[:, None] - order
        if self.limit:
            distance = log_buckets(distance, self.span, self.limit)
        reach = min(int(distance[-1, 0]) if length else 0, self.span)  # no bucket beyond this one occurs
        used = self.weight[self.span - reach : self.span + reach + 1]
        return Distances(bias, self.norm(used), (distance + reach).clamp(0, len(used) - 1)[None, None])


class DisentangledAttention(nn.Module):
    """Over oneself; takes :class:`Distances` where the other attentions take a bias.

    Args:
        content_to_position, position_to_content: whether the second and the third term are there.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        dropout: float = 0.0,
        *,
        content_to_position: bool = True,
        position_to_content: bool = True,
    ) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.content_to_position, self.position_to_content = content_to_position, position_to_content
        self.shrink = (1 + content_to_position + position_to_content) ** -0.5  # ``attend`` divides by sqrt(E)
        self.inputs = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)
        glorot_uniform(self.inputs.weight, blocks=3)
        glorot_uniform(self.output.weight)
        nn.init.zeros_(self.inputs.bias)
        nn.init.zeros_(self.output.bias)

    def forward(self, vectors: Tensor, distances: Distances, cache: Cache | None = None) -> tuple[Tensor, None]:
        """Vectors (N, S, D) to (N, S, D); the second value is the cache that an encoder does not have."""
        assert cache is None, "this attention sees both sides"
        width = vectors.shape[2]
        queries, pairs = self.inputs(vectors).split([width, 2 * width], -1)
        return self._look(queries, self._met(pairs, distances)), None

    def met(self, vectors: Tensor, distances: Distances) -> Seen:
        """What queries that do not come from these vectors (N, S, D) meet in them, for any number of looks."""
        width = vectors.shape[2]
        return self._met(functional.linear(vectors, self.inputs.weight[width:], self.inputs.bias[width:]), distances)

    def look(self, vectors: Tensor, seen: Seen) -> Tensor:
        """Vectors (N, T, D) ask, and find (N, T, D)."""
        width = vectors.shape[2]
        return self._look(functional.linear(vectors, self.inputs.weight[:width], self.inputs.bias[:width]), seen)

    def _met(self, pairs: Tensor, distances: Distances) -> Seen:
        """Keys and values (N, S, 2 D) are projected already."""
        width = pairs.shape[2] // 2
        keys, values = pairs.unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        projected = functional.linear(distances.vectors, self.inputs.weight[: 2 * width], self.inputs.bias[: 2 * width])
        far_queries, far_keys = projected.unflatten(-1, (2, self.heads, -1)).permute(1, 2, 0, 3)  # (H, buckets, E)
        bias = distances.bias
        chosen = distances.chosen.expand(len(keys), self.heads, -1, -1)
        if self.position_to_content:
            asked = (keys * (keys.shape[-1] ** -0.5 * self.shrink)).matmul(far_queries.transpose(1, 2))
            bias = bias + asked.gather(3, chosen.transpose(2, 3)).transpose(2, 3)  # asked: (N, H, keys, buckets)
        return Seen(keys, values, far_keys, chosen, bias)

    def _look(self, queries: Tensor, seen: Seen) -> Tensor:
        """Queries (N, T, D) are projected already."""
        queries = queries.unflatten(-1, (self.heads, -1)).transpose(1, 2) * self.shrink
        bias = seen.bias
        if self.content_to_position:
            root = queries.shape[-1] ** -0.5
            bias = bias + (queries * root).matmul(seen.far_keys.transpose(1, 2)).gather(3, seen.chosen)
        context = attend(queries, seen.keys, seen.values, bias, self.dropout if self.training else 0.0)
        return self.output(context.transpose(1, 2).flatten(2))
