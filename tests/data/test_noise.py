"""Rates on a large sample, and what each noise must keep."""

import math

import numpy as np
import pytest

from henkan.data import noise
from henkan.tensors import IGNORE

MASK = 3
ORDINARY = range(10, 1000)


def draws(number: int, length: int = 200):
    for seed in range(number):
        rng = np.random.default_rng(seed)
        yield rng.integers(ORDINARY.start, ORDINARY.stop, length), rng


def test_masking_rates():
    chosen = masked = kept = total = 0
    for ids, rng in draws(400):
        noisy, labels = noise.mask_tokens(ids, rng, MASK, ORDINARY)
        picked = labels != IGNORE
        assert (labels[picked] == ids[picked]).all()
        assert (noisy[~picked] == ids[~picked]).all()
        total += len(ids)
        chosen += picked.sum()
        masked += (noisy[picked] == MASK).sum()
        kept += (noisy[picked] == ids[picked]).sum()
    assert chosen / total == pytest.approx(0.15, abs=0.002)
    # 12,000 chosen: three standard deviations are 1.1 and 0.8 points; a random token is the old one once in 990
    assert masked / chosen == pytest.approx(0.80, abs=0.011)
    assert kept / chosen == pytest.approx(0.10, abs=0.009)


def test_masking_spares_what_is_no_candidate_and_chooses_at_least_one():
    for ids, rng in draws(50, 4):
        candidates = np.array([False, True, True, False])
        _, labels = noise.mask_tokens(ids, rng, MASK, ORDINARY, 0.01, candidates)
        assert (labels != IGNORE).sum() == 1
        assert (labels[[0, 3]] == IGNORE).all()
    noisy, labels = noise.mask_tokens(ids, rng, MASK, ORDINARY, candidates=np.zeros(4, dtype=bool))
    assert (noisy == ids).all()
    assert (labels == IGNORE).all()


def test_whole_words_are_chosen_as_wholes():
    chosen = total = 0
    for ids, rng in draws(300):
        words = np.sort(rng.integers(0, 80, len(ids)))
        _, labels = noise.mask_tokens(ids, rng, MASK, ORDINARY, words=words)
        picked = labels != IGNORE
        assert not set(words[picked]) & set(words[~picked])
        chosen, total = chosen + picked.sum(), total + len(ids)
    assert chosen / total == pytest.approx(0.15, abs=0.002)


@pytest.mark.parametrize("length", [1, 2, 5])
def test_whole_words_of_any_length_are_as_often_hidden(length):
    """Tokens of long words, too, are hidden in 15 % of the cases, at the ends as in the middle."""
    words = np.arange(200) // length
    hidden = np.zeros(200)
    for ids, rng in draws(2000):
        hidden += noise.mask_tokens(ids, rng, MASK, ORDINARY, words=words)[1] != IGNORE
    assert hidden.mean() / 2000 == pytest.approx(0.15, abs=0.002)
    assert hidden / 2000 == pytest.approx(0.15, abs=0.04)  # a standard error is 0.008


@pytest.mark.parametrize("sizes", [[100], [60, 1, 1, 1, 37], [1, 99], [20, 3, 50, 2, 25]])
def test_words_that_are_longer_than_all_that_is_to_be_hidden(sizes):
    """A text without spaces may be one word, or nearly: as much of it is hidden as was asked, all over it."""
    words = np.repeat(np.arange(len(sizes)) * 7, sizes)
    hidden = np.zeros(100)
    for ids, rng in draws(2000, 100):
        picked = noise.mask_tokens(ids, rng, MASK, ORDINARY, words=words)[1] != IGNORE
        assert 1 <= picked.sum() < 30
        hidden += picked
    assert hidden.mean() / 2000 == pytest.approx(0.15, abs=0.002)
    assert hidden / 2000 == pytest.approx(0.15, abs=0.08)  # a short word among long ones is hidden rather more often


def test_short_words_stay_whole_beside_long_ones():
    words = np.repeat(np.arange(20), [40, 10, *[3] * 15, 2, 2, 1])
    for ids, rng in draws(200, len(words)):
        picked = noise.mask_tokens(ids, rng, MASK, ORDINARY, words=words)[1] != IGNORE
        split = set(words[picked]) & set(words[~picked])
        assert split <= {0}


def test_words_of_a_short_text_are_whole_though_less_was_asked():
    words = np.repeat(np.arange(9), [1, 3, 1, 2, 1, 1, 2, 1, 1])
    for ids, rng in draws(500, len(words)):
        picked = noise.mask_tokens(ids, rng, MASK, ORDINARY, words=words)[1] != IGNORE
        assert picked.any()
        assert not set(words[picked]) & set(words[~picked])


def undo(source, target, sentinels):
    """What stood there before: each sentinel of the source replaced by what follows it in the target."""
    parts, current = {}, None
    for token in target:
        if token in sentinels:
            current = parts.setdefault(token, [])
        else:
            current.append(token)
    return [kept for token in source for kept in (parts[token] if token in sentinels else [token])]


def test_corrupted_spans_can_be_put_back():
    sentinels = list(range(2000, 1900, -1))
    lost, spans, total = [], 0, 0
    for ids, rng in draws(300):
        source, target = noise.corrupt_spans(ids, rng, sentinels)
        assert undo(source, target, sentinels) == ids.tolist()
        marks = [token for token in source if token >= 1900]
        assert marks == sentinels[: len(marks)] == [token for token in target if token >= 1900]
        lost.append(len(target) - len(marks))
        spans, total = spans + len(marks), total + len(ids)
    assert sum(lost) / total == pytest.approx(0.15, abs=0.001)
    assert sum(lost) / spans == pytest.approx(3.0, abs=0.05)


def test_span_lengths_are_uniform_over_all_cuttings():
    counts = {}
    rng = np.random.default_rng(0)
    for _ in range(6000):
        cutting = tuple(noise._segments(5, 3, rng))
        counts[cutting] = counts.get(cutting, 0) + 1
    assert len(counts) == 6  # (4 choose 2) ways to cut 5 into 3 positive parts
    assert all(900 < count < 1100 for count in counts.values())


@pytest.mark.parametrize("length", [2, 3, 5])
def test_short_sequences_keep_and_lose_something(length):
    for ids, rng in draws(30, length):
        source, target = noise.corrupt_spans(ids, rng, [2000, 1999])
        assert undo(source, target, (2000, 1999)) == ids.tolist()
        assert len(source) >= 2
    with pytest.raises(ValueError, match="needs at least 2"):
        noise.corrupt_spans(ids[:1], rng, [2000])


def test_infilling_rates():
    gone = marks = total = inserted = 0
    for ids, rng in draws(400):
        noisy = noise.infill(ids, rng, MASK)
        masks = (noisy == MASK).sum()
        kept = noisy[noisy != MASK].tolist()
        rest = iter(ids.tolist())
        assert all(token in rest for token in kept)  # what is kept is in order
        gone, marks, total = gone + len(ids) - len(kept), marks + masks, total + len(ids)
        inserted += masks > 0
    assert gone / total == pytest.approx(0.3, abs=0.002)
    assert gone / marks == pytest.approx(3.0, abs=0.15)  # the last span of each text is cut short
    assert inserted == 400


def test_infilled_lengths_are_poisson():
    counts, number = np.zeros(40), 0
    for seed in range(40):
        ids = np.arange(100, 3100)
        noisy = noise.infill(ids, np.random.default_rng(seed), MASK)
        kept = np.concatenate([[99], noisy[noisy != MASK], [3100]])
        gone = np.diff(kept) - 1  # between tokens that were kept: there is one mask at most
        marks = np.flatnonzero(noisy == MASK) - np.arange((noisy == MASK).sum())
        assert len(set(marks)) == len(marks)
        counts += np.bincount(gone[marks], minlength=40)
        number += len(marks)
    expected = [np.exp(-3.0) * 3.0**size / math.factorial(size) for size in range(10)]
    assert number > 11_000
    assert counts[:10] / number == pytest.approx(expected, abs=0.012)  # a standard error is 0.004 at most


def test_rotation_and_order_are_uniform():
    starts, orders = np.zeros(8), {}
    rng = np.random.default_rng(1)
    sentences = [np.array([10]), np.array([11, 12]), np.array([13])]
    for _ in range(8000):
        starts[noise.rotate(np.arange(8), rng)[0]] += 1
        order = tuple(noise.permute_sentences(sentences, rng))
        orders[order] = orders.get(order, 0) + 1
    assert starts == pytest.approx(1000, abs=120)  # four standard deviations
    assert len(orders) == 6
    assert list(orders.values()) == pytest.approx([8000 / 6] * 6, abs=140)


def test_deletion_masking_rotation_and_permutation():
    deleted = masked = 0
    for ids, rng in draws(200):
        deleted += len(ids) - len(noise.delete_tokens(ids, rng))
        masked += (noise.replace_by_mask(ids, rng, MASK) == MASK).sum()
        turned = noise.rotate(ids, rng).tolist()
        start = (ids.tolist() * 2).index(turned[0])
        assert any(turned == (ids.tolist() * 2)[place : place + len(ids)] for place in range(start, len(ids)))
        sentences = np.split(ids, [20, 50, 130])
        shuffled = noise.permute_sentences(sentences, rng)
        assert sorted(shuffled.tolist()) == sorted(ids.tolist())
    assert deleted / 40_000 == pytest.approx(0.15, abs=0.001)
    assert masked / 40_000 == pytest.approx(0.15, abs=0.001)


def test_noise_is_a_function_of_the_generator_alone_and_leaves_its_input():
    ids = np.arange(10, 60)
    before = ids.copy()
    for make in (
        lambda rng: noise.mask_tokens(ids, rng, MASK, ORDINARY)[0],
        lambda rng: noise.corrupt_spans(ids, rng, [2000, 1999, 1998, 1997])[0],
        lambda rng: noise.infill(ids, rng, MASK),
        lambda rng: noise.delete_tokens(ids, rng),
        lambda rng: noise.rotate(ids, rng),
    ):
        assert make(np.random.default_rng(5)).tolist() == make(np.random.default_rng(5)).tolist()
        assert (ids == before).all()
