"""Dropout (Srivastava et al. 2014) with a cheap mask on the CPU.

torch draws one float for each element, which on a CPU costs as much as a matrix product of a small model. Here one
number is drawn for the whole mask, the seed, and a hash of the seed and an element's place says whether it stays. The
way back needs the seed alone, and C++ (``native/training.cpp``) makes the same mask as torch, by any number of threads.
The seed comes from torch's default generator, so whoever seeds that gets the same mask again.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from henkan import native
from henkan.nn.fused import allowed

LEVELS = 1 << 16
"""Probabilities are rounded to multiples of 1 / LEVELS; the scale is exact for what is used."""

LANES = 16
"""One hash serves two elements that lie so far apart."""

_DROPPED = native.Call("dropped")


def dropout(vectors: Tensor, probability: float) -> Tensor:
    """Zero each element with ``probability`` and divide the rest by what is kept on average."""
    return add_dropped(None, vectors, probability)


def add_dropped(base: Tensor | None, vectors: Tensor, probability: float) -> Tensor:
    """``base`` plus :func:`dropout` of ``vectors``, both of one shape."""
    if vectors.device.type != "cpu":
        found = functional.dropout(vectors, probability)
        return found if base is None else base + found
    seed = int(torch.empty((), dtype=torch.int64).random_())
    if native.runs(vectors) and allowed() and (base is None or base.dtype == vectors.dtype):
        return _Dropped.apply(base, vectors, probability, seed)  # type: ignore[no-untyped-call]
    found = vectors * dropout_mask(vectors.shape, probability, vectors.dtype, seed)
    return found if base is None else base + found


def dropout_mask(shape: torch.Size, probability: float, dtype: torch.dtype, seed: int) -> Tensor:
    """0 or 1 / (1 - probability), of this shape; the specification of which elements stay."""
    count = shape.numel()
    dropped = _dropped(probability)
    blocks = -(-count // (2 * LANES))
    drawn = _hash(torch.arange(blocks * LANES, dtype=torch.int32), seed).view(torch.int16)
    halves = drawn.view(blocks, LANES, 2).transpose(1, 2)  # the lower halves serve the first LANES elements of a block
    kept = halves.reshape(-1)[:count].view(shape) >= dropped - LEVELS // 2
    return torch.where(kept, torch.tensor(_scale(dropped), dtype=dtype), torch.tensor(0.0, dtype=dtype))


def _dropped(probability: float) -> int:
    """How many of LEVELS are dropped."""
    return min(round(probability * LEVELS), LEVELS - 1)


def _scale(dropped: int) -> float:
    return LEVELS / (LEVELS - dropped)


def _hash(places: Tensor, seed: int) -> Tensor:
    """32 bits for each place, by multiplying and shifting; int32 wraps around."""
    low, high = _signed(seed), _signed(seed >> 32)
    x = places.mul_(_signed(0x9E3779B9)).add_(low)
    x = x.bitwise_xor_((x >> 15).bitwise_and_(0x1FFFF)).add_(high)
    x = x.bitwise_xor_((x >> 16).bitwise_and_(0xFFFF)).mul_(0x21F0AAAD)
    x = x.bitwise_xor_((x >> 15).bitwise_and_(0x1FFFF)).mul_(0x735A2D97)
    return x.bitwise_xor_((x >> 15).bitwise_and_(0x1FFFF))


def _signed(bits: int) -> int:
    """The lower 32 bits as a signed number."""
    return ((bits & 0xFFFFFFFF) ^ 0x80000000) - 0x80000000


class _Dropped(torch.autograd.Function):
    """The fast path of :func:`add_dropped`; linear, so its gradient is itself without the base."""

    @staticmethod
    def forward(ctx: Any, base: Tensor | None, vectors: Tensor, probability: float, seed: int) -> Tensor:
        ctx.probability, ctx.seed = probability, seed
        dropped = _dropped(probability)
        vectors = vectors.contiguous()
        if base is not None:
            base = base.expand_as(vectors).contiguous()
        found = torch.empty_like(vectors)
        _DROPPED(
            *(vectors.dtype, 1, vectors.numel(), None),
            *(seed, dropped - LEVELS // 2, _scale(dropped), vectors, base, found),
        )
        return found

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        wants_base, wants_vectors, *_ = ctx.needs_input_grad
        found = _Dropped.apply(None, grad, ctx.probability, ctx.seed) if wants_vectors else None  # type: ignore[no-untyped-call]
        return grad if wants_base else None, found, None, None


class Dropout(nn.Module):
    """:func:`dropout` in training mode, nothing otherwise."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    @property
    def _active(self) -> bool:
        return self.training and self.probability > 0.0

    def forward(self, vectors: Tensor) -> Tensor:
        """Any shape."""
        return dropout(vectors, self.probability) if self._active else vectors

    def added(self, base: Tensor, vectors: Tensor) -> Tensor:
        """``base`` plus what stays of ``vectors``, both of one shape."""
        return add_dropped(base, vectors, self.probability) if self._active else base + vectors

    def factors(self, shape: tuple[int, ...], like: Tensor) -> Tensor | None:
        """What a loop multiplies with step by step, drawn at once: of this shape, or None where nothing is dropped."""
        return dropout(like.new_ones(shape), self.probability) if self._active else None
