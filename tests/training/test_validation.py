"""The validation loss, and which of two validations is better."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from tiny_run import EXAMPLES, TinyModel, TinyTask
from torch.nn import functional

from henkan.data.plan import Plan
from henkan.errors import ConfigError
from henkan.objectives.base import Learner
from henkan.training.state import Best
from henkan.training.validation import Validator, is_better


@pytest.mark.parametrize("batch_tokens", [8, 30, 1000])
def test_the_loss_is_the_mean_over_all_tokens(batch_tokens: int) -> None:
    task, model = TinyTask(), TinyModel(dropout=0.5)
    plan = Plan(task.lengths("valid"), 1, batch_tokens)
    learner = Learner(model, task.objective).train()
    found = Validator(task, plan, 7, torch.device("cpu")).measure(learner, 4)

    losses: list[float] = []
    model.eval()
    for index in range(EXAMPLES["valid"]):
        batch = task.collate([task.example("valid", index, np.random.default_rng([7, index]))])
        logits = model(batch).heads["tokens"]
        assert isinstance(logits, torch.Tensor)
        losses += functional.cross_entropy(logits[0], batch.labels["tokens"][0], reduction="none").tolist()
    assert found.loss == pytest.approx(sum(losses) / len(losses), rel=1e-6)
    assert found.update == 4
    assert found.scores.keys() == {"right"}
    assert learner.training, "training goes on as before"


def test_better_is_higher_or_lower_by_name() -> None:
    low, high = (
        Best(1, 1.0, {"bleu": 10.0, "phoneme-error-rate": 10.0, "ter": 10.0}),
        Best(2, 2.0, {"bleu": 20.0, "phoneme-error-rate": 20.0, "ter": 20.0}),
    )
    assert is_better("bleu", high, low)
    assert not is_better("bleu", low, high)
    for name in ("loss", "phoneme-error-rate", "ter"):
        assert is_better(name, low, high), name
        assert not is_better(name, high, low), name
    assert is_better("bleu", low, None), "the first is the best so far"
    assert not is_better("bleu", low, low), "as good is not better"


def test_the_loss_decides_between_equal_scores() -> None:
    early, late = Best(3, 3.3, {"exact-match": 0.0}), Best(47, 1.5, {"exact-match": 0.0})
    assert is_better("exact-match", late, early), "44 updates of learning would be thrown away"
    assert not is_better("exact-match", early, late)
    assert not is_better("exact-match", Best(50, math.nan, {"exact-match": 0.0}), late)


def test_a_nan_is_never_better() -> None:
    nan, some = Best(1, math.nan, {}), Best(2, 3.0, {})
    assert not is_better("loss", nan, some)
    assert is_better("loss", some, nan)


def test_an_unknown_score_is_named() -> None:
    with pytest.raises(ConfigError, match=r"validate_by 'blue': this task gives bleu, loss"):
        is_better("blue", Best(1, 1.0, {"bleu": 1.0}), None)
