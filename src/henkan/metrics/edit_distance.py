"""Scores of short sequences with one or several right answers: pronunciations, readings, spellings, commands.

For each segment the best reference counts: the one with the fewest errors, of equals the one given first. Both sides
are compared in NFC, so that two encodings of one character are equal; nothing else is normalised (case and stress
marks count; remove them from both sides where the literature does).
"""

import unicodedata
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from henkan.metrics.score import SEED, Measurement, Score, check_segments, reference_count


@dataclass(frozen=True)
class Ratio:
    """A metric that is 100 times the first sum of counts over the second.

    Attributes:
        name: of the score.
        counted: what the two counts are, for the details.
        recipe: ``key:value`` parts of the signature that name the definition.
        higher_is_better: False for error rates.
    """

    name: str
    counted: tuple[str, str]
    recipe: str
    higher_is_better: bool

    def value(self, sums: np.ndarray) -> float:
        """In percent; outputs where all references are empty make a rate of 100, as in sacreBLEU's TER."""
        some, all_ = float(sums[0]), float(sums[1])
        if all_ == 0:
            return 100.0 if some else 0.0
        return 100 * some / all_

    def details(self, sums: np.ndarray) -> dict[str, Any]:
        """The two sums."""
        return {name: int(total) for name, total in zip(self.counted, sums, strict=True)}

    def signature(self, resamples: int) -> str:
        """Like sacreBLEU's; ``version`` counts changes of the definition."""
        drawn = f"bs:{resamples}|seed:{SEED}|" if resamples else ""
        return f"{self.recipe.replace('|', f'|{drawn}', 1)}|norm:nfc|version:henkan-1"


def exact_match(hypotheses: Sequence[str], references: Sequence[Sequence[str]], *, bootstrap: int = 1000) -> Score:
    """Share of segments equal to one of their references, outer spaces aside."""
    return measure_exact_match(hypotheses, references).score(bootstrap)


def phoneme_error_rate(
    hypotheses: Sequence[str], references: Sequence[Sequence[str]], *, bootstrap: int = 1000
) -> Score:
    """Insertions, deletions and substitutions per reference phoneme; phonemes are separated by spaces."""
    return measure_phoneme_error_rate(hypotheses, references).score(bootstrap)


def word_error_share(hypotheses: Sequence[str], references: Sequence[Sequence[str]], *, bootstrap: int = 1000) -> Score:
    """Share of words (one per segment) whose phonemes equal none of their references.

    The literature on pronunciation calls it word error rate.
    """
    return measure_word_error_share(hypotheses, references).score(bootstrap)


def measure_exact_match(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Measurement:
    """What :func:`exact_match` counts: equal segments, segments."""
    return _measure(
        Ratio("exact match", ("equal", "segments"), f"nrefs:{reference_count(references)}|unit:segment", True),
        hypotheses,
        references,
        str.strip,
        lambda output, answers: (output in answers, 1),
    )


def measure_phoneme_error_rate(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Measurement:
    """What :func:`phoneme_error_rate` counts: errors, and phonemes of the reference that counts."""
    return _measure(
        Ratio("phoneme error rate", ("errors", "phonemes"), f"nrefs:{reference_count(references)}|unit:token", False),
        hypotheses,
        references,
        str.split,
        _fewest_errors,
    )


def measure_word_error_share(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Measurement:
    """What :func:`word_error_share` counts: wrong words, words."""
    return _measure(
        Ratio("wrong words", ("wrong", "words"), f"nrefs:{reference_count(references)}|unit:word", False),
        hypotheses,
        references,
        str.split,
        lambda output, answers: (output not in answers, 1),
    )


def edit_distance(left: Sequence[Hashable], right: Sequence[Hashable]) -> int:
    """Fewest insertions, deletions and substitutions that turn one sequence into the other (Levenshtein 1966).

    Computed column by column, a whole column of the table in the bits of one Python integer (Myers 1999, in the form
    of Hyyrö 2003): bit i of ``rises`` (``falls``) says that the cell below row i is one more (less) than row i.
    """
    if left == right:
        return 0
    if not left or not right:
        return max(len(left), len(right))
    positions: dict[Hashable, int] = {}
    for place, token in enumerate(left):
        positions[token] = positions.get(token, 0) | 1 << place
    every, last = (1 << len(left)) - 1, 1 << (len(left) - 1)
    rises, falls, distance = every, 0, len(left)
    for token in right:
        equal = positions.get(token, 0)
        diagonal = ((((equal & rises) + rises) ^ rises) | equal | falls) & every
        right_rises = falls | (~(diagonal | rises) & every)
        right_falls = rises & diagonal
        distance += bool(right_rises & last) - bool(right_falls & last)
        # The top row of the table rises by one with every column.
        right_rises = (right_rises << 1 | 1) & every
        right_falls = right_falls << 1 & every
        rises = right_falls | (~(diagonal | right_rises) & every)
        falls = right_rises & diagonal
    return distance


def _fewest_errors(output: Sequence[str], answers: Sequence[Sequence[str]]) -> tuple[int, int]:
    return min(((edit_distance(output, answer), len(answer)) for answer in answers), key=lambda found: found[0])


def _measure(
    metric: Ratio,
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    cut: Callable[[str], Any],
    count: Callable[[Any, list[Any]], tuple[int, int]],
) -> Measurement:
    check_segments(hypotheses, references)
    counts = np.empty((len(hypotheses), 2))
    for row, (output, answers) in enumerate(zip(hypotheses, references, strict=True)):
        counts[row] = count(cut(_nfc(output)), [cut(_nfc(answer)) for answer in answers])
    return Measurement(metric, counts)


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)
