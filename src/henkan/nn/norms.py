"""Norms of vectors, by name."""

from typing import Literal

from torch import nn

Normalisation = Literal["layer", "rms"]
"""``layer``: mean 0 and deviation 1, then a learnt scale and shift (Ba et al. 2016). ``rms``: root mean square 1,
then a learnt scale (Zhang & Sennrich 2019)."""


def norm(kind: Normalisation, width: int, epsilon: float) -> nn.Module:
    """A new norm of (..., width); ``epsilon`` is added to the variance or the mean square."""
    return nn.RMSNorm(width, epsilon) if kind == "rms" else nn.LayerNorm(width, epsilon)
