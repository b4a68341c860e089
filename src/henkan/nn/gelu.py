"""GELU by a hyperbolic tangent: x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2 (Hendrycks & Gimpel 2016).

torch's form of it is slow on a CPU, four times as slow as the one by the error function. C++ (``native/training.cpp``)
makes value and gradient from one exponential.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from henkan import native
from henkan.nn.fused import allowed

_GELU_TANH = native.Call("gelu_tanh")

gelu_tanh_plain = partial(functional.gelu, approximate="tanh")
"""The specification."""


def gelu_tanh(vectors: Tensor) -> Tensor:
    """The activation of GPT-2 and T5 1.1, of any shape."""
    if torch.is_grad_enabled() and vectors.requires_grad and native.runs(vectors) and allowed():
        return _Gelu.apply(vectors)  # type: ignore[no-untyped-call]
    return gelu_tanh_plain(vectors)


class _Gelu(torch.autograd.Function):
    """The fast path of :func:`gelu_tanh_plain` while something is learnt."""

    @staticmethod
    def forward(ctx: Any, vectors: Tensor) -> Tensor:
        vectors = vectors.contiguous()
        ctx.save_for_backward(vectors)
        return _made(vectors, None)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return _made(ctx.saved_tensors[0], grad.contiguous())


def _made(vectors: Tensor, grad: Tensor | None) -> Tensor:
    """The value, or the gradient where one comes in."""
    found = torch.empty_like(vectors)
    _GELU_TANH(vectors.dtype, 1, vectors.numel(), None, vectors, grad, found)
    return found
