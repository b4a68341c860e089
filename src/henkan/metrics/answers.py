"""Scores of short answers: exact match and F1 as SQuAD defines them (Rajpurkar et al. 2016, section 6.1).

Both sides lose case, ASCII punctuation, English articles and extra spaces, as in the official script; the best of the
references counts. Where most references are Japanese or Chinese, written without spaces (those that stand for no answer
do not count), it is done as JaQuAD's authors do (So et al. 2022, the notebook beside their data): the units of F1 are
characters, spaces go, and nothing else is changed. There an exact match is an F1 of 1; here the characters must also
stand in the same order. The signature tells which of the two it was.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from henkan.metrics.score import SEED, Measurement, check_segments, reference_count

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_UNSPACED = re.compile(r"[぀-ヿ㐀-鿿]")


@dataclass(frozen=True)
class MeanAnswer:
    """The mean of what each segment got, in percent."""

    name: str
    recipe: str
    higher_is_better: bool = True

    def value(self, sums: np.ndarray) -> float:
        """In percent."""
        return float(100.0 * sums[0] / sums[1])

    def details(self, sums: np.ndarray) -> dict[str, Any]:
        """How many answers there are."""
        return {"answers": int(sums[1])}

    def signature(self, resamples: int) -> str:
        """Number of references and the unit."""
        drawn = f"bs:{resamples}|seed:{SEED}|" if resamples else ""
        return f"{self.recipe.replace('|', f'|{drawn}', 1)}|version:henkan-1"


def measure_answer_exact(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Measurement:
    """Share of answers equal to one of their references after normalisation; no answer is the empty text."""
    return _measure(
        "answer exact match",
        lambda output, answer: float(output == answer),
        hypotheses,
        references,
    )


def measure_answer_f1(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Measurement:
    """Mean F1 of the words (or characters) shared with the best reference; an empty answer only matches another."""
    return _measure("answer F1", _overlap, hypotheses, references)


def _measure(
    name: str,
    compare: Callable[[list[str], list[str]], float],
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
) -> Measurement:
    check_segments(hypotheses, references)
    unspaced = [bool(_UNSPACED.search(answer)) for answers in references for answer in answers if answer]
    cut = characters if sum(unspaced) > len(unspaced) / 2 else words
    found = []
    for output, answers in zip(hypotheses, references, strict=True):
        said = cut(output)
        right = [units for answer in answers if (units := cut(answer))] or [[]]  # as the script of SQuAD 2.0 does
        found.append(max(compare(said, units) for units in right))
    rules = "unit:character|norm:jaquad" if cut is characters else "unit:word|norm:squad"
    metric = MeanAnswer(name, f"nrefs:{reference_count(references)}|{rules}")
    return Measurement(metric, np.stack([found, np.ones(len(found))], axis=1))


def words(text: str) -> list[str]:
    """Lower case, without ASCII punctuation and articles."""
    return _ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split()


def characters(text: str) -> list[str]:
    """Without spaces."""
    return list("".join(text.split()))


def best_threshold(given: np.ndarray, nothing: np.ndarray, odds: np.ndarray) -> float:
    """Above which odds to answer, so that the sum of what all questions get is highest (SQuAD 2.0's best threshold).

    Args:
        given: (N,) what each question gets with its answer.
        nothing: (N,) what it gets without one.
        odds: (N,) of answer against none, finite.

    Returns:
        Half-way between the odds of the last question that is to be answered and of the next; those of the first
        where none is, and less than all where all are. Of several best ones the highest.
    """
    order = np.argsort(-odds, kind="stable")
    falling = odds[order]
    answered = np.concatenate([[0.0], np.cumsum((given - nothing)[order])])  # the k questions of highest odds
    apart = np.concatenate([[True], falling[1:] < falling[:-1], [True]])  # equal odds are on one side
    best = int(np.where(apart, answered, -np.inf).argmax())
    if best in (0, len(odds)):
        return float(falling[0]) if best == 0 else float(falling[-1]) - 1.0
    middle = (falling[best - 1] + falling[best]) / 2
    return float(middle if middle < falling[best - 1] else falling[best])


def _overlap(output: list[str], answer: list[str]) -> float:
    if not output or not answer:
        return float(output == answer)
    shared = sum((Counter(output) & Counter(answer)).values())
    return 2.0 * shared / (len(output) + len(answer))
