"""Log-probabilities of a few words for each row, from logits that are never all there.

:func:`log_probs_plain` is the specification. :func:`log_probs_chunked` makes a few hundred rows of logits at a time,
and makes them again for the gradient: what is done with the result is not known while they are there.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

CHUNK = 512
"""Rows of logits that exist at one time."""


def log_probs_plain(hidden: Tensor, weight: Tensor, bias: Tensor | None, words: Tensor) -> tuple[Tensor, Tensor]:
    """log softmax(W h + b) at some words, and its mean over all.

    Args:
        hidden: (rows, D).
        weight: (V, D); bias: (V,) or None.
        words: (rows, K) int64; a row may name a word twice.

    Returns:
        (rows, K) and (rows,), both at least float32.
    """
    precision = torch.promote_types(hidden.dtype, torch.float32)
    log_probs = functional.linear(hidden, weight, bias).log_softmax(-1, dtype=precision)
    return log_probs.gather(1, words), log_probs.mean(-1)


class _Chunked(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, words: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(hidden, weight, bias, words)
        parts = [
            log_probs_plain(some, weight, bias, named)
            for some, named in zip(hidden.split(CHUNK), words.split(CHUNK), strict=True)
        ]
        return torch.cat([chosen for chosen, _ in parts]), torch.cat([mean for _, mean in parts])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_chosen: Tensor, by_mean: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, bias, words = ctx.saved_tensors
        precision, vocabulary = by_chosen.dtype, weight.shape[0]
        hidden_gradient = torch.empty_like(hidden)
        weight_gradient = torch.zeros_like(weight, dtype=precision)
        bias_gradient = None if bias is None else torch.zeros_like(bias, dtype=precision)
        for start in range(0, hidden.shape[0], CHUNK):
            part = slice(start, start + CHUNK)
            chosen, mean = by_chosen[part], by_mean[part, None]
            gradient = functional.linear(hidden[part], weight, bias).softmax(-1, dtype=precision)
            gradient *= -(chosen.sum(1, keepdim=True) + mean)
            gradient += mean / vocabulary
            gradient.scatter_add_(1, words[part], chosen)
            if bias_gradient is not None:
                bias_gradient += gradient.sum(0)
            gradient = gradient.to(hidden.dtype)
            torch.mm(gradient, weight, out=hidden_gradient[part])
            weight_gradient += gradient.t() @ hidden[part]
        return (
            hidden_gradient,
            weight_gradient.to(weight.dtype),
            None if bias is None or bias_gradient is None else bias_gradient.to(bias.dtype),
            None,
        )


def log_probs_chunked(hidden: Tensor, weight: Tensor, bias: Tensor | None, words: Tensor) -> tuple[Tensor, Tensor]:
    """The fast path of :func:`log_probs_plain`: same arguments, same results, no second derivative."""
    return _Chunked.apply(hidden, weight, bias, words)  # type: ignore[no-untyped-call]
