"""No update asks the device for a number: that would make the host wait until the queue of kernels is empty.

The device "meta" takes every branch of an accelerator and holds no data, so whatever reads a value, or needs one to
know a shape, fails. Only the fused optimiser is left out, which torch has for real devices alone.
"""

from typing import Any

import numpy as np
import pytest
import torch

import zoo
from henkan.data.collate import collate_packed, collate_pairs
from henkan.data.example import Example
from henkan.data.packing import PackedShape
from henkan.objectives.base import Learner
from henkan.objectives.cross_entropy import CrossEntropy
from henkan.training.compiled import CompiledPacked
from henkan.training.options import TrainingConfig
from henkan.training.schedule import Moment
from henkan.training.update import Updater, Work

META = torch.device("meta")
SHAPE = PackedShape(source=48, target=64, examples=8, longest=12)
EXAMPLES = [Example.of(n, [5, 6, 7][:n], [8, 9, 4, 5][: n + 1]) for n in range(4)]


class FusedAdamW(torch.optim.Optimizer):
    """Stands for torch's, which refuses this device; it is told in one call what to do, and asks for nothing."""

    def __init__(self, groups: list[dict[str, Any]], *settings: Any, fused: bool) -> None:
        assert fused, "on a GPU the update of all weights is one kernel"
        super().__init__(groups, {"lr": 0.0, "fused": fused})

    def step(self) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.data.add_(parameter.grad, alpha=group["lr"])


@pytest.fixture(autouse=True)
def _fused_on_meta(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.optim, "AdamW", FusedAdamW)


def learn(name: str, packed: bool, compiled: bool = False) -> None:
    model = zoo.build(zoo.CONFIGS[name], torch.float32).to(META).train()
    learner = Learner(model, CrossEntropy(0.1)).to(META).train()
    learning = Learner(CompiledPacked(model, "eager"), learner.objective) if compiled else None
    options = TrainingConfig(steps=10, precision="fp32", ema=0.9)
    updater = Updater(learner, options, torch.bfloat16, META, str, learning)
    batches = [collate_packed(EXAMPLES, SHAPE) if packed else collate_pairs(EXAMPLES) for _ in range(2)]
    for update in range(2):
        work = Work(0, 1, 10, np.arange(4), 10, [*batches, None])
        outcome = updater.learn(work, Moment(update, 0.1, 1.0))
        assert all(value.device == META for value in (*outcome.sums.values(), outcome.norm))


@pytest.mark.parametrize("name", [name for name in zoo.CONFIGS if zoo.build(zoo.CONFIGS[name]).packs])
def test_packed_batches(name: str):
    learn(name, packed=True)


@pytest.mark.filterwarnings("ignore")  # of torch.compile itself
def test_packed_batches_through_a_compiled_model():
    learn("transformer, pre-norm, all tied", packed=True, compiled=True)


@pytest.mark.parametrize("name", [name for name in zoo.CONFIGS if "copying" not in name])
def test_padded_batches(name: str):
    learn(name, packed=False)


def test_the_device_of_these_tests_notices():
    number = torch.ones(3, device=META)
    for read in (lambda: number.sum().item(), lambda: number.tolist(), number.nonzero, lambda: number[number > 0]):
        with pytest.raises((RuntimeError, NotImplementedError)):
            read()
    with pytest.raises(NotImplementedError):
        number.to("cpu")
