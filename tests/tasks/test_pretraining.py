"""Readings of running text: what the model sees, what it should say, and that chance is a function of the example."""

import numpy as np
import pytest

from henkan.data.documents import Documents
from henkan.data.passages import blocks, passages, sentence_pairs
from henkan.tasks.pretraining import Denoising, Masked, MaskedPairs, Masking, Next, Prefixed, Spans
from henkan.tasks.readings import DenoisingReading, MaskedReading, NextReading, document_ends
from henkan.tensors import IGNORE
from henkan.text.marks import Marks
from henkan.text.words import Words

MARKS = Marks(0, 1, 2, 3, 4, (5, 6, 7, 8), 10, 5000)


def words_begin_at(begins):
    """Words that begin at these ids, (5000,) bool, and behind marks."""
    return Words(np.where(np.arange(5000) < 10, 1, begins).astype(np.int8), (np.arange(5000) < 10).astype(np.int8))


@pytest.fixture
def documents():
    lengths = np.random.default_rng(0).integers(1, 13, 240)
    ends = np.concatenate([[0], np.cumsum(lengths)])
    return Documents(np.arange(ends[-1]) + 10, ends, np.arange(5) * 60)


def rng(seed=1):
    return np.random.default_rng(seed)


def test_masked_passages(documents):
    reading = Masked(documents, passages(documents, 40), MARKS, 0.15, 0)
    example = reading.example(3, rng())
    first, last = reading.passages.starts[3] + 10, reading.passages.ends[3] + 9
    labels = example.labels["tokens"]
    original = np.where(labels == IGNORE, example.ids, labels)
    assert original.tolist() == [2, *range(first, last + 1), 3]
    assert (labels != IGNORE).sum() in (5, 6)
    assert labels[0] == labels[-1] == IGNORE
    assert reading.lengths().source[3] == len(example.ids)
    batch = reading.collate([example, reading.example(4, rng())])
    assert batch.source.ids.shape == batch.labels["tokens"].shape
    assert batch.units["tokens"] == int((batch.labels["tokens"] != IGNORE).sum())


def test_a_static_mask_is_one_of_a_few_and_a_dynamic_one_is_always_new(documents):
    cut = passages(documents, 40)
    for masks, most in ((1, 1), (3, 3), (0, 30)):
        reading = Masked(documents, cut, MARKS, 0.15, masks)
        seen = {tuple(reading.example(2, rng(seed)).ids) for seed in range(30)}
        assert len(seen) == most


def test_whole_words(documents):
    words = words_begin_at(np.arange(5000) % 3 == 0)
    reading = Masked(documents, passages(documents, 40), MARKS, 0.3, 0, words)
    for seed in range(20):
        example = reading.example(1, rng(seed))
        labels = example.labels["tokens"]
        original = np.where(labels == IGNORE, example.ids, labels)
        word = words.numbers(original)
        assert not set(word[labels != IGNORE]) & set(word[1:-1][labels[1:-1] == IGNORE])


def test_where_documents_end():
    """Passages of RoBERTa and blocks of GPT go across documents, with END between; pairs and noisy texts do not."""
    assert document_ends(NextReading())
    assert document_ends(MaskedReading())
    for reading in (MaskedReading(next_sentence=True), MaskedReading(translations=True), DenoisingReading()):
        assert not document_ends(reading)


def test_words_end_at_marks():
    """A vocabulary may not mark the first word of a text: it is no part of the last word of the text before."""
    masking = Masking(MARKS, 0.5, 0, words_begin_at(False))
    ids = np.array([2, 10, 11, 3, 12, 13, 3])
    for seed in range(20):
        labels = masking.apply(ids, 0, rng(seed))[1] != IGNORE
        assert labels.tolist() in ([False, *[True] * 2, *[False] * 4], [*[False] * 4, *[True] * 2, False])


@pytest.mark.parametrize(
    "words",
    [None, words_begin_at(np.arange(5000) % 3 == 0), words_begin_at(False)],
    ids=["tokens", "words", "one word"],
)
def test_rates_of_a_whole_text(words):
    ends = np.concatenate([[0], np.cumsum(np.random.default_rng(3).integers(1, 30, 2000))])
    documents = Documents(np.arange(ends[-1]) % 4000 + 10, ends, np.arange(0, 2001, 20))
    reading = Masked(documents, passages(documents, 126), MARKS, 0.15, 0, words)
    told = masked = kept = 0
    for index in range(len(reading.passages)):
        example = reading.example(index, rng(index))
        labels = example.labels["tokens"]
        told += (labels != IGNORE).sum()
        masked += (example.ids == MARKS.mask).sum()
        kept += (example.ids == labels).sum()
    assert told / len(documents.tokens) == pytest.approx(0.15, abs=0.003)
    assert masked / told == pytest.approx(0.8, abs=0.02)  # 4,500 are told: a standard error is 0.006
    assert kept / told == pytest.approx(0.1, abs=0.015)


def test_a_prefix_and_what_follows(documents):
    reading = Prefixed(documents, passages(documents, 40), MARKS)
    whole = reading.example(2, rng())
    first, last = reading.passages.starts[2] + 10, reading.passages.ends[2] + 9
    assert [*whole.source, *whole.target] == list(range(first, last + 1))
    cuts = [len(reading.example(2, rng(seed)).source) for seed in range(3000)]
    size = last - first + 1
    assert set(cuts) == set(range(1, size))
    assert np.mean(cuts) == pytest.approx(size / 2, abs=1.0)
    bounds = reading.lengths()
    for index in range(len(reading.passages)):
        example = reading.example(index, rng(index))
        assert len(example.source) + 1 <= bounds.source[index]
        assert len(example.target) + 1 <= bounds.target[index]


def test_pairs_with_next_sentence(documents):
    pairs = sentence_pairs(documents, 40, 1)
    reading = MaskedPairs(documents, pairs, Masking(MARKS, 0.15, 0, None), MARKS)
    for index in range(10):
        example = reading.example(index, rng())
        labels = example.labels["tokens"]
        original = np.where(labels == IGNORE, example.ids, labels)
        first, second = (
            np.arange(*span) + 10
            for span in zip(
                (pairs.first.starts[index], pairs.second.starts[index]),
                (pairs.first.ends[index], pairs.second.ends[index]),
                strict=True,
            )
        )
        assert original.tolist() == [2, *first, 3, *second, 3]
        assert example.segments.tolist() == [0] * (len(first) + 2) + [1] * (len(second) + 1)
        assert example.labels["next"] == (not pairs.follows[index])
        assert reading.lengths().source[index] == len(example.ids)
    batch = reading.collate([reading.example(index, rng()) for index in range(6)])
    assert batch.units["next"] == 6
    assert batch.source.segments.shape == batch.source.ids.shape


def test_the_next_token(documents):
    reading = Next(documents, blocks(documents, 50), MARKS)
    batch = reading.collate([reading.example(0, rng()), reading.example(1, rng())])
    assert batch.labels["tokens"][1].tolist() == list(range(60, 110))
    assert batch.target.ids[1].tolist() == [2, *range(60, 109)]
    assert batch.units == {"tokens": 100}
    half = Next(documents, blocks(documents, 50), MARKS, 0.5)
    assert half.collate([half.example(0, rng())]).units == {"tokens": 25}


def test_spans_fit_their_lengths_and_say_what_is_lost(documents):
    reading = Spans(documents, passages(documents, 40), MARKS, 0.15, 3.0)
    bounds = reading.lengths()
    for index in range(len(reading.passages)):
        example = reading.example(index, rng(index))
        assert len(example.source) + 1 <= bounds.source[index]
        assert len(example.target) + 1 <= bounds.target[index]
        ordinary = np.concatenate([example.source, example.target])
        ordinary = np.sort(ordinary[ordinary >= 10])
        assert ordinary.tolist() == list(range(reading.passages.starts[index] + 10, reading.passages.ends[index] + 10))


def test_denoising_writes_the_text_as_it_was(documents):
    cut = passages(documents, 40)
    reading = Denoising(documents, cut, MARKS, 0.3, 0.0, True, False, 3.0)
    example = reading.example(2, rng())
    assert example.target.tolist() == list(range(cut.starts[2] + 10, cut.ends[2] + 10))
    kept = example.source[example.source != MARKS.mask]
    assert set(kept) < set(example.target)
    assert (example.source == MARKS.mask).any()
    reading = Denoising(documents, cut, MARKS, 0.0, 0.0, True, False, 3.0)
    orders = {tuple(reading.example(2, rng(seed)).source.tolist()) for seed in range(20)}
    assert len(orders) > 3
    for order in orders:
        assert sorted(order) == example.target.tolist()
        steps = np.flatnonzero(np.diff(order) != 1) + 1  # a new sentence begins only where a line does
        assert set(np.array(order)[steps] - 10) <= set(documents.lines) | {cut.starts[2]}


def test_a_vocabulary_without_the_mark_is_refused(documents):
    bare = Marks(0, 1, 2, 3, None, (), 4, 5000)
    cut = passages(documents, 40)
    for make in (
        lambda: Masked(documents, cut, bare, 0.15, 0),
        lambda: Spans(documents, cut, bare, 0.15, 3.0),
        lambda: Denoising(documents, cut, bare, 0.3, 0.0, True, False, 3.0),
    ):
        with pytest.raises(ValueError, match="needs a vocabulary with"):
            make()
