"""What earlier positions left behind, for a decoder that reads its target in pieces.

Two kinds with one meaning. :class:`GrowingCache` concatenates and is differentiable: it is the specification.
:class:`PreallocatedCache` writes in place: inference only, and an appended-to cache is spent.
Slots are shared by all rows; a padded position takes a slot and is masked in it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class GrowingCache:
    """A tensor that grows along its slots."""

    rows: Tensor | None = None  # (R, slots, ...)

    def append(self, new: Tensor) -> GrowingCache:
        """``new`` is (R, T, ...); the first append costs nothing."""
        return GrowingCache(new if self.rows is None else torch.cat([self.rows, new], 1))

    @property
    def filled(self) -> Tensor:
        """(R, slots, ...), everything appended so far."""
        assert self.rows is not None
        return self.rows

    @property
    def slots(self) -> int:
        """How many positions were appended."""
        return 0 if self.rows is None else self.rows.shape[1]

    def select(self, rows: Tensor) -> GrowingCache:
        """The given rows in the given order."""
        return self if self.rows is None else GrowingCache(self.rows.index_select(0, rows))


@dataclass(frozen=True)
class PreallocatedCache:
    """A buffer of fixed capacity, filled up to ``slots``; made at the first append, when the shape is known."""

    capacity: int
    rows: Tensor | None = None  # (R, capacity, ...)
    slots: int = 0

    def append(self, new: Tensor) -> PreallocatedCache:
        """``new`` is (R, T, ...), written in place behind what is there."""
        end = self.slots + new.shape[1]
        buffer = self.rows
        if buffer is None or end > buffer.shape[1]:
            grown = new.new_empty(new.shape[0], max(self.capacity, 2 * self.slots, end), *new.shape[2:])
            if buffer is not None:
                grown[:, : self.slots] = buffer[:, : self.slots]
            buffer = grown
        buffer[:, self.slots : end] = new
        return PreallocatedCache(self.capacity, buffer, end)

    @property
    def filled(self) -> Tensor:
        """(R, slots, ...), a view of everything appended so far."""
        assert self.rows is not None
        return self.rows[:, : self.slots]

    def select(self, rows: Tensor) -> PreallocatedCache:
        """The given rows in the given order; only the filled part is moved."""
        if self.rows is None:
            return self
        chosen = self.rows.new_empty(rows.shape[0], *self.rows.shape[1:])
        torch.index_select(self.rows[:, : self.slots], 0, rows, out=chosen[:, : self.slots])
        return PreallocatedCache(self.capacity, chosen, self.slots)


Cache = GrowingCache | PreallocatedCache


def empty_cache(capacity: int) -> Cache:
    """A growing cache for capacity 0, otherwise a preallocated one."""
    return PreallocatedCache(capacity) if capacity else GrowingCache()
