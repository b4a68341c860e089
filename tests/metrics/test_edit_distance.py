"""Edit distance against a naive recursion; rates and shares against counting by hand."""

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from henkan.metrics import edit_distance, exact_match, phoneme_error_rate, word_error_share
from henkan.metrics.edit_distance import measure_phoneme_error_rate


def naive(left: tuple, right: tuple) -> int:
    @cache
    def distance(i: int, j: int) -> int:
        if i == 0 or j == 0:
            return i + j
        return min(
            distance(i - 1, j) + 1, distance(i, j - 1) + 1, distance(i - 1, j - 1) + (left[i - 1] != right[j - 1])
        )

    return distance(len(left), len(right))


tokens = st.lists(st.sampled_from(["AH", "B", "K", "T"]), max_size=12).map(tuple)


@given(tokens, tokens)
def test_distance_equals_the_naive_recursion(left, right):
    assert edit_distance(left, right) == naive(left, right)


def test_distance_of_sequences_longer_than_a_machine_word():
    left, right = tuple("abcde" * 30), tuple("abde" * 35)
    assert edit_distance(left, right) == naive(left, right)
    assert edit_distance("x" * 150 + "abc", "y" * 150 + "abc") == 150


@given(tokens, tokens, tokens)
def test_distance_is_a_metric(left, middle, right):
    assert edit_distance(left, right) == edit_distance(right, left)
    assert edit_distance(left, right) <= edit_distance(left, middle) + edit_distance(middle, right)


HYPOTHESES = ["T AH M EY T OW", "K AE T", "", "D AO G Z"]
REFERENCES = [["T AH M EY T OW", "T AH M AA T OW"], ["K AA R T", "K AE T S", "B AE T"], ["AH"], ["D AO G"]]


def test_the_best_reference_counts():
    score = phoneme_error_rate(HYPOTHESES, REFERENCES, bootstrap=0)
    # Errors 0 (of 6), 1 (of 4: "K AE T S" comes before "B AE T"), 1 (of 1) and 1 (of 3).
    assert score.details == {"errors": 3, "phonemes": 14}
    assert score.value == pytest.approx(100 * 3 / 14)
    assert score.signature == "nrefs:var|unit:token|norm:nfc|version:henkan-1"
    assert not score.higher_is_better


def test_words_are_wrong_or_right():
    score = word_error_share(HYPOTHESES, REFERENCES, bootstrap=0)
    assert score.details == {"wrong": 3, "words": 4}
    assert score.value == 75
    assert word_error_share(["K  AE T "], [["K AE T"]], bootstrap=0).value == 0, "spaces are not phonemes"


def test_exact_match_compares_text_not_bytes():
    assert exact_match(["cafe\u0301 ", "a b"], [["café"], ["a  b"]], bootstrap=0).value == 50
    assert exact_match(["b"], [["a", "b"]], bootstrap=10).signature == (
        "nrefs:2|bs:10|seed:12345|unit:segment|norm:nfc|version:henkan-1"
    )


def test_rates_of_empty_references():
    assert phoneme_error_rate([""], [[""]], bootstrap=0).value == 0
    assert phoneme_error_rate(["A B"], [[""]], bootstrap=0).value == 100


def test_one_segment_gives_an_interval_of_one_point():
    score = measure_phoneme_error_rate(["A B"], [["A C"]]).score(bootstrap=50)
    assert score.low == score.value == score.high == 50
