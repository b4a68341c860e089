"""Labels and numbers against figures of scikit-learn 1.9 and SciPy 1.17, and by hand."""

import numpy as np
import pytest

from henkan.errors import InputError
from henkan.metrics import LABEL_MEASURES, measure_f1

RIGHT = list("0110221021")
GIVEN = list("0100211221")


def measure(name, given, right):
    return LABEL_MEASURES[name](given, [[answer] for answer in right])


def test_labels():
    assert measure("accuracy", GIVEN, RIGHT).value() == pytest.approx(70.0)
    # sklearn.metrics.matthews_corrcoef(RIGHT, GIVEN), f1_score(RIGHT, GIVEN, labels=["1"], average=None)
    assert measure("matthews", GIVEN, RIGHT).value() == pytest.approx(54.5454545, abs=1e-6)
    assert measure("f1", GIVEN, RIGHT).value() == pytest.approx(75.0)
    assert measure("f1", GIVEN, RIGHT).score(0).details["2"] == {"0": 0, "1": 1, "2": 2}


def test_matthews_of_one_label_and_f1_of_one_that_stands_nowhere_are_zero():
    assert measure("matthews", ["1", "1"], ["0", "1"]).value() == 0.0
    assert measure("f1", ["0"], ["0"]).value() == 0.0
    assert measure_f1(["bad", "good"], [["bad"], ["bad"]], "bad").value() == pytest.approx(200 / 3)


NUMBERS = ["1.0", "2.5", "2.5", "4", "0", "3"]
OTHERS = ["0.5", "2", "3", "3", "1", "5"]


def test_numbers():
    # scipy.stats.pearsonr and spearmanr of the two
    assert measure("pearson", NUMBERS, OTHERS).value() == pytest.approx(
        100 * np.corrcoef(np.array(NUMBERS, float), np.array(OTHERS, float))[0, 1]
    )
    ranks = np.corrcoef([2, 3.5, 3.5, 6, 1, 5], [1, 3, 4.5, 4.5, 2, 6])[0, 1]
    assert measure("spearman", NUMBERS, OTHERS).value() == pytest.approx(100 * ranks)
    assert measure("pearson", ["1", "1"], ["2", "3"]).value() == 0.0


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_a_correlation_does_not_depend_on_the_unit(scale):
    scaled = [str(float(number) * scale) for number in NUMBERS]
    for name in ("pearson", "spearman"):
        assert measure(name, scaled, OTHERS).value() == pytest.approx(measure(name, NUMBERS, OTHERS).value())
    assert measure("pearson", [str(1e6 * scale)] * 6, OTHERS).value() == 0.0


@pytest.mark.parametrize("text", ["x", "nan", "inf"])
def test_what_is_no_number_is_named(text):
    with pytest.raises(InputError, match=f"hypothesis 2: '{text}' is no finite number"):
        measure("pearson", ["1", text], ["1", "2"])
    with pytest.raises(InputError, match="references of example 1: 2"):
        LABEL_MEASURES["accuracy"](["a"], [["a", "b"]])


def test_an_interval_lies_around_its_value():
    rng = np.random.default_rng(0)
    right = [str(label) for label in rng.integers(0, 2, 300)]
    given = [label if rng.random() < 0.8 else "0" for label in right]
    for name in ("accuracy", "matthews", "f1"):
        score = measure(name, given, right).score(200)
        assert score.low < score.value < score.high
