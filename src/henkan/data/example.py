"""One example before it becomes tensors: first as text, then as ids."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np


@dataclass(frozen=True, slots=True)
class Pair:
    """What should turn into what, and the line it stands on, counted from 1."""

    source: str
    target: str
    line: int


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """The ids of a pair, without START and END, and its place in its split."""

    index: int
    source: np.ndarray  # (S,) int32
    target: np.ndarray  # (T,) int32

    @classmethod
    def of(cls, index: int, source: Sequence[int], target: Sequence[int]) -> Self:
        """An example from plain ids."""
        return cls(index, np.array(source, dtype=np.int32), np.array(target, dtype=np.int32))
