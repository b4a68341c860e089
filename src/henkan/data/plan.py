"""Which examples stand in which update: a pure function of their lengths, a seed and the epoch.

1. The shards of the corpus are shuffled and dealt into windows of about ``window`` examples; an epoch goes through one
   window after another, and only the lengths of the one at hand are in memory. Most corpora are one window.
2. The examples of a window are shuffled and cut into pools of ``pool_batches`` updates or more.
3. Each pool is sorted by source length, and by target length up and down in turn, so that neighbours are alike in both.
4. It is cut where the padded size, rows times the longest side, would pass ``batch_tokens``.
5. The updates of a pool are shuffled.

An update does not depend on the number of processes; :func:`share` divides one among them.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

WINDOW = 1 << 21
"""Examples that are shuffled together; planning takes some 50 bytes for each of them."""


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


class Shards(Protocol):
    """The lengths of a corpus, shard by shard; a list of one is a small corpus."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int, /) -> Lengths: ...


@dataclass(frozen=True, eq=False)
class Update:
    """The examples of one update."""

    places: np.ndarray  # (rows,) int64, in the whole corpus
    lengths: Lengths  # of these rows

    def __len__(self) -> int:
        return len(self.places)


@dataclass(frozen=True, eq=False)
class _Pool:
    """Examples in the order of their updates; update k is ``starts[k]`` to ``ends[k]``."""

    order: np.ndarray  # places in the window
    starts: np.ndarray
    ends: np.ndarray


class _Window:
    """A window in its random order, and what is known of it so far: where its planned pools end, and one pool."""

    def __init__(self, places: np.ndarray, lengths: Lengths, pools: int) -> None:
        self.places = places
        self.lengths = lengths
        self.pool_ends = [len(places) * (pool + 1) // pools for pool in range(pools)]
        self.ends: list[int] = []  # in updates
        self.last: tuple[int, _Pool] | None = None


class Plan:
    """All updates of all epochs.

    Pools are planned when they are asked for, and the last one of a window is remembered: going through an epoch costs
    one sort of each pool, and starting in its middle the sorts of the pools before in the same window. Threads may
    share a plan.

    Args:
        shards: tokens of each example; one shard after another is read, and more than once.
        seed: not negative.
        batch_tokens: the padded size of an update, at most; an example longer than that stands alone.
        pool_batches: about the least number of updates to a pool. More waste less on padding, fewer mix better.
        window: examples in a window, at most; but a shard is never divided.
        cut: where to cut examples, left in their random order, into updates (see henkan.data.packing); ends included.
            None: they are sorted and cut by padded size.

    Attributes:
        windows: how many an epoch has.
    """

    def __init__(
        self,
        shards: Shards,
        seed: int,
        batch_tokens: int,
        pool_batches: int = 100,
        window: int = WINDOW,
        cut: Callable[[Lengths], np.ndarray] | None = None,
    ) -> None:
        for name, value in (("batch_tokens", batch_tokens), ("pool_batches", pool_batches), ("window", window)):
            if value < 1:
                raise ValueError(f"{name} {value}: expected at least 1")
        if seed < 0:
            raise ValueError(f"seed {seed}: expected at least 0")
        sizes = [len(shards[number]) for number in range(len(shards))]
        self._shard_starts = np.cumsum([0, *sizes])
        if not sum(sizes):
            raise ValueError("a plan needs at least one example")
        self._shards = shards
        self._seed = seed
        self._batch_tokens = batch_tokens
        self._pool_batches = pool_batches
        self._cut = cut
        self.windows = 1 if sum(sizes) <= window else -(-len(sizes) // max(1, window // max(sizes)))
        self._known: dict[tuple[int, int], _Window] = {}
        self._lock = threading.Lock()

    def updates(self, epoch: int, window: int) -> int:
        """The number of updates in a window of an epoch; all count from 0."""
        with self._lock:
            state = self._window(epoch, window)
            while len(state.ends) < len(state.pool_ends):
                self._next_pool(epoch, window, state)
            return state.ends[-1]

    def update(self, epoch: int, window: int, number: int) -> Update:
        """An update of a window of an epoch; all count from 0.

        Raises:
            IndexError: the window has no such update, or the epoch no such window.
        """
        with self._lock:
            state = self._window(epoch, window)
            while (not state.ends or state.ends[-1] <= number) and len(state.ends) < len(state.pool_ends):
                self._next_pool(epoch, window, state)
            if not 0 <= number < state.ends[-1]:
                raise IndexError(f"update {number} of window {window} of epoch {epoch}, which has {state.ends[-1]}")
            place = bisect_right(state.ends, number)
            if state.last is None or state.last[0] != place:
                state.last = (place, self._pool(epoch, window, state, place))
            pool = state.last[1]
            within = number - (state.ends[place - 1] if place else 0)
            rows = pool.order[pool.starts[within] : pool.ends[within]]
            return Update(state.places[rows], Lengths(state.lengths.source[rows], state.lengths.target[rows]))

    def _key(self, epoch: int, window: int) -> tuple[int, ...]:
        """Where the random numbers of a window come from; the shards of an epoch are shuffled with (seed, epoch)."""
        return (self._seed, epoch) if self.windows == 1 else (self._seed, epoch, window, self.windows)

    def _window(self, epoch: int, window: int) -> _Window:
        if not 0 <= window < self.windows:
            raise IndexError(f"window {window} of epoch {epoch}, which has {self.windows}")
        if (epoch, window) not in self._known:
            if len(self._known) == 2:  # this one and the next: a loader runs ahead of the loop
                del self._known[min(self._known)]
            self._known[epoch, window] = self._open(epoch, window)
        return self._known[epoch, window]

    def _open(self, epoch: int, window: int) -> _Window:
        chosen = np.arange(len(self._shards))
        if self.windows > 1:
            chosen = np.random.default_rng((self._seed, epoch)).permutation(chosen)
        mine = np.array_split(chosen, self.windows)[window].tolist()
        starts = self._shard_starts
        places = np.concatenate([np.arange(starts[shard], starts[shard + 1]) for shard in mine])
        parts = [self._shards[shard] for shard in mine]
        source, target = (np.concatenate([getattr(part, side) for part in parts]) for side in ("source", "target"))
        tokens = int(np.maximum(source, target).sum(dtype=np.int64))
        pools = min(max(1, tokens // (self._batch_tokens * self._pool_batches)), len(places))
        order = np.random.default_rng(self._key(epoch, window)).permutation(len(places))
        return _Window(places[order], Lengths(source[order], target[order]), pools)

    def _next_pool(self, epoch: int, window: int, state: _Window) -> None:
        place = len(state.ends)
        pool = self._pool(epoch, window, state, place)
        state.last = (place, pool)
        state.ends.append((state.ends[-1] if place else 0) + len(pool.starts))

    def _pool(self, epoch: int, window: int, state: _Window, place: int) -> _Pool:
        members = slice(state.pool_ends[place - 1] if place else 0, state.pool_ends[place])
        lengths = Lengths(state.lengths.source[members], state.lengths.target[members])
        order, cuts = self._by_length(lengths) if self._cut is None else (np.arange(len(lengths)), self._cut(lengths))
        shuffled = np.random.default_rng((*self._key(epoch, window), place)).permutation(len(cuts) - 1)
        return _Pool(order + members.start, cuts[:-1][shuffled], cuts[1:][shuffled])

    def _by_length(self, lengths: Lengths) -> tuple[np.ndarray, np.ndarray]:
        """The examples of a pool in the order of their lengths, and where to cut them into updates."""
        back_and_forth = np.where(lengths.source % 2 == 1, lengths.target, -lengths.target.astype(np.int64))
        order = np.lexsort((back_and_forth, lengths.source))
        return order, _cut(np.maximum(lengths.source, lengths.target)[order], self._batch_tokens)


def _cut(longest_side: np.ndarray, batch_tokens: int) -> np.ndarray:
    """Where to cut a sorted pool, ends included: as many examples to an update as the padded size allows."""
    sides = longest_side.astype(np.int64)
    cuts = [0]
    while (start := cuts[-1]) < len(sides):
        ahead = sides[start : start + 1 + batch_tokens // max(1, sides[start])]  # one more than could fit
        padded = np.maximum.accumulate(ahead) * np.arange(1, len(ahead) + 1)
        fitting = int(np.searchsorted(padded, batch_tokens, side="right"))  # it never falls
        cuts.append(start + max(1, fitting))
    return np.array(cuts, dtype=np.int64)


def share(update: Update, world: int, accumulation: int) -> list[list[np.ndarray]]:
    """Divide an update among processes and micro-batches.

    The examples, sorted by length, are cut into ``world * accumulation`` runs such that the largest padded size is as
    small as any such cutting allows; the runs are then dealt out so that each process gets about the same in total.

    Returns:
        ``[rank][micro-batch]``, places of examples; empty where there are fewer examples than parts.
    """
    if world < 1 or accumulation < 1:
        raise ValueError(f"{world} processes times {accumulation} micro-batches: expected at least 1 of each")
    parts = world * accumulation
    if parts == 1:
        return [[update.places]]
    longest_side = np.maximum(update.lengths.source, update.lengths.target)
    by_length = np.argsort(longest_side, kind="stable")
    ascending = longest_side[by_length].tolist()
    runs, sizes = [], []
    end = len(ascending)
    cap = _smallest_cap(ascending, parts)
    for left in range(parts, 0, -1):  # longest first; evenly where the cap allows more
        rows = min(cap // max(1, ascending[end - 1]), -(-end // left)) if end else 0
        runs.append(update.places[by_length[end - rows : end]])
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
