"""A sentence with its translation: what the model sees, how much of it, and that both sides are hidden alike."""

import numpy as np
import pytest

from henkan.data.documents import Documents
from henkan.errors import DataError
from henkan.tasks.masked_translations import MaskedTranslations
from henkan.tasks.pretraining import Masking
from henkan.tensors import IGNORE
from henkan.text.marks import Marks

MARKS = Marks(0, 1, 2, 3, 4, (), 10, 5000)
LENGTHS = (6, 9, 4, 30, 30, 3, 40, 25)  # of lines
STARTS = (0, 2, 3, 5, 7, 8)  # documents of 2, 1, 2, 2 and 1 lines


@pytest.fixture
def documents():
    ends = np.cumsum([0, *LENGTHS])
    return Documents(np.arange(ends[-1]) + 10, ends, np.array(STARTS))


def line(number, kept=None):
    first = 10 + sum(LENGTHS[:number])
    return list(range(first, first + LENGTHS[number]))[:kept]


def test_both_lines_of_a_document(documents):
    reading = MaskedTranslations(documents, Masking(MARKS, 0.3, 0, None), MARKS, 23)
    expected = [
        ([2, *line(0), 3, *line(1), 3], 8),
        ([2, *line(2), 3], 6),
        ([2, *line(3, 10), 3, *line(4, 10), 3], 12),
        ([2, *line(5), 3, *line(6, 17), 3], 5),
        ([2, *line(7, 21), 3], 23),
    ]
    rng = np.random.default_rng(0)
    examples = [reading.example(index, rng) for index in range(5)]
    assert reading.lengths().source.tolist() == [len(ids) for ids, _ in expected]
    for example, (ids, first) in zip(examples, expected, strict=True):
        labels = example.labels["tokens"]
        assert np.where(labels == IGNORE, example.ids, labels).tolist() == ids
        assert example.segments.tolist() == [0] * first + [1] * (len(ids) - first)
        assert (labels[example.ids == 4] != IGNORE).all()
    batch = reading.collate(examples)
    assert batch.units["tokens"] == int((batch.labels["tokens"] != IGNORE).sum())
    assert [reading.place(index) for index in range(5)] == [sum(LENGTHS[:start]) for start in STARTS[:-1]]


def test_both_sides_are_hidden_as_often(documents):
    reading = MaskedTranslations(documents, Masking(MARKS, 0.15, 0, None), MARKS, 63)
    hidden = np.zeros(63)
    for seed in range(4000):
        hidden += reading.example(2, np.random.default_rng(seed)).labels["tokens"] != IGNORE
    assert hidden[[0, 31, 62]].tolist() == [0, 0, 0]
    shares = hidden[1:31].mean() / 4000, hidden[32:62].mean() / 4000
    assert shares == pytest.approx((0.15, 0.15), abs=0.005)  # 5 standard errors and more
    assert np.delete(hidden, [0, 31, 62]) / 4000 == pytest.approx(0.15, abs=0.03)


def test_more_than_two_lines_are_no_translation(documents):
    with pytest.raises(DataError, match="document 2 of the text has 3 lines"):
        MaskedTranslations(
            Documents(documents.tokens, documents.lines, np.array([0, 2, 5])), Masking(MARKS, 0.3, 0, None), MARKS, 23
        )
