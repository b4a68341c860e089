"""Attention within the sentences of a packed row; the only file that knows torch's kernel for it.

:func:`attend_within_plain` is the specification: every position against every other, and all but its own sentence
hidden. The kernel (torch.nn.attention.varlen, on CUDA) touches own sentences only. It has had several signatures, needs
half precision and drops no weights; where it cannot serve, the plain path does, at the price of a (T, S) matrix.
Importing it takes as long as importing torch, so that is done when it is first wanted.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from henkan.nn.dropout import dropout as apply_dropout
from henkan.tensors import Sentences

LARGEST_HEAD = 256
"""The kernel knows no wider heads."""


@dataclass(frozen=True)
class Within:
    """What a query of a packed row may see: the sentence of the same number, if causal up to its own position."""

    queries: Sentences
    keys: Sentences
    causal: bool = False  # queries and keys are then the same sentences

    def visible(self, queries: int, keys: int) -> Tensor:
        """(queries, keys) bool for rows of so many positions."""
        found = self.queries.numbers(queries)[:, None] == self.keys.numbers(keys)
        return found.tril() if self.causal else found


def attend_within_plain(queries: Tensor, keys: Tensor, values: Tensor, within: Within, dropout: float) -> Tensor:
    """Context vectors; zeros for a query whose sentence has no keys.

    Args:
        queries: (1, H, T, E).
        keys, values: (1, H, S, E).
        within: who sees whom.
        dropout: probability of dropping an attention weight; 0 outside training.

    Returns:
        (1, H, T, E).
    """
    visible = within.visible(queries.shape[2], keys.shape[2])
    scores = (queries * (1.0 / math.sqrt(queries.shape[3]))) @ keys.transpose(2, 3)
    # A finite number: a row that sees nothing has equal weights, which are then taken away, and never NaN.
    hidden = scores.masked_fill(~visible, torch.finfo(scores.dtype).min)
    weights = torch.softmax(hidden, -1) * visible
    return (apply_dropout(weights, dropout) if dropout else weights) @ values


def kernel_serves(device: torch.device, dtype: torch.dtype, size: int, dropout: float) -> bool:
    """Whether the kernel can do it, for heads of this size."""
    return (
        device.type == "cuda"
        and dtype in (torch.bfloat16, torch.float16)
        and size % 8 == 0
        and size <= LARGEST_HEAD
        and not dropout
    )


Kernel = Callable[..., Tensor]
"""(queries, keys, values, starts of the queries, starts of the keys, longest, longest); rows are (positions, H, E)."""


def causal_kernel(kernel: Kernel) -> Kernel:
    """The same for causal sentences: a flag until it became a window, open to the left and closed to the right."""
    windowed = "window_size" in inspect.signature(kernel).parameters
    return partial(kernel, window_size=(-1, 0)) if windowed else partial(kernel, is_causal=True)


_kernels: tuple[Kernel, Kernel] | None = None  # over whole sentences, and causal


def load_kernels() -> tuple[Kernel, Kernel]:
    """Import the kernel; to be called before what calls it is compiled."""
    global _kernels
    if _kernels is None:
        from torch.nn.attention import varlen

        kernel: Any = varlen.varlen_attn  # returns more than a tensor only if asked
        _kernels = (kernel, causal_kernel(kernel))
    return _kernels


def attend_within(queries: Tensor, keys: Tensor, values: Tensor, within: Within, dropout: float) -> Tensor:
    """:func:`attend_within_plain`, by the fastest way there is."""
    if not kernel_serves(queries.device, queries.dtype, queries.shape[3], dropout):
        return attend_within_plain(queries, keys, values, within, dropout)
    whole, causal = _kernels or load_kernels()
    flat = [part[0].transpose(0, 1) for part in (queries, keys, values)]  # as they were projected
    found = (causal if within.causal else whole)(
        *flat, within.queries.starts, within.keys.starts, within.queries.longest, within.keys.longest
    )
    return found.transpose(0, 1)[None]
