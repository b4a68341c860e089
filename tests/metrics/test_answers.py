"""Answers against the rules of the SQuAD script, worked out by hand."""

import pytest

from henkan.metrics import MEASURES


@pytest.mark.parametrize(
    ("output", "answers", "exact", "f1"),
    [
        ("the Denver Broncos.", ["Denver Broncos", "Broncos"], 100, 100),
        ("Denver", ["Denver Broncos"], 0, 100 * 2 / 3),
        ("", [""], 100, 100),
        ("", ["yes"], 0, 0),
        ("yes", [""], 0, 0),
        ("a", ["the"], 100, 100),  # articles are nothing, and nothing equals nothing
        ("It's 5–3", ["its 53"], 0, 50),  # a dash that is not ASCII stays
    ],
)
def test_english(output, answers, exact, f1):
    assert MEASURES["answer-exact"]([output], [answers]).value() == pytest.approx(exact)
    assert MEASURES["answer-f1"]([output], [answers]).value() == pytest.approx(f1)


def test_japanese_is_compared_by_characters():
    measured = MEASURES["answer-f1"](["東京都。", "１９９０年"], [["東京"], ["1990年"]])
    assert measured.value() == pytest.approx((80 + 100) / 2)
    assert "unit:character" in measured.score(0).signature
