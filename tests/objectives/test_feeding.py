"""Scheduled sampling: how often the model reads words of its own, and that nothing but the update decides it."""

import math

import pytest
import torch
from pydantic import ValidationError

import zoo
from henkan.decode.stepper import LogProbs
from henkan.objectives.base import Learner
from henkan.objectives.cross_entropy import CrossEntropy
from henkan.objectives.feeding import (
    ExponentialDecay,
    InverseSigmoidDecay,
    LinearDecay,
    ScheduledSampling,
    ScheduledSamplingConfig,
    TeacherForcing,
    drawn,
)
from henkan.training.options import TrainingConfig

ALWAYS_OWN = LinearDecay(start=0.0)


def test_decays_are_those_of_the_paper():
    for update in (0, 1, 700, 3000):
        assert LinearDecay(start=0.9, slope=1e-3, floor=0.2).probability(update) == max(0.2, 0.9 - 1e-3 * update)
        assert ExponentialDecay(base=0.999).probability(update) == 0.999**update
        expected = 300 / (300 + math.exp(update / 300))
        assert InverseSigmoidDecay(k=300.0).probability(update) == pytest.approx(expected, rel=1e-12)
    assert InverseSigmoidDecay(k=1.0).probability(10**9) == 0.0


@pytest.mark.parametrize("decay", [LinearDecay(), ExponentialDecay(), InverseSigmoidDecay()], ids=lambda d: d.kind)
def test_what_is_read_of_the_target_only_falls(decay):
    probabilities = [decay.probability(update) for update in range(0, 20_000, 100)]
    assert probabilities[0] > 0.99
    assert probabilities == sorted(probabilities, reverse=True)
    assert all(0.0 <= probability <= 1.0 for probability in probabilities)


class Counting:
    """Stands for a model; remembers what it was asked."""

    def __init__(self) -> None:
        self.own: list[torch.Tensor] = []

    def __call__(self, batch):
        return "at once"

    def forward_by_steps(self, batch, own, choose):
        self.own.append(own)
        return "by steps"


def batch(rows: int = 400, columns: int = 11):
    return zoo.batch(zoo.tokens([2] * rows), zoo.tokens([columns] * rows))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_coins_fall_as_often_as_they_should(share):
    model, feeding = Counting(), ScheduledSampling(LinearDecay(start=share, floor=share), "sample")
    assert feeding(model, batch(), 5) == "by steps"
    (own,) = model.own
    assert not own[:, 0].any(), "the first word is START"
    assert own[:, 1:].double().mean() == pytest.approx(1 - share, abs=0.04)  # 4,000 coins: over 5 deviations


def test_only_the_update_and_the_generator_decide():
    model, feeding = Counting(), ScheduledSampling(ExponentialDecay(base=0.9), "sample")
    for update in (7, 0, 7):
        torch.manual_seed(3)
        feeding(model, batch(), update)
    assert len(model.own) == 2, "at update 0 every word is the target's, which is read at once"
    assert torch.equal(*model.own)


def test_evaluation_reads_the_target():
    model, feeding = Counting(), ScheduledSampling(ALWAYS_OWN, "argmax")
    assert feeding(model, batch(), 1) == "by steps"
    assert feeding.eval()(model, batch(), 1) == "at once"
    assert TeacherForcing()(model, batch(), 1) == "at once"


def test_words_are_drawn_from_the_distribution():
    probabilities = torch.tensor([0.1, 0.0, 0.6, 0.3])
    words = drawn(LogProbs(probabilities.log().expand(20_000, 4)))
    found = words.bincount(minlength=4) / len(words)
    torch.testing.assert_close(found, probabilities, rtol=0.0, atol=0.02)
    assert found[1] == 0


@pytest.mark.parametrize("choose", ["sample", "argmax"])
@pytest.mark.parametrize("name", ["bahdanau, gru", "transformer, pre-norm, all tied", "copying, luong, fed"])
def test_a_learner_learns_from_its_own_words(name, choose):
    """In training mode, dropout and all; the same seed gives the same loss and gradients."""
    model = zoo.build(zoo.CONFIGS[name])
    learner = Learner(model, CrossEntropy(0.1), ScheduledSampling(LinearDecay(start=0.5), choose)).train()
    part = zoo.batch(zoo.tokens([4, 2, 5]), zoo.tokens([3, 5, 2]))
    found = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        learner.zero_grad()
        total, _ = learner(part, {"tokens": 1.0}, 3)
        total.backward()
        found.append((total.item(), [parameter.grad.clone() for parameter in model.parameters()]))
    assert found[0][0] == found[1][0] != found[2][0]
    assert all(map(torch.equal, found[0][1], found[1][1]))
    teacher = Learner(model, CrossEntropy(0.1))
    assert learner.eval()(part, {"tokens": 1.0}, 3)[0] == teacher.eval()(part, {"tokens": 1.0})[0]


def test_settings():
    config = TrainingConfig.model_validate(
        {"steps": 5, "scheduled_sampling": {"decay": {"kind": "linear", "slope": 0.01}, "choose": "argmax"}}
    )
    feeding = config.feeding()
    assert isinstance(feeding, ScheduledSampling)
    assert feeding.decay.probability(10) == pytest.approx(0.9)
    assert isinstance(TrainingConfig(steps=5).feeding(), TeacherForcing)
    with pytest.raises(ValidationError, match="less than 1"):
        ScheduledSamplingConfig.model_validate({"decay": {"kind": "exponential", "base": 1.0}})
