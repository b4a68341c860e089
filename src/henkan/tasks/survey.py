"""What a glance at the pairs tells, so that a preset can choose what its user did not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from henkan.data.example import Pair

SEEN = 50_000
"""Pairs that are looked at closely; the rest are only counted."""


@dataclass(frozen=True)
class SideFacts:
    """One side of the pairs."""

    characters: float  # mean length
    spaced: float  # share of lines with a space between words
    words: int  # distinct words among the pairs looked at
    repeated: float  # how often each of them stands there, on average

    @property
    def unit(self) -> str:
        """What to cut the side into: "character" for single words, "word" for sequences of few symbols, or "subword".

        A single word has no spaces and is short: lines of Japanese without spaces are sentences. Symbols (phonemes)
        are at most 300 for all of the pairs, and each is seen again and again.
        """
        if self.spaced < 0.1 and self.characters <= 16:
            return "character"
        if self.spaced > 0.5 and self.words <= 300 and self.repeated >= 20:
            return "word"
        return "subword"


@dataclass(frozen=True)
class Facts:
    """Both sides, and how many pairs there are."""

    pairs: int
    source: SideFacts
    target: SideFacts

    @property
    def spelled(self) -> bool:
        """Single words in: pronunciations, readings, inflections; scored by wrong words rather than by BLEU."""
        return self.source.unit == "character" and self.target.unit != "subword"


USUAL = Facts(30_000, SideFacts(60.0, 1.0, 10_000, 30.0), SideFacts(60.0, 1.0, 10_000, 30.0))
"""Facts of a middling translation corpus, where there is no corpus to look at."""


class _Side:
    def __init__(self) -> None:
        self.characters = self.spaced = self.count = 0
        self.words: set[str] = set()

    def add(self, text: str) -> None:
        words = text.split()
        self.characters += len(text)
        self.spaced += len(words) > 1
        self.count += len(words)
        if len(self.words) <= 10_000:
            self.words.update(words)

    def facts(self, seen: int) -> SideFacts:
        repeated = self.count / max(len(self.words), 1)
        return SideFacts(self.characters / max(seen, 1), self.spaced / max(seen, 1), len(self.words), repeated)


def survey(pairs: Iterable[Pair]) -> Facts:
    """One pass over the pairs."""
    source, target = _Side(), _Side()
    count = 0
    for pair in pairs:
        if count < SEEN:
            source.add(pair.source)
            target.add(pair.target)
        count += 1
    seen = min(count, SEEN)
    return Facts(count, source.facts(seen), target.facts(seen))
