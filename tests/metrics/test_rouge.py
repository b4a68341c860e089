"""ROUGE against the figures of the rouge-score package (0.1.2, no stemming), and a naive longest common subsequence."""

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from henkan.metrics import MEASURES
from henkan.metrics.rouge import _longest_common

OFFICIAL = [
    ("the cat sat on the mat", "the dog sat on the red mat", 76.923077, 36.363636, 76.923077),
    ("A fast, simple parser for logs.", "We present a simple and fast parser (for logs)", 80.0, 30.769231, 66.666667),
    ("", "a b", 0.0, 0.0, 0.0),
    ("police killed the gunman", "police kill the gunman", 75.0, 33.333333, 75.0),
]


@pytest.mark.parametrize(("output", "answer", "one", "two", "longest"), OFFICIAL)
def test_official_figures(output, answer, one, two, longest):
    for name, value in (("rouge-1", one), ("rouge-2", two), ("rouge-l", longest)):
        assert MEASURES[name]([output], [[answer]]).value() == pytest.approx(value, abs=1e-5)


def test_the_best_reference_counts_and_segments_are_averaged():
    measured = MEASURES["rouge-1"](["a b", "c"], [["x y", "a b"], ["d"]])
    assert measured.value() == 50.0
    assert measured.score(bootstrap=0).signature == "nrefs:var|stem:no|version:henkan-1"


def test_japanese_is_compared_by_characters():
    assert MEASURES["rouge-1"](["犬が走る"], [["犬が歩く"]]).value() == pytest.approx(50.0)


words = st.lists(st.sampled_from("abcd"), max_size=10)


@given(words, words)
def test_longest_common_subsequence_equals_the_naive_recursion(left, right):
    @cache
    def longest(i, j):
        if i == 0 or j == 0:
            return 0
        if left[i - 1] == right[j - 1]:
            return longest(i - 1, j - 1) + 1
        return max(longest(i - 1, j), longest(i, j - 1))

    shared = longest(len(left), len(right))
    expected = 2 * shared / (len(left) + len(right)) if shared else 0.0
    assert _longest_common(left, right) == pytest.approx(expected)
