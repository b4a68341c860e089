"""Entities by hand-worked cases and by the rules of conlleval written out; accuracy over words."""

import itertools

import pytest

from henkan.errors import InputError
from henkan.metrics.tagging import entities, measure_entity_f1, measure_word_accuracy, tells_entities


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ("O O", []),
        ("B-PER I-PER O B-LOC", [("PER", 0, 2), ("LOC", 3, 4)]),
        ("B-PER B-PER", [("PER", 0, 1), ("PER", 1, 2)]),
        ("I-PER I-PER O I-LOC", [("PER", 0, 2), ("LOC", 3, 4)]),  # begun without B
        ("B-PER I-LOC I-LOC", [("PER", 0, 1), ("LOC", 1, 3)]),
        ("S-PER B-LOC I-LOC E-LOC I-LOC", [("PER", 0, 1), ("LOC", 1, 4), ("LOC", 4, 5)]),
        ("E-PER E-PER", [("PER", 0, 1), ("PER", 1, 2)]),
        ("B I O", [("", 0, 2)]),
        ("B-per-son I-per-son", [("per-son", 0, 2)]),
    ],
)
def test_entities_by_hand(labels, expected):
    assert sorted(entities(labels.split())) == sorted(expected)


def ends_and_starts(labels):
    """The two tables of the shared task's conlleval, pair by pair of labels."""
    ends = {("B", "B"), ("B", "S"), ("B", "O"), ("I", "B"), ("I", "S"), ("I", "O")}
    starts = {("E", "E"), ("E", "I"), ("S", "E"), ("S", "I"), ("O", "E"), ("O", "I")}
    found, first = set(), 0
    previous, kind = "O", ""
    for place, label in enumerate([*labels, "O"]):
        now, _, its_kind = label.partition("-")
        if previous in "ES" or (previous, now) in ends or (previous != "O" and kind != its_kind):
            found.add((kind, first, place))
        if now in "BS" or (previous, now) in starts or (now != "O" and kind != its_kind):
            first = place
        previous, kind = now, its_kind
    return found


def test_every_sequence_of_four_labels():
    labels = ["O", *(f"{prefix}-{kind}" for prefix in "BIES" for kind in "xy")]
    for sequence in itertools.product(labels, repeat=4):
        assert entities(sequence) == ends_and_starts(sequence), sequence


def test_scores_by_hand():
    right = [["B-PER I-PER O B-LOC"], ["O B-ORG"]]
    given = ["B-PER I-PER O B-ORG", "O O"]
    score = measure_entity_f1(given, right).score()
    assert score.value == pytest.approx(100 * 2 * 1 / (2 + 3))
    assert score.details == {"precision": 50.0, "recall": pytest.approx(100 / 3), "found": 1, "given": 2, "right": 3}
    assert score.low <= score.value <= score.high
    assert measure_word_accuracy(given, right).value() == pytest.approx(100 * 4 / 6)
    assert measure_entity_f1(["O"], [["O"]]).value() == 0.0
    assert measure_word_accuracy(["New\u00a0York O"], [["New\u00a0York  X"]]).value() == pytest.approx(50.0)


def test_complaints():
    with pytest.raises(InputError, match="line 2: 1 labels given and 2 right ones"):
        measure_word_accuracy(["O", "O"], [["O"], ["O O"]])
    with pytest.raises(InputError, match="label 'NOUN' names no entity"):
        measure_entity_f1(["NOUN"], [["O"]])
    assert not tells_entities("SYM")
    assert tells_entities("B-x")
