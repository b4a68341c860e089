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
    replaced by a stretch of the same length from elsewhere: from another document where there is one, and never from
    where it would follow. Which half, is shuffled rather than drawn, so that both are equally many.

    Args:
        short: share of chunks that aim at a shorter length, drawn anew for each.
    """
    rng = np.random.default_rng([seed, length])
    halves = [pair for number in range(len(documents)) for pair in _chunks(documents, number, length, short, rng)]
    first = np.array([pair[:2] for pair in halves], dtype=np.int64).reshape(-1, 2)
    second = np.array([pair[1:] for pair in halves], dtype=np.int64).reshape(-1, 2)
    follows = rng.permutation(np.arange(len(halves)) % 2 == 0)
    for row in np.flatnonzero(~follows):
        second[row] = _elsewhere(documents, first[row, 0], second[row], rng)
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


def _elsewhere(documents: Documents, start: int, second: np.ndarray, rng: np.random.Generator) -> tuple[int, int]:
    """A stretch as long as ``second`` that begins with a line; of another document if there are several."""
    size = int(second[1] - second[0])
    own = int(np.searchsorted(documents.lines[documents.starts], start, side="right")) - 1
    for _ in range(100):
        line = int(rng.integers(len(documents.lines) - 1))
        place = int(documents.lines[line])
        other = len(documents) == 1 or int(np.searchsorted(documents.starts, line, side="right")) - 1 != own
        apart = place >= second[1] or place + size <= start
        if other and apart and place + size <= len(documents.tokens):
            return place, place + size
    shift = (int(second[1]) + len(documents.tokens) // 2) % max(1, len(documents.tokens) - size)
    return shift, shift + size
