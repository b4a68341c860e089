"""ROUGE-1, ROUGE-2 and ROUGE-L (Lin 2004): how much of a summary's reference was said, and little else.

F1 for each segment, the best of its references, averaged. Words are runs of letters and digits in lower case, as in
the usual ``rouge-score`` package without stemming; scripts without spaces are cut into characters.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from henkan.metrics.answers import MeanAnswer
from henkan.metrics.score import Measurement, check_segments, reference_count

_WORD = re.compile(r"[぀-ヿ㐀-鿿]|[^\W_぀-ヿ㐀-鿿]+")


def measure_rouge_1(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Measurement:
    """Shared words."""
    return _measure("ROUGE-1", lambda output, answer: _shared_grams(output, answer, 1), hypotheses, references)


def measure_rouge_2(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Measurement:
    """Shared pairs of neighbours."""
    return _measure("ROUGE-2", lambda output, answer: _shared_grams(output, answer, 2), hypotheses, references)


def measure_rouge_l(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Measurement:
    """Longest common subsequence of the whole texts."""
    return _measure("ROUGE-L", _longest_common, hypotheses, references)


def words(text: str) -> list[str]:
    """What is compared."""
    return _WORD.findall(text.lower())


def _measure(
    name: str,
    compare: Callable[[list[str], list[str]], float],
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
) -> Measurement:
    check_segments(hypotheses, references)
    found = []
    for output, answers in zip(hypotheses, references, strict=True):
        said = words(output)
        found.append(max(compare(said, words(answer)) for answer in answers))
    metric = MeanAnswer(name, f"nrefs:{reference_count(references)}|stem:no")
    return Measurement(metric, np.stack([found, np.ones(len(found))], axis=1))


def _f1(shared: int, said: int, wanted: int) -> float:
    return 2.0 * shared / (said + wanted) if shared else 0.0


def _shared_grams(output: list[str], answer: list[str], size: int) -> float:
    said, wanted = (
        Counter(tuple(text[place : place + size]) for place in range(len(text) - size + 1)) for text in (output, answer)
    )
    return _f1(sum((said & wanted).values()), said.total(), wanted.total())


def _longest_common(output: list[str], answer: list[str]) -> float:
    """Bit-parallel (Hyyrö 2004): bit i of ``row`` is 0 where the subsequence grows at word i of the answer."""
    places: dict[str, int] = {}
    for place, word in enumerate(answer):
        places[word] = places.get(word, 0) | 1 << place
    every = (1 << len(answer)) - 1
    row = every
    for word in output:
        match = row & places.get(word, 0)
        row = (row + match | row - match) & every
    return _f1(len(answer) - row.bit_count(), len(output), len(answer))
