"""Intervals against a closed form, paired tests on systems whose relation is known, and scores by length."""

import itertools
import json
import math

import numpy as np
import pytest

from henkan.errors import InputError
from henkan.metrics import MEASURES, Score, by_length, compare, paired
from henkan.metrics.edit_distance import Ratio
from henkan.metrics.score import Measurement, shown

SHARE = Ratio("exact match", ("equal", "segments"), "nrefs:1|unit:segment", True)


def answers(right: np.ndarray) -> Measurement:
    """A system that got the segments marked True right."""
    return Measurement(SHARE, np.stack([right, np.ones(len(right))], axis=1).astype(np.float64))


def system(seed: int, accuracy: float, segments: int = 1000) -> np.ndarray:
    return np.random.default_rng(seed).random(segments) < accuracy


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_interval_of_a_proportion_is_the_binomial_one(share):
    segments = 2000
    right = np.arange(segments) < share * segments
    score = answers(right).score(bootstrap=2000)
    half_width = 100 * 1.96 * math.sqrt(share * (1 - share) / segments)
    assert score.value == pytest.approx(100 * share)
    assert score.value - score.low == pytest.approx(half_width, rel=0.1)
    assert score.high - score.value == pytest.approx(half_width, rel=0.1)


def test_intervals_cover_the_truth_as_often_as_they_say():
    trials = 100
    covered = 0
    for seed in range(trials):
        score = answers(system(seed, 0.7, 200)).score(bootstrap=200)
        covered += score.low <= 70 <= score.high
    # 95 of 100 expected; a binomial with that mean is below 88 less than once in 700 times.
    assert covered >= 88


def test_identical_systems_do_not_differ():
    right = system(1, 0.6)
    test = compare(answers(right), answers(right))
    assert (test.difference, test.low, test.high, test.p) == (0, 0, 0, 1)


def test_a_clearly_better_system_is_recognised():
    worse, better = system(1, 0.5), system(2, 0.6)
    test = compare(answers(worse), answers(better | worse & system(3, 0.5)))
    assert test.difference > 5
    assert test.low > 0
    assert test.p < 0.01


def test_order_changes_only_the_sign():
    one, other = answers(system(1, 0.6)), answers(system(2, 0.62))
    forth, back = compare(one, other), compare(other, one)
    assert back.difference == -forth.difference
    assert back.p == forth.p
    assert back.low == pytest.approx(-forth.high)


def test_p_is_that_of_the_z_test_on_paired_differences():
    one, other = system(1, 0.60), system(2, 0.63)
    test = compare(answers(one), answers(other), bootstrap=4000)
    difference = other.astype(float) - one
    z = abs(difference.mean()) / (difference.std() / math.sqrt(len(difference)))
    assert test.p == pytest.approx(math.erfc(z / math.sqrt(2)), abs=0.025)


def test_equal_systems_are_called_different_one_time_in_twenty():
    trials = 200
    found = sum(
        compare(answers(system(2 * seed, 0.6, 150)), answers(system(2 * seed + 1, 0.6, 150)), 200).p < 0.05
        for seed in range(trials)
    )
    # 10 expected; a binomial with that mean exceeds 19 less than once in 300 times.
    assert found <= 19


def test_every_system_is_compared_with_the_first():
    systems = [answers(system(seed, 0.5)) for seed in range(3)]
    tests = paired(systems, bootstrap=50)
    assert [test.difference for test in tests] == [other.value() - systems[0].value() for other in systems[1:]]
    with pytest.raises(InputError, match="1000 and 10 segments"):
        compare(systems[0], answers(system(1, 0.5, 10)))


def test_bands_cover_all_segments_once_and_their_sums_agree():
    right = system(5, 0.5, 500)
    lengths = np.random.default_rng(5).integers(1, 30, 500).tolist()
    bands = by_length(answers(right), lengths, bands=5, bootstrap=20)
    assert [band.score.count for band in bands] == [
        sum(band.shortest <= length <= band.longest for length in lengths) for band in bands
    ]
    assert sum(band.score.details["equal"] for band in bands) == right.sum()
    assert all(before.longest < after.shortest for before, after in itertools.pairwise(bands))
    assert max(band.score.count for band in bands) < 2 * min(band.score.count for band in bands)
    assert len(by_length(answers(right), [7] * 500, bootstrap=0)) == 1, "equal lengths cannot be told apart"
    with pytest.raises(InputError, match="3 lengths for 500 segments"):
        by_length(answers(right), [1, 2, 3])


def test_scores_survive_json():
    score = answers(system(1, 0.6)).score()
    assert Score.from_json(json.loads(json.dumps(score.to_json()))) == score
    with pytest.raises(InputError, match="expected name, value, signature"):
        Score.from_json({"name": "BLEU", "value": 31.0})
    with pytest.raises(InputError, match="expected name, value, signature"):
        Score.from_json({**score.to_json(), "value": math.nan})


def test_scores_read_well():
    assert str(Score("BLEU", 31.26, "", 30.04, 32.5, 100)) == "BLEU 31.3 [30.0–32.5]"
    assert str(Score("phoneme error rate", 5.455, "", None, None, 100)) == "phoneme error rate 5.46"
    assert [shown(value) for value in (0, 9.994, 9.996, 100)] == ["0.00", "9.99", "10.0", "100.0"]


@pytest.mark.parametrize("name", MEASURES)
def test_every_metric_prefers_the_right_answer(name):
    references = [["the cat sat on the mat"], ["a dog ran away from home"], ["it is raining again today"]]
    right = MEASURES[name]([answers[0] for answers in references], references).score(bootstrap=20)
    wrong = MEASURES[name](["the cat sat on a hat", "a dog", ""], references).score(bootstrap=20)
    assert (right.value > wrong.value) == right.higher_is_better
    assert right.value == pytest.approx(100 if right.higher_is_better else 0)
    assert right.signature == wrong.signature
    assert "|bs:20|seed:12345|" in right.signature
