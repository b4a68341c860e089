"""How the gradients of several processes become one sum, and who moves which masters.

Everything is one flat float32 buffer, so there are three ways of a screen each, with one signature:

    Whole         one all-reduce; every rank moves all masters. The specification, and what a process alone does.
    Sharded       each rank gets its part of the sum, keeps the optimiser's state of that part only and moves those
                  masters, which then travel to all (ZeRO stage 1, Rajbhandari et al. 2020).
    CommonMemory  the same on one machine without sending anything: gradients of all ranks and one set of masters lie
                  in memory that every rank sees.
"""

from __future__ import annotations

import math
import mmap
import os
from typing import Protocol

import torch
from torch import Tensor

from henkan.training import distributed

ALIGNMENT = 16
"""Parts start at a multiple of so many float32 numbers: 64 bytes."""


class Reduction(Protocol):
    """The buffers of masters and gradient, and what ranks do about them together."""

    masters: Tensor  # the same on every rank
    gradient: Tensor  # of this rank, until it is summed
    owned: slice  # the part that this rank's optimiser moves

    def sum_gradients(self) -> None:
        """Make ``gradient[owned]`` the sum over all ranks; the rest of it is then worth nothing."""
        ...

    def norm(self) -> Tensor:
        """The global norm of the summed gradient, the same on every rank."""
        ...

    def share_masters(self) -> None:
        """After every rank moved the masters it owns: let all ranks have all of them."""
        ...

    def whole(self, shard: Tensor) -> Tensor:
        """A buffer laid out like the masters, on the processor, from every rank's values for what it owns."""
        ...


def choose(size: int, device: torch.device, sharded: bool) -> Reduction:
    """Common memory where there is some, else as asked.

    Args:
        size: numbers in a buffer, a multiple of the alignment.
    """
    memory = distributed.common_memory()
    if memory is not None:
        return CommonMemory(size, memory)
    return Sharded(size, device) if sharded and distributed.world() > 1 else Whole(size, device)


class Whole:
    """Every rank has everything."""

    def __init__(self, size: int, device: torch.device) -> None:
        self.masters = torch.zeros(size, device=device)
        self.gradient = torch.zeros_like(self.masters)
        self.owned = slice(0, size)

    def sum_gradients(self) -> None:
        """One all-reduce."""
        distributed.all_reduce_(self.gradient)

    def norm(self) -> Tensor:
        """Every rank computes it from the same numbers."""
        return torch.linalg.vector_norm(self.gradient)

    def share_masters(self) -> None:
        """All have them."""

    def whole(self, shard: Tensor) -> Tensor:
        """It is whole."""
        return shard.detach().cpu()


class Sharded:
    """The sum of the gradients and the optimiser's state are divided among the ranks; the masters are not."""

    def __init__(self, size: int, device: torch.device) -> None:
        own, padded = _part(size)
        self.masters = torch.zeros(padded, device=device)
        self.gradient = torch.zeros_like(self.masters)
        self.owned = own

    def sum_gradients(self) -> None:
        """To every rank its part."""
        shard = torch.empty_like(self.gradient[self.owned])
        distributed.reduce_scatter(shard, self.gradient)
        self.gradient[self.owned] = shard

    def norm(self) -> Tensor:
        """From the norms of all parts."""
        return _norm_of_parts(self.gradient[self.owned])

    def share_masters(self) -> None:
        """From every rank its part."""
        distributed.all_gather(self.masters, self.masters[self.owned].clone())

    def whole(self, shard: Tensor) -> Tensor:
        """By way of the processors: a device that cannot hold it need not."""
        found = torch.empty(len(self.masters))
        distributed.all_gather(found, shard.detach().cpu().contiguous())
        return found


class CommonMemory:
    """Ranks of one machine; no number is copied from one to another.

    Whoever owns a part adds up what all ranks have there, always in one order, and moves that part of the one set of
    masters. Two waits keep them apart: until all gradients are there, in ``sum_gradients``, and until all masters are
    moved. Between them a rank writes only to what it owns, and nobody else reads that.
    """

    def __init__(self, size: int, memory: int) -> None:
        self.owned, padded = _part(size)
        world, rank = distributed.world(), distributed.rank()
        length = (world + 2) * padded * torch.float32.itemsize
        os.ftruncate(memory, length)  # all ranks to the same size; what is there already stays
        rows = torch.frombuffer(mmap.mmap(memory, length), dtype=torch.float32).view(world + 2, padded)
        self.masters, self._exchange = rows[0], rows[1]
        self.gradient = rows[2 + rank]
        self._others = [gradient for place, gradient in enumerate(rows[2:]) if place != rank]

    def sum_gradients(self) -> None:
        """Every rank its part, in memory."""
        distributed.barrier()
        total = self.gradient[self.owned]
        for other in self._others:
            total.add_(other[self.owned])

    def norm(self) -> Tensor:
        """From the norms of all parts."""
        return _norm_of_parts(self.gradient[self.owned])

    def share_masters(self) -> None:
        """They are there as soon as all ranks are ready."""
        distributed.barrier()

    def whole(self, shard: Tensor) -> Tensor:
        """Through memory that all see."""
        distributed.barrier()  # somebody may still be reading what was there before
        self._exchange[self.owned] = shard.detach()
        distributed.barrier()
        return self._exchange.clone()


def _part(size: int) -> tuple[slice, int]:
    """What this rank owns of so many numbers, and their number when all parts are equally long."""
    length = math.ceil(size / distributed.world() / ALIGNMENT) * ALIGNMENT
    start = distributed.rank() * length
    return slice(start, start + length), distributed.world() * length


def _norm_of_parts(own: Tensor) -> Tensor:
    return distributed.all_reduce_(torch.linalg.vector_norm(own).square()).sqrt()
