"""What a score gains or loses by the places of its query and its key.

Each part here is asked once, for all layers: it gets the bias of the mask, (N or 1, 1, T or 1, S), and returns what the
layers' attentions take. Here that is a bias with an entry for each head; in ``nn/rotary.py`` and ``nn/disentangled.py``
it is more. A place is the number of real tokens before a token, so padding moves nothing.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from henkan.errors import ConfigError
from henkan.nn.varlen import Within


class MaskAlone(nn.Module):
    """Scores do not depend on places."""

    def forward(self, bias: Tensor | Within, mask: Tensor, length: int) -> Tensor | Within:
        """The bias as it is.

        Args:
            bias: (N or 1, 1, T or 1, S), from :func:`henkan.nn.multihead.score_bias`; or the sentences of a packed row,
                which all others refuse.
            mask: (N, S) bool, which keys are real.
            length: T; the queries are the last T of the S keys.
        """
        return bias


def only_padded(bias: Tensor | Within, what: str) -> Tensor:
    """The bias, or ConfigError for a packed row; ``what`` is it that needs a bias."""
    if isinstance(bias, Within):
        raise ConfigError(f"{what} need one sentence a row, and this batch is packed; set training.packed: false")
    return bias


def places(mask: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Where the last ``length`` positions of ``mask`` (N, S) stand, and where all of them do.

    Returns:
        (N or 1, T) and (N or 1, S) int64. One row where all rows are alike: real tokens come first in what is read at
        once, so only what was read in several pieces has padding between them.
    """
    slots = mask.shape[1]
    keys = torch.arange(slots, device=mask.device)[None] if slots == length else (mask.cumsum(1) - 1).clamp_(min=0)
    return keys[:, slots - length :], keys


def t5_buckets(distance: Tensor, buckets: int, limit: int, two_sided: bool) -> Tensor:
    """The bucket of each distance, key minus query (Raffel et al. 2020, section 2.1).

    Half of a side's buckets hold one distance each, the others grow logarithmically up to ``limit``, and the last one
    holds all that is further. Two-sided: the upper half of the buckets is for keys after the query. One-sided: keys
    after the query share bucket 0 with the query itself.
    """
    if two_sided:
        buckets //= 2
        first = (distance > 0) * buckets
        distance = distance.abs()
    else:
        first = torch.zeros_like(distance)
        distance = (-distance).clamp(min=0)
    exact = buckets // 2
    ratio = torch.log(distance.clamp(min=1).float() / exact) / math.log(limit / exact)
    far = (exact + (ratio * (buckets - exact)).long()).clamp(max=buckets - 1)
    return first + torch.where(distance < exact, distance, far)


class T5Bias(nn.Module):
    """A learnt number for each head and bucket of distances, shared by all layers (Raffel et al. 2020)."""

    def __init__(self, heads: int, buckets: int, limit: int, *, two_sided: bool) -> None:
        super().__init__()
        self.buckets, self.limit, self.two_sided = buckets, limit, two_sided
        self.weight = nn.Parameter(torch.empty(buckets, heads))
        nn.init.normal_(self.weight, std=0.02)

    def forward(self, bias: Tensor | Within, mask: Tensor, length: int) -> Tensor:
        """(N or 1, 1, T or 1, S) to (N or 1, H, T, S); see :meth:`MaskAlone.forward`."""
        bias = only_padded(bias, "T5's position biases")
        queries, keys = places(mask, length)
        chosen = t5_buckets(keys[:, None] - queries[:, :, None], self.buckets, self.limit, self.two_sided)
        return bias + self.weight[chosen].permute(0, 3, 1, 2)


def alibi_slopes(heads: int) -> Tensor:
    """(H,) the slope of each head: 2 ** (-8 h / H) for h = 1 ... H, where H is a power of two (Press et al. 2022).

    For other H, the slopes of the power of two below and then every second one of the power of two above, as published.
    """
    below = 1 << (heads.bit_length() - 1)
    slopes = [2.0 ** (-8.0 * head / below) for head in range(1, below + 1)]
    slopes += [2.0 ** (-4.0 * head / below) for head in range(1, 2 * (heads - below), 2)]
    return torch.tensor(slopes)


class LinearBias(nn.Module):
    """ALiBi: each head takes off a fixed multiple of the distance (Press et al. 2022)."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads

    def forward(self, bias: Tensor | Within, mask: Tensor, length: int) -> Tensor:
        """(N or 1, 1, T or 1, S) to (N or 1, H, T, S); see :meth:`MaskAlone.forward`."""
        bias = only_padded(bias, "linear position biases")
        queries, keys = places(mask, length)
        distance = (keys[:, None] - queries[:, :, None]).abs()[:, None].to(bias.dtype)  # (N or 1, 1, T, S)
        return bias - alibi_slopes(self.heads).to(bias)[:, None, None] * distance
