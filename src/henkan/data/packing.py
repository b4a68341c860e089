"""Packed batches of one shape: sentences end to end in one row, and a constant number of positions.

No padding between sentences, and nothing whose shape changes from batch to batch: what is compiled or captured once
serves a whole run. Examples are packed in their random order; sorting would only make batches unlike each other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from henkan.data.plan import Lengths, Shards, Update
from henkan.errors import ConfigError

SPARE = 0.03
"""The side with fewer tokens, and the number of sentences, may pass their means by so much before they end a row."""

MULTIPLE = 64
"""Numbers of positions are multiples of this: matrix products like round sizes."""


@dataclass(frozen=True)
class PackedShape:
    """What all packed batches of a run have in common."""

    source: int  # positions of the source row
    target: int  # positions of the target row
    examples: int  # at most
    longest: int  # tokens of a sentence, on either side, at most

    @property
    def sentences(self) -> int:
        """Examples, and what the padding of the longer row is cut into."""
        return self.examples + math.ceil(max(self.source, self.target) / self.longest)


def packed_shape(lengths: Shards, tokens: int) -> PackedShape:
    """The shape for a corpus, read once: at most ``tokens`` positions on either side, in the corpus's proportions.

    Raises:
        ConfigError: its longest sentence does not fit.
    """
    parts = [lengths[number] for number in range(len(lengths))]
    source, target = (
        sum(int(getattr(part, side).sum(dtype=np.int64)) for part in parts) for side in ("source", "target")
    )
    longest = max(int(max(part.source.max(initial=1), part.target.max(initial=1))) for part in parts)
    positions = tokens // MULTIPLE * MULTIPLE
    if longest > positions:
        raise ConfigError(
            f"the longest sentence has {longest} tokens and a packed row {positions} positions: raise "
            "training.batch_tokens, filter long sentences, or set training.packed: false"
        )
    most = max(source, target)

    def spared(mean: float) -> int:
        return math.ceil(mean * (1.0 + SPARE) / MULTIPLE) * MULTIPLE

    def side(tokens: int) -> int:
        return max(min(positions, spared(positions * tokens / most)), longest)

    return PackedShape(side(source), side(target), spared(positions * sum(map(len, parts)) / most), longest)


def cut_rows(lengths: Lengths, shape: PackedShape) -> np.ndarray:
    """Where to cut examples into rows, in their order, ends included: a row is closed when the next does not fit."""
    ends = [np.cumsum(side, dtype=np.int64) for side in (lengths.source, lengths.target)]
    cuts = [0]
    while (start := cuts[-1]) < len(lengths):
        fitting = shape.examples
        for end, positions in zip(ends, (shape.source, shape.target), strict=True):
            before = end[start - 1] if start else 0
            fitting = min(fitting, int(np.searchsorted(end, before + positions, side="right")) - start)
        assert fitting > 0, "a shape holds the longest sentence of its corpus"
        cuts.append(start + fitting)
    return np.array(cuts, dtype=np.int64)


@dataclass(frozen=True)
class Packing:
    """How a plan makes updates of packed rows: see the argument ``cut`` of :class:`henkan.data.plan.Plan`."""

    shape: PackedShape
    rows: int  # of an update: processes times micro-batches

    def cut(self, lengths: Lengths) -> np.ndarray:
        """Where to cut examples into updates, ends included."""
        cuts = cut_rows(lengths, self.shape)
        return np.append(cuts[: -1 : self.rows], cuts[-1])

    def share(self, update: Update, world: int) -> list[list[np.ndarray]]:
        """Deal the rows to processes and micro-batches: ``[rank][micro-batch]``, places of examples.

        Empty where the last update of a pool has fewer rows.
        """
        cuts = cut_rows(update.lengths, self.shape)
        rows = [update.places[start:end] for start, end in pairwise(cuts)]
        rows += [update.places[:0]] * (self.rows - len(rows))
        return [rows[rank::world] for rank in range(world)]

    def fill(self, update: Update) -> tuple[float, float]:
        """The share of the source and of the target positions of an update that hold a token."""
        rows = len(cut_rows(update.lengths, self.shape)) - 1
        source, target = int(update.lengths.source.sum()), int(update.lengths.target.sum())
        return source / (rows * self.shape.source), target / (rows * self.shape.target)
