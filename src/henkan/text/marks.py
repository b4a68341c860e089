"""The ids with a meaning of their own in a vocabulary, whoever made it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Marks:
    """Ids of the special tokens; in our own vocabularies the first four are 0 to 3.

    Attributes:
        start: begins what a decoder reads, and stands before a sequence that an encoder reads: ``[CLS]``, ``<s>``.
        end: ends a sequence, and each of a pair: ``[SEP]``, ``</s>``.
        mask: stands for a hidden token; None in a vocabulary without one.
        sentinels: stand for hidden spans, in the order of use.
        first: ordinary tokens have this id or a larger one.
        size: entries of the vocabulary.
        separators: how many END stand between the two texts of a pair that an encoder reads; 2 in RoBERTa.
        prefix: what stands before every text that an encoder and a decoder read and write, START of the latter apart;
            ``<s>`` in an imported BART.
    """

    pad: int
    unknown: int
    start: int
    end: int
    mask: int | None
    sentinels: tuple[int, ...]
    first: int
    size: int
    separators: int = 1
    prefix: tuple[int, ...] = ()

    @property
    def ordinary(self) -> range:
        """The ids of ordinary tokens; a foreign vocabulary may have a few special ones among them."""
        return range(self.first, self.size)

    @property
    def around_pair(self) -> int:
        """Special tokens around and between the two texts of a pair."""
        return 2 + self.separators
