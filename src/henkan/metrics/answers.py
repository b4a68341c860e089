"""Scores of short answers: exact match and word F1 as SQuAD defines them (Rajpurkar et al. 2016, section 6.1).

Both sides lose case, ASCII punctuation, English articles and extra spaces, as in the official script; the best of the
references counts. Where the references are Japanese or Chinese, written without spaces, the units of F1 are
characters, full-width forms are as plain ones, and all punctuation goes; the signature tells which.
"""

from __future__ import annotations

import re
import string
import unicodedata
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
    unspaced = sum(bool(_UNSPACED.search(answer)) for answers in references for answer in answers)
    cut = characters if unspaced > sum(map(len, references)) / 2 else words
    found = []
    for output, answers in zip(hypotheses, references, strict=True):
        said = cut(output)
        found.append(max(compare(said, cut(answer)) for answer in answers))
    unit = "character" if cut is characters else "word"
    metric = MeanAnswer(name, f"nrefs:{reference_count(references)}|unit:{unit}|norm:squad")
    return Measurement(metric, np.stack([found, np.ones(len(found))], axis=1))


def words(text: str) -> list[str]:
    """Lower case, without ASCII punctuation and articles."""
    return _ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split()


def characters(text: str) -> list[str]:
    """Without spaces, punctuation and symbols, lower case, compatible forms made one."""
    text = unicodedata.normalize("NFKC", text).lower()
    return [character for character in text if unicodedata.category(character)[0] not in "PSZ"]


def _overlap(output: list[str], answer: list[str]) -> float:
    if not output or not answer:
        return float(output == answer)
    shared = sum((Counter(output) & Counter(answer)).values())
    return 2.0 * shared / (len(output) + len(answer))
