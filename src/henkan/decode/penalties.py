"""How the length of an output, and what it leaves of its source, enter its score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
from torch import Tensor

PenaltyKind = Literal["gnmt", "plain", "none"]

LEAST_ATTENTION = 1e-6
"""What a source position counts for at least: one that nobody looked at costs much, but not everything."""

_Length = TypeVar("_Length", float, np.ndarray)


@dataclass(frozen=True)
class LengthPenalty:
    """What the log-probability of an output is divided by to give its score.

    ``gnmt`` is ((5 + length) / 6) ** alpha (Wu 2016, equation 14), ``plain`` is length ** alpha (with alpha 1: the mean
    log-probability of a token), ``none`` is 1. The end token counts.
    """

    kind: PenaltyKind
    alpha: float

    def __call__(self, length: _Length) -> _Length:
        """The divisor for outputs of ``length`` tokens, at least 1; it never falls as the length grows."""
        if self.kind == "gnmt":
            return ((5.0 + length) / 6.0) ** self.alpha
        return length ** (self.alpha if self.kind == "plain" else 0.0)


@dataclass(frozen=True)
class CoveragePenalty:
    """What is added to the score of an output that looked too little at parts of its source.

    beta times the sum over source positions of log(min(attention, 1)), where attention is what the position got over
    the whole output, the end token's included (Wu 2016, equation 14). It is at most 0, and only rises as an output
    grows.
    """

    beta: float

    def __call__(self, attention: Tensor, real: Tensor) -> Tensor:
        """Attention (..., S) so far, and which positions are there, bool of the same shape, to (...)."""
        return self.beta * attention.clamp(LEAST_ATTENTION, 1.0).log().masked_fill(~real, 0.0).sum(-1)
