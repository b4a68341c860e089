"""Cross-entropy on logits that are never all there.

:func:`cross_entropy_plain` is the specification. :func:`cross_entropy_chunked` makes a few hundred rows of logits at
a time and forms the gradient while it has them, so the (rows, V) matrix is neither kept nor made in float32.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

CHUNK = 512
"""Rows of logits that exist at one time."""


def _precision(hidden: Tensor) -> torch.dtype:
    """What sums are made in: float32, or float64 if that is what comes in."""
    return torch.promote_types(hidden.dtype, torch.float32)


def cross_entropy_plain(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor, smoothing: float
) -> tuple[Tensor, Tensor]:
    """Sum over rows of (1 - s) * -log p(label) + s * mean over V of -log p (Szegedy et al. 2016, section 7).

    Args:
        hidden: (rows, D).
        weight: (V, D); bias: (V,) or None.
        labels: (rows,), every one of them real.
        smoothing: s, the share of the target spread evenly over the vocabulary.

    Returns:
        The sum, and the detached (rows,) log-probabilities of the labels, both at least float32.
    """
    log_probs = functional.linear(hidden, weight, bias).log_softmax(-1, dtype=_precision(hidden))
    chosen = log_probs.gather(1, labels[:, None])[:, 0]
    loss = -(1.0 - smoothing) * chosen.sum() - smoothing * log_probs.mean(-1).sum()
    return loss, chosen.detach()


class _Chunked(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor, smoothing: float
    ) -> tuple[Tensor, Tensor]:
        rows, vocabulary = hidden.shape[0], weight.shape[0]
        wanted = any(ctx.needs_input_grad[:3])
        precision = _precision(hidden)
        chosen = hidden.new_empty(rows, dtype=precision)
        loss = hidden.new_zeros((), dtype=precision)
        hidden_gradient = torch.empty_like(hidden) if wanted else None
        weight_gradient = torch.zeros_like(weight, dtype=precision) if wanted else None
        bias_gradient = torch.zeros_like(bias, dtype=precision) if wanted and bias is not None else None
        for start in range(0, rows, CHUNK):
            part = slice(start, start + CHUNK)
            label = labels[part, None]
            logits = functional.linear(hidden[part], weight, bias)
            # softmax in float32 of bf16 logits: one pass that converts on the way
            log_probs = torch.log_softmax(logits, -1, dtype=precision)
            picked = log_probs.gather(1, label)
            chosen[part] = picked[:, 0]
            loss -= (1.0 - smoothing) * picked.sum()
            if smoothing:
                loss -= smoothing / vocabulary * log_probs.sum()
            if hidden_gradient is None or weight_gradient is None:
                continue
            gradient = log_probs.exp_()
            if smoothing:
                gradient -= smoothing / vocabulary
            gradient.scatter_add_(1, label, torch.full_like(picked, smoothing - 1.0))
            if bias_gradient is not None:
                bias_gradient += gradient.sum(0)
            gradient = gradient.to(hidden.dtype)
            torch.mm(gradient, weight, out=hidden_gradient[part])
            weight_gradient += gradient.t() @ hidden[part]
        if hidden_gradient is not None and weight_gradient is not None:
            ctx.save_for_backward(
                hidden_gradient,
                weight_gradient.to(weight.dtype),
                None if bias is None or bias_gradient is None else bias_gradient.to(bias.dtype),
            )
        ctx.mark_non_differentiable(chosen)
        return loss, chosen

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, scale: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        gradients = [None if saved is None else saved * scale for saved in ctx.saved_tensors]
        return (*gradients, None, None)


def cross_entropy_chunked(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor, smoothing: float
) -> tuple[Tensor, Tensor]:
    """The fast path of :func:`cross_entropy_plain`: same arguments, same results, no second derivative."""
    return _Chunked.apply(hidden, weight, bias, labels, smoothing)  # type: ignore[no-untyped-call]
