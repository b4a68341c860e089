"""The best tokens of a step, from logits.

Written twice: plainly in torch, which is the specification, and in C++ (``native/decoding.cpp``), where logits are read
once: log-probabilities of all tokens are never made.

The ``_again`` functions take logits that were rounded to few digits: those of the best tokens are made again.
"""

from __future__ import annotations

import torch
from torch import Tensor

from henkan import native

MOST = 64
"""More than so many are not kept in order one by one."""

SPARE = 4
"""Candidates beyond the number asked for, where logits are rounded: the best may seem a little worse than they are."""

_TOP = native.Call("top")
_TOP_AGAIN = native.Call("top_again")


def top_plain(logits: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Log-probabilities and ids of the best k of each row.

    Args:
        logits: (N, V).

    Returns:
        (N, k) float32 and (N, k) int64, best first. Where logits are equal, any of them may come first.
    """
    best, ids = torch.log_softmax(logits, -1, dtype=torch.float32).topk(k, -1)
    return best, ids


def top(logits: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """:func:`top_plain`, by the fastest way there is."""
    rows, size = logits.shape
    if not native.runs(logits) or logits.requires_grad or logits.stride(1) != 1 or not 0 < k <= min(MOST, size):
        return top_plain(logits, k)
    best = torch.empty(rows, k)
    ids = torch.empty(rows, k, dtype=torch.int64)
    _TOP(logits.dtype, rows, size, None, k, logits, logits.stride(0), best, ids)
    return best, ids


def top_again_plain(
    logits: Tensor, k: int, hidden: Tensor, weight: Tensor, bias: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Log-probabilities and ids of the best k of each row.

    Args:
        logits: (N, V), W h + b but rounded.
        hidden: (N, D).
        weight: (V, D).
        bias: (V,) or None.

    Returns:
        As :func:`top_plain`.
    """
    wide = logits.float()
    ids = wide.topk(min(k + SPARE, logits.shape[1]), -1).indices
    exact = torch.einsum("nd,nkd->nk", hidden.float(), weight[ids].float())
    if bias is not None:
        exact = exact + bias[ids]
    normaliser = wide.scatter(1, ids, exact).logsumexp(-1, keepdim=True)
    best, places = exact.topk(k, -1)
    return best - normaliser, ids.gather(1, places)


def top_again(logits: Tensor, k: int, hidden: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
    """:func:`top_again_plain`, by the fastest way there is."""
    rows, size = logits.shape
    fits = native.runs(logits) and logits.stride(1) == 1 and 0 < k <= min(MOST, size)
    if not fits or hidden.dtype != torch.float32 or not weight.is_contiguous():
        return top_again_plain(logits, k, hidden, weight, bias)
    best = torch.empty(rows, k)
    ids = torch.empty(rows, k, dtype=torch.int64)
    hidden = hidden.contiguous()
    _TOP_AGAIN(
        *(logits.dtype, rows, size, None, k, min(k + SPARE, size), logits, logits.stride(0)),
        *(hidden.shape[1], hidden, weight, bias, best, ids),
    )
    return best, ids
