"""The objective against closed forms."""

import math

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from henkan.nn.heads import LinearTokenScores
from henkan.objectives.cross_entropy import CrossEntropy, CrossEntropyConfig
from henkan.tensors import IGNORE, Batch, Output, Tokens

VOCABULARY = 5


def loss(objective: CrossEntropy, logits: Tensor, labels: Tensor) -> float:
    """Of logits (N, T, V) that are given, through an output matrix that is the identity."""
    scores = LinearTokenScores(logits, torch.eye(logits.shape[-1], dtype=logits.dtype), None)
    target = Tokens(labels.clamp(min=0), labels != IGNORE)
    batch = Batch(torch.arange(len(labels)), None, target, {"tokens": labels}, {"tokens": int(target.mask.sum())})
    sums = objective(Output({"tokens": scores}), batch)
    assert sums.keys() == objective.units(batch).keys() == objective.weights(0).keys()
    return sums["tokens"].item()


def smoothed(label: int, smoothing: float) -> Tensor:
    """The target that label smoothing has in mind."""
    target = torch.full((VOCABULARY,), smoothing / VOCABULARY, dtype=torch.float64)
    target[label] += 1 - smoothing
    return target


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_knowing_nothing_costs_log_v_a_token(smoothing):
    labels = torch.tensor([[1, 2, 3], [4, 0, IGNORE]])
    logits = torch.full((2, 3, VOCABULARY), 7.0, dtype=torch.float64)
    assert loss(CrossEntropy(smoothing), logits, labels) == pytest.approx(5 * math.log(VOCABULARY))


@pytest.mark.parametrize("smoothing", [0.1, 0.5])
def test_the_least_loss_is_the_entropy_of_the_smoothed_target(smoothing):
    target = smoothed(2, smoothing)
    entropy = -(target * target.log()).sum().item()
    least = loss(CrossEntropy(smoothing), target.log()[None, None], torch.tensor([[2]]))
    assert least == pytest.approx(entropy)
    for _ in range(20):
        elsewhere = target.log() + 0.3 * torch.randn(VOCABULARY, dtype=torch.float64)
        assert loss(CrossEntropy(smoothing), elsewhere[None, None], torch.tensor([[2]])) > least


def test_a_probability_costs_its_logarithm():
    probabilities = torch.tensor([[[0.5, 0.2, 0.1, 0.1, 0.1], [0.3, 0.3, 0.2, 0.1, 0.1]]], dtype=torch.float64)
    found = loss(CrossEntropy(), probabilities.log(), torch.tensor([[0, 2]]))
    assert found == pytest.approx(-math.log(0.5) - math.log(0.2))


def test_sums_not_means():
    logits, labels = torch.randn(1, 3, VOCABULARY, dtype=torch.float64), torch.tensor([[1, 2, 3]])
    once = loss(CrossEntropy(0.1), logits, labels)
    assert loss(CrossEntropy(0.1), logits.repeat(4, 1, 1), labels.repeat(4, 1)) == pytest.approx(4 * once)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_padding_stays_out_of_smoothing_and_perplexity(smoothing):
    logits, labels = torch.randn(2, 4, VOCABULARY, dtype=torch.float64), torch.randint(0, VOCABULARY, (2, 4))
    padded = torch.cat([logits, 100 * torch.randn(2, 3, VOCABULARY, dtype=torch.float64)], 1)
    ignored = torch.cat([labels, torch.full((2, 3), IGNORE)], 1)
    objective = CrossEntropy(smoothing)
    assert loss(objective, padded, ignored) == pytest.approx(loss(objective, logits, labels))


def test_nothing_is_smoothed_in_evaluation():
    logits, labels = torch.randn(2, 4, VOCABULARY, dtype=torch.float64), torch.randint(0, VOCABULARY, (2, 4))
    plain, objective = loss(CrossEntropy(), logits, labels), CrossEntropy(0.3)
    assert loss(objective, logits, labels) != pytest.approx(plain)
    assert loss(objective.eval(), logits, labels) == pytest.approx(plain)


def test_settings():
    assert CrossEntropyConfig(smoothing=0.25).build().smoothing == 0.25
    for smoothing in (-0.1, 1.0):
        with pytest.raises(ValidationError, match="smoothing"):
            CrossEntropyConfig(smoothing=smoothing)
