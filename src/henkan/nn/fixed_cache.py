"""A cache that stays where it is, whole from the start: what a captured step of decoding can write."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class FixedCache:
    """A buffer whose next slot is known to the device alone; see henkan.nn.cache for the other kinds.

    All slots count as filled, so a mask beside it, itself such a cache that begins with False, hides those to come.
    Choosing rows moves them, in place.
    """

    buffer: Tensor  # (R, capacity, ...)
    place: Tensor  # (1,) int64, the next slot; whoever made the cache moves it on

    def append(self, new: Tensor) -> FixedCache:
        """``new`` is (R, 1, ...), written in place."""
        self.buffer.index_copy_(1, self.place, new)
        return self

    @property
    def filled(self) -> Tensor:
        """(R, capacity, ...)."""
        return self.buffer

    @property
    def slots(self) -> int:
        """The capacity."""
        return self.buffer.shape[1]

    def select(self, rows: Tensor) -> FixedCache:
        """The given rows, as many as there are, in the given order."""
        self.buffer.copy_(self.buffer.index_select(0, rows))
        return self
