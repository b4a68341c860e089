"""Normalisation form C and nothing else."""

import pytest

from henkan.text.normalise import normalise


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("e\u0301", "é"),
        ("か\u3099", "が"),
        ("\u212b", "Å"),  # the ångström sign is the letter
        ("ﬁ １２ “x”  y\u00a0z", "ﬁ １２ “x”  y\u00a0z"),  # width, ligatures, quotes and spaces stay
        ("", ""),
    ],
)
def test_form_c_only(given: str, expected: str):
    assert normalise(given) == expected
