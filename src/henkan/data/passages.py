"""Which stretches of running text become examples: a pure function of the text, a length and a seed.

blocks           tokens one after another, cut every ``length``: for language models
passages         whole lines together up to ``length``, across documents or not (RoBERTa's full sentences)
sentence_pairs   two stretches, of which the second follows the first in half of the cases (BERT)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from henkan.data.documents import Documents


@dataclass(frozen=True, eq=False)
class Passages:
    """Stretches of the token file."""

    starts: np.ndarray  # (examples,) int64, in tokens
    ends: np.ndarray  # (examples,) int64

    def __len__(self) -> int:
        return len(self.starts)


@dataclass(frozen=True, eq=False)
class SentencePairs:
    """Two stretches for each example."""

    first: Passages
    second: Passages
    follows: np.ndarray  # (examples,) bool: the second stands right behind the first in the text

    def __len__(self) -> int:
        return len(self.follows)


def blocks(documents: Documents, length: int) -> Passages:
    """Every token once, in stretches of exactly ``length``; what is left at the end is a shorter one."""
    starts = np.arange(0, len(documents.tokens), length, dtype=np.int64)
    return Passages(starts, np.minimum(starts + length, len(documents.tokens)))


def passages(documents: Documents, length: int, across: bool = True) -> Passages:
    """Every token once: lines that follow each other, as many as fit; a line that is longer alone is cut.

    Args:
        across: whether a passage may go on into the next document.
    """
    cuts = [0]
    ends = _pieces(documents.lines, length)
    borders = set() if across else set(documents.lines[documents.starts].tolist())
    before = 0
    for end in ends:
        if end - cuts[-1] > length or (before in borders and before != cuts[-1]):
            cuts.append(before)
        before = end
    cuts.append(before)
    places = np.array(cuts, dtype=np.int64)
    return Passages(places[:-1], places[1:])


def _pieces(lines: np.ndarray, length: int) -> Iterator[int]:
    """The end of each line, and of each part of a line that is too long."""
    for start, end in zip(lines[:-1].tolist(), lines[1:].tolist(), strict=True):
        yield from range(start + length, end, length)
        if end > start:
            yield end


def sentence_pairs(documents: Documents, length: int, seed: int, short: float = 0.1) -> SentencePairs:
    """Pairs of stretches of together at most ``length`` tokens (Devlin et al. 2019, appendix A.2).

    A chunk of lines is cut at a line end drawn at random; its second half is kept in half of the cases and otherwise
    replaced by whole lines of about that length from elsewhere: from another document where there is one, and never
    from where they would follow. Both kinds begin and end where lines do, so that no cut sentence tells them apart.
    Which half, is shuffled rather than drawn, so that both are equally many.

    Args:
        short: share of chunks that aim at a shorter length, drawn anew for each.
    """
    rng = np.random.default_rng([seed, length])
    halves = [pair for number in range(len(documents)) for pair in _chunks(documents, number, length, short, rng)]
    first = np.array([pair[:2] for pair in halves], dtype=np.int64).reshape(-1, 2)
    second = np.array([pair[1:] for pair in halves], dtype=np.int64).reshape(-1, 2)
    follows = rng.permutation(np.arange(len(halves)) % 2 == 0)
    heads = documents.lines[documents.starts[1:-1]]  # where each document but the first begins, in tokens
    for row in np.flatnonzero(~follows):
        start, middle = first[row].tolist()
        own = int(np.searchsorted(heads, start, side="right"))
        room = max(length - (middle - start), int(second[row, 1]) - middle)
        second[row] = _elsewhere(documents, own, start, int(second[row, 1]), int(second[row, 1]) - middle, room, rng)
    return SentencePairs(Passages(*first.T.copy()), Passages(*second.T.copy()), follows)


def _chunks(
    documents: Documents, number: int, length: int, short: float, rng: np.random.Generator
) -> Iterator[tuple[int, int, int]]:
    """Start, middle and end of the chunks of a document, in tokens."""
    lines = documents.lines[documents.starts[number] : documents.starts[number + 1] + 1]
    cuts = [int(lines[0])]
    wanted = _wanted(length, short, rng)
    for end in _pieces(lines, max(1, length // 2)):
        if cuts and end - cuts[0] > wanted:
            if len(cuts) > 2:
                yield cuts[0], cuts[int(rng.integers(1, len(cuts) - 1))], cuts[-1]
            cuts = [cuts[-1]]
            wanted = _wanted(length, short, rng)
        cuts.append(end)
    if len(cuts) > 2 and cuts[-1] - cuts[0] <= length:
        yield cuts[0], cuts[int(rng.integers(1, len(cuts) - 1))], cuts[-1]


def _wanted(length: int, short: float, rng: np.random.Generator) -> int:
    return int(rng.integers(2, length + 1)) if rng.random() < short else length


def _elsewhere(
    documents: Documents, own: int, start: int, end: int, size: int, room: int, rng: np.random.Generator
) -> tuple[int, int]:
    """Lines of one document, about ``size`` and at most ``room`` tokens, that are not between ``start`` and ``end``.

    They are of another document than ``own`` if there is text in one; a line is cut where all that were tried are too
    long.
    """
    lines, (first, last) = documents.lines, documents.starts[own : own + 2].tolist()
    others = len(lines) - 1 - (last - first)
    whole: tuple[int, int] | None = None
    cut: tuple[int, int] | None = None
    for _ in range(20):
        line = int(rng.integers(others or len(lines) - 1))
        if others and line >= first:
            line += last - first
        home = int(np.searchsorted(documents.starts, line, side="right")) - 1
        begin = int(lines[line])
        ends = lines[line + 1 : documents.starts[home + 1] + 1]
        fitting = ends[: np.searchsorted(ends, begin + room, side="right")]
        if not len(fitting):  # this line is too long
            cut = cut or ((begin, begin + size) if begin >= end or begin + size <= start else None)
            continue
        stop = int(fitting[np.abs(fitting - begin - size).argmin()])
        if stop > begin and (begin >= end or stop <= start):
            miss = abs(stop - begin - size)
            if whole is None or miss < abs(whole[1] - whole[0] - size):
                whole = begin, stop
            if miss <= size // 10:
                break
    shift = (end + len(documents.tokens) // 2) % max(1, len(documents.tokens) - size)
    return whole or cut or (shift, shift + size)
