"""What earlier positions left behind, for a decoder that reads its target in pieces.

Two kinds with one meaning. :class:`GrowingCache` concatenates and is differentiable: it is the specification.
:class:`PreallocatedCache` writes in place: inference only, and an appended-to cache is spent. Whoever writes and reads
by C++ keeps :class:`Entries`.
Slots are shared by all rows; a padded position takes a slot and is masked in it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

SLOTS = 16
"""Room that :class:`Entries` begin with; it doubles."""


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
    """A buffer of fixed capacity, filled up to ``slots``; made at the first append, when the shape is known.

    Choosing rows moves nothing: a table says where in the buffer each row finds its past. Beams that branch share it.
    """

    capacity: int
    buffer: Tensor | None = None  # (capacity, rows, ...); at least R rows, except between a selection and an append
    table: Tensor | None = None  # (R, slots) int64, rows of the buffer; None: row n finds everything in row n
    slots: int = 0

    def append(self, new: Tensor) -> PreallocatedCache:
        """``new`` is (R, T, ...), written in place behind what is there."""
        rows, length, *rest = new.shape
        end = self.slots + length
        buffer, table = self.buffer, self.table
        if buffer is None:
            buffer = new.new_empty(max(self.capacity, end), rows, *rest)
        elif end > buffer.shape[0] or rows > buffer.shape[1]:
            capacity = buffer.shape[0] if end <= buffer.shape[0] else max(2 * self.slots, end)
            grown = new.new_empty(capacity, max(rows, buffer.shape[1]), *rest)
            grown[: self.slots, : buffer.shape[1]] = buffer[: self.slots]
            buffer = grown
        buffer[self.slots : end, :rows] = new.transpose(0, 1)
        if table is not None:
            own = torch.arange(rows, device=new.device)[:, None].expand(rows, length)
            table = torch.cat([table, own], 1)
        return PreallocatedCache(self.capacity, buffer, table, end)

    @property
    def filled(self) -> Tensor:
        """(R, slots, ...), everything appended so far; a view where no rows were chosen."""
        assert self.buffer is not None
        if self.table is None:
            return self.buffer[: self.slots].transpose(0, 1)
        return self.buffer[torch.arange(self.slots, device=self.table.device), self.table]

    def select(self, rows: Tensor) -> PreallocatedCache:
        """The given rows in the given order."""
        if self.buffer is None:
            return self
        table = rows[:, None].repeat(1, self.slots) if self.table is None else self.table.index_select(0, rows)
        return PreallocatedCache(self.capacity, self.buffer, table, self.slots)


@dataclass(frozen=True)
class Entries:
    """One entry for each row and slot, and a table of where each row finds its own.

    Entries are never moved, so rows that branch share them. C++ writes the last ones and their addresses.
    """

    table: Tensor  # (R, at least ``slots``) int64: the address of each entry, 0 where there was padding
    blocks: tuple[Tensor, ...] = ()  # (R at that time, ...) float32, one for each slot

    @property
    def slots(self) -> int:
        """How many positions were read."""
        return len(self.blocks)

    @classmethod
    def empty(cls, rows: int) -> Entries:
        """Nothing yet, for so many rows."""
        return cls(torch.empty(rows, SLOTS, dtype=torch.int64))

    def with_slot(self, shape: tuple[int, ...]) -> Entries:
        """One more slot for each row, of entries of this shape, to be written."""
        table = self.table
        if self.slots == table.shape[1]:
            table = torch.cat([table, torch.empty_like(table)], 1)
        return Entries(table, (*self.blocks, torch.empty(len(table), *shape)))

    def select(self, rows: Tensor) -> Entries:
        """The given rows in the given order."""
        return Entries(self.table.index_select(0, rows), self.blocks)


Cache = GrowingCache | PreallocatedCache


def empty_cache(capacity: int) -> Cache:
    """A growing cache for capacity 0, otherwise a preallocated one."""
    return PreallocatedCache(capacity) if capacity else GrowingCache()
