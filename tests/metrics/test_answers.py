"""Answers against the rules of the SQuAD script, worked out by hand."""

from collections import Counter

import numpy as np
import pytest

from henkan.metrics import MEASURES
from henkan.metrics.answers import best_threshold


@pytest.mark.parametrize(
    ("output", "answers", "exact", "f1"),
    [
        ("the Denver Broncos.", ["Denver Broncos", "Broncos"], 100, 100),
        ("Denver", ["Denver Broncos"], 0, 100 * 2 / 3),
        ("", [""], 100, 100),
        ("", ["yes"], 0, 0),
        ("yes", [""], 0, 0),
        ("a", ["the"], 100, 100),  # articles are nothing, and nothing equals nothing
        ("", ["the", "tea"], 0, 0),  # but a right answer of nothing does not count where there is another
        ("It's 5–3", ["its 53"], 0, 50),  # a dash that is not ASCII stays
    ],
)
def test_english(output, answers, exact, f1):
    assert MEASURES["answer-exact"]([output], [answers]).value() == pytest.approx(exact)
    assert MEASURES["answer-f1"]([output], [answers]).value() == pytest.approx(f1)


def jaquad_f1(output, answer):
    """The rule of JaQuAD's notebook, worked out with precision and recall."""
    said, right = (Counter(character for character in text if not character.isspace()) for text in (output, answer))
    shared = sum(min(said[character], right[character]) for character in said)
    if not said or not right:
        return float(said == right)
    precision, recall = shared / sum(said.values()), shared / sum(right.values())
    return 2 * precision * recall / (precision + recall) if shared else 0.0


def test_japanese_is_compared_by_characters_as_they_are():
    outputs = ["東京都。", "１９９０年", "奈良 県", "Xbox の", "", "約15メートル"]
    answers = [["東京"], ["1990年"], ["奈良県"], ["xboxの"], ["奈良"], ["15メートル"]]
    measured = MEASURES["answer-f1"](outputs, answers)
    wanted = [jaquad_f1(output, answer) for output, (answer,) in zip(outputs, answers, strict=True)]
    assert measured.counts[:, 0] == pytest.approx(wanted)
    assert wanted[:3] == pytest.approx([2 / 3, 2 / 10, 1.0])
    exact = MEASURES["answer-exact"](outputs, answers)
    assert exact.counts[:, 0].tolist() == [0, 0, 1, 0, 0, 0]
    assert "unit:character|norm:jaquad" in exact.score(0).signature


def test_questions_without_an_answer_do_not_hide_the_language():
    outputs, answers = ["東京都", "", ""], [["東京"], [""], [""]]
    measured = MEASURES["answer-f1"](outputs, answers)
    assert measured.counts[:, 0] == pytest.approx([4 / 5, 1, 1])
    assert "unit:character" in measured.score(0).signature


def test_the_best_threshold_equals_brute_force():
    rng = np.random.default_rng(0)
    for trial in range(200):
        count = int(rng.integers(1, 12))
        nothing = rng.integers(0, 2, count).astype(float)
        given = np.where(nothing == 1, 0.0, rng.integers(0, 3, count) / 2)
        odds = rng.integers(-3, 4, count).astype(float)  # many are equal

        def reached(threshold, given=given, nothing=nothing, odds=odds):
            return np.where(odds > threshold, given, nothing).sum()

        best = max(reached(threshold) for threshold in [-10.0, *odds])
        assert reached(best_threshold(given, nothing, odds)) == best, trial


def test_a_threshold_stands_between_odds():
    given, nothing = np.array([1.0, 1.0, 0.0]), np.array([0.0, 0.0, 1.0])
    assert best_threshold(given, nothing, np.array([4.0, 3.0, 1.0])) == 2.0
    assert best_threshold(given, nothing, np.array([np.nextafter(1.0, 2.0), 2.0, 1.0])) == 1.0  # nothing is between
    assert best_threshold(nothing, given, np.array([4.0, 3.0, 5.0])) == 4.5
    assert best_threshold(given, np.zeros(3), np.array([4.0, 3.0, 5.0])) < 3.0
    assert best_threshold(np.zeros(3), np.ones(3), np.array([4.0, 3.0, 5.0])) == 5.0  # above it is none
