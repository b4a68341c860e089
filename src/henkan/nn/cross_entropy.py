"""Cross-entropy on logits that are never all there.

:func:`cross_entropy_plain` is the specification. :func:`cross_entropy_chunked` makes some rows of logits at a time and
forms the gradient while it has them, so the (rows, V) matrix is neither kept nor made in float32. What it does with the
logits is written twice: in torch, and in C++ (``native/training.cpp``), which puts the gradient where they lay.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from henkan import native
from henkan.nn.fused import allowed
from henkan.tensors import IGNORE

LOGITS = 1 << 24
"""So many logits exist at one time: few products are large, and 32 MB of bf16 stay near."""

_CROSS_ENTROPY = native.Call("cross_entropy")


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


def _added(total: Tensor | None, piece: Tensor) -> Tensor:
    """A sum made in float32 of what comes in pieces; a piece that stays alone is left as it is."""
    return piece if total is None else total.to(_precision(piece)).add_(piece)


def rows_plain(logits: Tensor, labels: Tensor, smoothing: float, wanted: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Loss, log-probability of the label and gradient of each row of logits.

    Args:
        logits: (rows, V); their memory may be used for the gradient.
        labels: (rows,).
        wanted: whether the gradient is.

    Returns:
        (rows,) and (rows,), at least float32; (rows, V), the gradient of the sum of losses if that is wanted.
    """
    log_probs = torch.log_softmax(logits, -1, dtype=_precision(logits))
    chosen = log_probs.gather(1, labels[:, None])
    losses = (smoothing - 1.0) * chosen[:, 0]
    if smoothing:
        losses = losses - smoothing * log_probs.mean(-1)
    if wanted:
        gradient = log_probs.exp_()
        if smoothing:
            gradient -= smoothing / logits.shape[1]
        gradient.scatter_add_(1, labels[:, None], torch.full_like(chosen, smoothing - 1.0))
        logits = gradient.to(logits.dtype)
    return losses, chosen[:, 0], logits


def rows_native(logits: Tensor, labels: Tensor, smoothing: float, wanted: bool) -> tuple[Tensor, Tensor, Tensor]:
    """:func:`rows_plain`, in one pass over each row."""
    rows, size = logits.shape
    losses, chosen = torch.empty(rows), torch.empty(rows)
    _CROSS_ENTROPY(
        logits.dtype, rows, size, None, logits, logits.stride(0), labels, float(smoothing), int(wanted), losses, chosen
    )
    return losses, chosen, logits


def rows_padded(logits: Tensor, labels: Tensor, smoothing: float, wanted: bool) -> tuple[Tensor, Tensor, Tensor]:
    """:func:`rows_plain` where labels may be IGNORE: such a row has zeros everywhere.

    For accelerators: to pick the real rows, the host would have to wait for their number.
    """
    real = labels != IGNORE
    losses, chosen, gradient = rows_plain(logits, labels.clamp(min=0), smoothing, wanted)
    return losses * real, chosen * real, gradient * real[:, None] if wanted else gradient


class _Chunked(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor, smoothing: float
    ) -> tuple[Tensor, Tensor]:
        rows = hidden.shape[0]
        for_hidden, for_weight, for_bias, *_ = ctx.needs_input_grad
        wanted = for_hidden or for_weight or for_bias
        by_row = rows_native if native.runs(hidden) and allowed() else rows_plain
        if hidden.device.type != "cpu":
            by_row = rows_padded
        losses, chosen = hidden.new_empty(2, rows, dtype=_precision(hidden))
        hidden_gradient = torch.empty_like(hidden) if for_hidden else None
        weight_gradient = bias_gradient = None
        chunk = max(1, LOGITS // weight.shape[0])
        for start in range(0, max(1, rows), chunk):
            part = slice(start, start + chunk)
            logits = functional.linear(hidden[part], weight, bias)
            losses[part], chosen[part], gradient = by_row(logits, labels[part], smoothing, wanted)
            if hidden_gradient is not None:
                torch.mm(gradient, weight, out=hidden_gradient[part])
            if for_weight:
                weight_gradient = _added(weight_gradient, gradient.t() @ hidden[part])
            if for_bias:
                bias_gradient = _added(bias_gradient, gradient.sum(0))
        if wanted:
            sums = (None if made is None else made.to(weight.dtype) for made in (weight_gradient, bias_gradient))
            ctx.save_for_backward(hidden_gradient, *sums)
        ctx.mark_non_differentiable(chosen)
        return losses.sum(), chosen

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, scale: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        gradients = [None if saved is None else saved * scale for saved in ctx.saved_tensors]
        return (*gradients, None, None)


def cross_entropy_chunked(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor, smoothing: float
) -> tuple[Tensor, Tensor]:
    """The fast path of :func:`cross_entropy_plain`: same arguments, same results, no second derivative.

    Not on a processor, labels may be IGNORE: such rows add nothing, and their log-probability is 0.
    """
    return _Chunked.apply(hidden, weight, bias, labels, smoothing)  # type: ignore[no-untyped-call]
