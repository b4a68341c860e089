"""Which examples stand in which update: a pure function of their lengths, a seed and the epoch.

1. The examples are shuffled and cut into pools of ``pool_batches`` updates or more.
2. Each pool is sorted by source length, and by target length up and down in turn, so that neighbours are alike in both.
3. It is cut where the padded size, rows times the longest side, would pass ``batch_tokens``.
4. The updates of a pool are shuffled.

An update does not depend on the number of processes; :func:`share` divides one among them.
"""

import threading
from bisect import bisect_right
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Lengths:
    """Tokens of each example as the model sees them: END included."""

    source: np.ndarray  # (examples,) integers
    target: np.ndarray  # (examples,) integers

    def __post_init__(self) -> None:
        if self.source.shape != self.target.shape or self.source.ndim != 1:
            raise ValueError(f"expected two vectors of one length, got {self.source.shape} and {self.target.shape}")

    def __len__(self) -> int:
        return len(self.source)


@dataclass(frozen=True, eq=False)
class _Pool:
    """Examples in the order of their updates; update k is ``order[starts[k]:ends[k]]``."""

    order: np.ndarray
    starts: np.ndarray
    ends: np.ndarray


class _Epoch:
    """What is known of one epoch so far: its shuffled order, where the updates of each planned pool end, one pool."""

    def __init__(self, order: np.ndarray) -> None:
        self.order = order
        self.ends: list[int] = []
        self.last: tuple[int, _Pool] | None = None


class Plan:
    """All updates of all epochs.

    Pools are planned when they are asked for, and the last one of an epoch is remembered: going through an epoch costs
    one sort of each pool, and starting in its middle the sorts of the pools before. Threads may share a plan.

    Args:
        lengths: tokens of each example.
        seed: not negative.
        batch_tokens: the padded size of an update, at most; an example longer than that stands alone.
        pool_batches: about the least number of updates to a pool. More waste less on padding, fewer mix better.
    """

    def __init__(self, lengths: Lengths, seed: int, batch_tokens: int, pool_batches: int = 100) -> None:
        for name, value in (("batch_tokens", batch_tokens), ("pool_batches", pool_batches)):
            if value < 1:
                raise ValueError(f"{name} {value}: expected at least 1")
        if seed < 0:
            raise ValueError(f"seed {seed}: expected at least 0")
        if not len(lengths):
            raise ValueError("a plan needs at least one example")
        self._lengths = lengths
        self._seed = seed
        self._batch_tokens = batch_tokens
        tokens = int(np.maximum(lengths.source, lengths.target).sum(dtype=np.int64))
        pools = min(max(1, tokens // (batch_tokens * pool_batches)), len(lengths))
        self._pool_ends = [len(lengths) * (pool + 1) // pools for pool in range(pools)]
        self._epochs: dict[int, _Epoch] = {}
        self._lock = threading.Lock()

    def updates(self, epoch: int) -> int:
        """The number of updates in an epoch; epochs count from 0."""
        with self._lock:
            state = self._epoch(epoch)
            while len(state.ends) < len(self._pool_ends):
                self._next_pool(epoch, state)
            return state.ends[-1]

    def update(self, epoch: int, number: int) -> np.ndarray:
        """The places of the examples of an update, (rows,) int64; updates count from 0.

        Raises:
            IndexError: the epoch has no such update.
        """
        with self._lock:
            state = self._epoch(epoch)
            while (not state.ends or state.ends[-1] <= number) and len(state.ends) < len(self._pool_ends):
                self._next_pool(epoch, state)
            if not 0 <= number < state.ends[-1]:
                raise IndexError(f"update {number} of epoch {epoch}, which has {state.ends[-1]}")
            place = bisect_right(state.ends, number)
            if state.last is None or state.last[0] != place:
                state.last = (place, self._pool(epoch, state.order, place))
            pool = state.last[1]
            within = number - (state.ends[place - 1] if place else 0)
            return pool.order[pool.starts[within] : pool.ends[within]]

    def _epoch(self, epoch: int) -> _Epoch:
        if epoch not in self._epochs:
            if len(self._epochs) == 2:  # this one and the next: a loader runs ahead of the loop
                del self._epochs[min(self._epochs)]
            generator = np.random.default_rng((self._seed, epoch))
            self._epochs[epoch] = _Epoch(generator.permutation(len(self._lengths)))
        return self._epochs[epoch]

    def _next_pool(self, epoch: int, state: _Epoch) -> None:
        place = len(state.ends)
        pool = self._pool(epoch, state.order, place)
        state.last = (place, pool)
        state.ends.append((state.ends[-1] if place else 0) + len(pool.starts))

    def _pool(self, epoch: int, order: np.ndarray, place: int) -> _Pool:
        members = order[self._pool_ends[place - 1] if place else 0 : self._pool_ends[place]]
        source, target = self._lengths.source[members], self._lengths.target[members]
        back_and_forth = np.where(source % 2 == 1, target, -target.astype(np.int64))
        by_length = np.lexsort((back_and_forth, source))
        cuts = _cut(np.maximum(source, target)[by_length], self._batch_tokens)
        shuffled = np.random.default_rng((self._seed, epoch, place)).permutation(len(cuts) - 1)
        return _Pool(members[by_length], cuts[:-1][shuffled], cuts[1:][shuffled])


def _cut(longest_side: np.ndarray, batch_tokens: int) -> np.ndarray:
    """Where to cut a sorted pool, ends included: as many examples to an update as the padded size allows."""
    cuts = [0]
    longest = 0
    for place, length in enumerate(longest_side.tolist()):
        longest = max(longest, length)
        if (place + 1 - cuts[-1]) * longest > batch_tokens and place > cuts[-1]:
            cuts.append(place)
            longest = length
    cuts.append(len(longest_side))
    return np.array(cuts, dtype=np.int64)


def share(update: np.ndarray, lengths: Lengths, world: int, accumulation: int) -> list[list[np.ndarray]]:
    """Divide an update among processes and micro-batches.

    The examples, sorted by length, are cut into ``world * accumulation`` runs such that the largest padded size is as
    small as any such cutting allows; the runs are then dealt out so that each process gets about the same in total.

    Args:
        update: places of examples, (rows,) int64.
        lengths: tokens of all examples.

    Returns:
        ``[rank][micro-batch]``, places of examples; empty where there are fewer examples than parts.
    """
    if world < 1 or accumulation < 1:
        raise ValueError(f"{world} processes times {accumulation} micro-batches: expected at least 1 of each")
    parts = world * accumulation
    if parts == 1:
        return [[update]]
    longest_side = np.maximum(lengths.source[update], lengths.target[update])
    by_length = np.argsort(longest_side, kind="stable")
    ascending = longest_side[by_length].tolist()
    runs, sizes = [], []
    end = len(ascending)
    cap = _smallest_cap(ascending, parts)
    for left in range(parts, 0, -1):  # longest first; evenly where the cap allows more
        rows = min(cap // max(1, ascending[end - 1]), -(-end // left)) if end else 0
        runs.append(update[by_length[end - rows : end]])
        sizes.append(rows * ascending[end - 1] if rows else 0)
        end -= rows
    ranks: list[list[np.ndarray]] = [[] for _ in range(world)]
    totals = [0] * world
    for run in sorted(range(parts), key=lambda run: -sizes[run]):  # the next largest to whoever has least, and room
        rank = min((rank for rank in range(world) if len(ranks[rank]) < accumulation), key=lambda rank: totals[rank])
        ranks[rank].append(runs[run])
        totals[rank] += sizes[run]
    return ranks


def _smallest_cap(ascending: list[int], parts: int) -> int:
    """The least padded size that lets ``parts`` runs of the sorted lengths hold them all."""
    if not ascending:
        return 0
    low, high = 1, max(1, ascending[-1]) * len(ascending)
    while low < high:
        cap = (low + high) // 2
        end = len(ascending)
        for _ in range(parts):
            if end:
                end = max(0, end - cap // max(1, ascending[end - 1]))
        low, high = (low, cap) if end == 0 else (cap + 1, high)
    return low
