"""Scores of words with labels: accuracy over words, and F1 over named entities.

Hypotheses and references are lines of labels with spaces between, one label for each word. An entity is a span of words
and a kind, written as prefixes of the labels:

    B-PER I-PER O     begin, inside, outside      B-PER E-PER, S-PER     end, and a single word, where these are used

What counts as an entity is what the CoNLL-2000 and 2003 shared tasks count (Tjong Kim Sang & De Meulder 2003): one that
is not begun by B begins where its kind does, so no sequence of labels is wrong. It is found if both ends and the kind
agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from henkan.errors import InputError
from henkan.metrics.score import SEED, Measurement, check_segments

OUTSIDE = "O"
PREFIXES = ("B", "I", "E", "S")


def tells_entities(label: str) -> bool:
    """Whether a label is O or has one of the prefixes."""
    return label == OUTSIDE or label.partition("-")[0] in PREFIXES


def entities(labels: Sequence[str]) -> set[tuple[str, int, int]]:
    """Kind, first word and the word after the last of each entity.

    Raises:
        InputError: a label is neither O nor has one of the prefixes.
    """
    found: set[tuple[str, int, int]] = set()
    kind, first, is_open = "", 0, False  # the entity that the next word may belong to
    for place, label in enumerate([*labels, OUTSIDE]):
        if not tells_entities(label):
            raise InputError(f"label {label!r} names no entity; expected O, or a kind behind B-, I-, E- or S-")
        prefix, _, its_kind = label.partition("-")
        if is_open and prefix in ("I", "E") and its_kind == kind:
            is_open = prefix == "I"
            if not is_open:
                found.add((kind, first, place + 1))
            continue
        if is_open:
            found.add((kind, first, place))
        kind, first, is_open = its_kind, place, prefix in ("B", "I")
        if prefix in ("E", "S"):
            found.add((kind, first, place + 1))
    return found


@dataclass(frozen=True)
class EntityF1:
    """From three sums: entities that were found, given, and right."""

    name: str = "entity F1"
    higher_is_better: bool = True

    def value(self, sums: np.ndarray) -> float:
        """The harmonic mean of precision and recall, in percent; 0 where there is no entity at all."""
        found, given, right = sums
        return float(200.0 * found / (given + right)) if given + right else 0.0

    def details(self, sums: np.ndarray) -> dict[str, Any]:
        """Precision and recall in percent, and the three numbers."""
        found, given, right = map(float, sums)
        return {
            "precision": 100.0 * found / given if given else 0.0,
            "recall": 100.0 * found / right if right else 0.0,
            "found": int(found),
            "given": int(given),
            "right": int(right),
        }

    def signature(self, resamples: int) -> str:
        """How entities agree."""
        drawn = f"bs:{resamples}|seed:{SEED}|" if resamples else ""
        return f"nrefs:1|{drawn}entities:conll|version:henkan-1"


@dataclass(frozen=True)
class WordAccuracy:
    """From two sums: words with the right label, and words."""

    name: str = "word accuracy"
    higher_is_better: bool = True

    def value(self, sums: np.ndarray) -> float:
        """In percent."""
        return float(100.0 * sums[0] / sums[1]) if sums[1] else 0.0

    def details(self, sums: np.ndarray) -> dict[str, Any]:
        """Both numbers."""
        return {"right": int(sums[0]), "words": int(sums[1])}

    def signature(self, resamples: int) -> str:
        """Nothing but the version."""
        drawn = f"bs:{resamples}|seed:{SEED}|" if resamples else ""
        return f"nrefs:1|{drawn}version:henkan-1"


def measure_word_accuracy(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Measurement:
    """Share of words with the right label."""
    counts = [(sum(map(str.__eq__, given, right)), len(right)) for given, right in _label_lines(hypotheses, references)]
    return Measurement(WordAccuracy(), np.array(counts, dtype=np.float64))


def measure_entity_f1(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Measurement:
    """F1 of entities, all kinds together.

    Raises:
        InputError: a label is neither O nor has one of the prefixes.
    """
    counts = []
    for given_labels, right_labels in _label_lines(hypotheses, references):
        given, right = entities(given_labels), entities(right_labels)
        counts.append((len(given & right), len(given), len(right)))
    return Measurement(EntityF1(), np.array(counts, dtype=np.float64))


def _label_lines(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> list[tuple[list[str], list[str]]]:
    """Given and right labels of each line; InputError where they are not equally many."""
    check_segments(hypotheses, references)
    lines = []
    for number, (hypothesis, answers) in enumerate(zip(hypotheses, references, strict=True), start=1):
        if len(set(answers)) != 1:
            raise InputError(f"references of line {number}: {len(answers)}; words have one right label each")
        given, right = ([label for label in line.split(" ") if label] for line in (hypothesis, answers[0]))
        if len(given) != len(right):
            raise InputError(f"line {number}: {len(given)} labels given and {len(right)} right ones; expected as many")
        lines.append((given, right))
    return lines
