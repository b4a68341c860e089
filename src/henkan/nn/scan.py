"""h[t] = a[t] * h[t-1] + b[t] for all t at once: a recurrence whose gates do not look at h needs no loop."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def scan(keep: Tensor, add: Tensor, first: Tensor) -> Tensor:
    """Doubling: after round k, position t knows the 2^k steps up to it (Hillis & Steele 1986).

    Args:
        keep: (N, T, D), a.
        add: (N, T, D), b.
        first: (N, D), h before the first step.

    Returns:
        (N, T, D), h after each step.
    """
    add = torch.cat([(add[:, :1] + keep[:, :1] * first[:, None]), add[:, 1:]], 1)
    span, length = 1, keep.shape[1]
    while span < length:
        # steps t-span and t joined into one; what would reach before the first position joins nothing
        earlier_add = functional.pad(add[:, :-span], (0, 0, span, 0))
        earlier_keep = functional.pad(keep[:, :-span], (0, 0, span, 0), value=1.0)
        add, keep = add + keep * earlier_add, keep * earlier_keep
        span *= 2
    return add
