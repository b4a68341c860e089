"""Scores of labels and of numbers: accuracy, F1, Matthews correlation, Pearson and Spearman (the metrics of GLUE).

Each counts something for each example whose sums give the score, so intervals and paired tests come for free.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from henkan.errors import InputError
from henkan.metrics.score import SEED, Measurement, check_segments


@dataclass(frozen=True)
class Confusion:
    """A score of the table that counts how often each label was given for each; the sums are the table, row by row.

    Attributes:
        name: of the score.
        labels: of rows (right) and columns (given), in order.
        positive: the label that F1 is about; None for scores of all labels.
    """

    name: str
    labels: tuple[str, ...]
    positive: str | None = None
    higher_is_better: bool = True

    def value(self, sums: np.ndarray) -> float:
        """In percent."""
        table = sums.reshape(len(self.labels), len(self.labels))
        if self.positive is None:
            return 100.0 * _matthews(table) if self.name.startswith("Matthews") else 100.0 * _accuracy(table)
        place = self.labels.index(self.positive)
        found, given, right = table[place, place], table[:, place].sum(), table[place].sum()
        return float(200.0 * found / (given + right)) if given + right else 0.0

    def details(self, sums: np.ndarray) -> dict[str, Any]:
        """The table: right label, given label, how often."""
        table = sums.reshape(len(self.labels), len(self.labels)).astype(int)
        return {
            right: {given: int(table[row, column]) for column, given in enumerate(self.labels)}
            for row, right in enumerate(self.labels)
        }

    def signature(self, resamples: int) -> str:
        """Labels, and the positive one for F1."""
        drawn = f"bs:{resamples}|seed:{SEED}|" if resamples else ""
        positive = "" if self.positive is None else f"positive:{self.positive}|"
        return f"nrefs:1|{drawn}labels:{len(self.labels)}|{positive}version:henkan-1"


def _accuracy(table: np.ndarray) -> float:
    total = table.sum()
    return float(np.trace(table) / total) if total else 0.0


def _matthews(table: np.ndarray) -> float:
    """R_K of Gorodkin (2004), which for two labels is Matthews (1975); 0 where either side has one label only."""
    right, given, total = table.sum(1), table.sum(0), table.sum()
    shared = np.trace(table) * total - right @ given
    spread = (total**2 - given @ given) * (total**2 - right @ right)
    return float(shared / math.sqrt(spread)) if spread > 0 else 0.0


def measure_accuracy(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Measurement:
    """Share of examples with the right label."""
    return _measure_labels("accuracy", hypotheses, references)


def measure_matthews(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Measurement:
    """Matthews correlation of given and right labels, times 100."""
    return _measure_labels("Matthews correlation", hypotheses, references)


def measure_f1(hypotheses: Sequence[str], references: Sequence[Sequence[str]], positive: str = "1") -> Measurement:
    """F1 of one label: the harmonic mean of its precision and recall; 0 where it stands nowhere."""
    return _measure_labels(f"F1 ({positive})", hypotheses, references, positive)


def _measure_labels(
    name: str, hypotheses: Sequence[str], references: Sequence[Sequence[str]], positive: str | None = None
) -> Measurement:
    check_segments(hypotheses, references)
    right = [_only(answers, number) for number, answers in enumerate(references, start=1)]
    labels = tuple(sorted({*hypotheses, *right, *([] if positive is None else [positive])}))
    places = {label: place for place, label in enumerate(labels)}
    cells = [places[answer] * len(labels) + places[given] for given, answer in zip(hypotheses, right, strict=True)]
    counts = np.zeros((len(right), len(labels) ** 2))
    counts[np.arange(len(right)), cells] = 1
    return Measurement(Confusion(name, labels, positive), counts)


@dataclass(frozen=True)
class Correlation:
    """Pearson's correlation from five sums: x, y, x^2, y^2, xy, and the number of examples; times 100."""

    name: str
    higher_is_better: bool = True

    def value(self, sums: np.ndarray) -> float:
        """0 where either side is constant."""
        x, y, xx, yy, xy, count = map(float, sums)
        spread = (count * xx - x * x) * (count * yy - y * y)
        return 100.0 * (count * xy - x * y) / math.sqrt(spread) if spread > 1e-12 * count**4 else 0.0

    def details(self, sums: np.ndarray) -> dict[str, Any]:
        """How many examples."""
        return {"examples": int(sums[5])}

    def signature(self, resamples: int) -> str:
        """Nothing but the version."""
        drawn = f"bs:{resamples}|seed:{SEED}|" if resamples else ""
        return f"nrefs:1|{drawn}version:henkan-1"


def measure_pearson(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Measurement:
    """Correlation of given and right numbers."""
    return _measure_numbers("Pearson correlation", *_numbers(hypotheses, references))


def measure_spearman(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Measurement:
    """Correlation of their ranks, equal numbers sharing the mean of theirs; ranks are those in the whole test set."""
    given, right = _numbers(hypotheses, references)
    return _measure_numbers("Spearman correlation", _ranks(given), _ranks(right))


def _measure_numbers(name: str, given: np.ndarray, right: np.ndarray) -> Measurement:
    x, y = _standardised(given), _standardised(right)  # which no correlation depends on, and its sums do
    columns = (x, y, x * x, y * y, x * y, np.ones_like(x))
    return Measurement(Correlation(name), np.stack(columns, axis=1))


def _standardised(values: np.ndarray) -> np.ndarray:
    """With mean 0 and deviation 1; zeros where all are equal but for rounding."""
    centred = values - values.mean()
    deviation = float(centred.std())
    return centred / deviation if deviation > 1e-12 * float(np.abs(values).max()) else np.zeros_like(values)


def _numbers(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> tuple[np.ndarray, np.ndarray]:
    check_segments(hypotheses, references)
    right = [_only(answers, number) for number, answers in enumerate(references, start=1)]
    columns = []
    for what, texts in (("hypothesis", hypotheses), ("reference", right)):
        for number, text in enumerate(texts, start=1):
            if not _is_number(text):
                raise InputError(f"{what} {number}: {text!r} is no finite number, which a correlation needs")
        columns.append(np.array([float(text) for text in texts]))
    return columns[0], columns[1]


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _ranks(values: np.ndarray) -> np.ndarray:
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return (last - (count - 1) / 2)[place]


def _only(answers: Sequence[str], number: int) -> str:
    if len(set(answers)) != 1:
        raise InputError(f"references of example {number}: {len(answers)}; a label or number has one")
    return answers[0]
