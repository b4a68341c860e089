"""How the length of an output enters its score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np

PenaltyKind = Literal["gnmt", "plain", "none"]

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
