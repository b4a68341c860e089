"""When a run packs, and a run that does."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import zoo
from henkan.data.collate import collate_packed, collate_pairs
from henkan.data.example import Example
from henkan.data.packing import PackedShape
from henkan.data.plan import Lengths
from henkan.errors import ConfigError
from henkan.objectives.base import Learner
from henkan.objectives.cross_entropy import CrossEntropy
from henkan.tensors import Batch
from henkan.training.loop import train
from henkan.training.options import TrainingConfig
from henkan.training.packing import choose_packing, learning

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
LENGTHS = Lengths(np.arange(3, 9).repeat(10), np.arange(4, 10).repeat(10))
SERVED = {"width": 16, "heads": 2, "feed_forward": 8, "layers": 1}


def model(**changes: Any) -> torch.nn.Module:
    config = zoo.CONFIGS["transformer, post-norm"]
    sides = {side: getattr(config, side).model_copy(update=SERVED | changes) for side in ("encoder", "decoder")}
    return config.model_copy(update={"embedding": 16, **sides}).build(zoo.VOCABULARY, zoo.VOCABULARY)


def options(**changes: Any) -> TrainingConfig:
    return TrainingConfig.model_validate({"steps": 4, "batch_tokens": 256, "precision": "fp32", **changes})


def packs(module: torch.nn.Module, device: torch.device, precision: torch.dtype, **changes: Any) -> bool:
    return choose_packing(Task(), module, options(**changes), device, precision, [LENGTHS]) is not None


def test_a_gpu_packs_what_its_kernel_takes_and_a_processor_only_when_told():
    assert packs(model(), CUDA, torch.bfloat16)
    assert not packs(model(), CPU, torch.bfloat16)
    assert packs(model(), CPU, torch.bfloat16, packed=True)
    assert not packs(model(), CUDA, torch.bfloat16, packed=False)
    assert not packs(model(), CUDA, torch.float32)
    assert not packs(model(attention_dropout=0.1), CUDA, torch.bfloat16)
    assert not packs(model(heads=4), CUDA, torch.bfloat16)
    recurrent = next(config for name, config in zoo.CONFIGS.items() if name.startswith("luong"))
    assert not packs(recurrent.build(13, 13), CUDA, torch.bfloat16)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"attention_dropout": 0.1}, "no attention_dropout; set training.packed: auto"),
        ({}, "scheduled sampling reads one sentence a row"),
    ],
)
def test_what_cannot_be_is_refused_when_asked_for(changes: dict[str, Any], message: str):
    sampling = {} if changes else {"scheduled_sampling": {}}
    with pytest.raises(ConfigError, match=message):
        packs(model(**changes), CUDA, torch.bfloat16, packed=True, **sampling)


def test_rows_share_the_budget_of_an_update():
    packing = choose_packing(Task(), model(), options(packed=True, accumulation=2), CPU, torch.float32, [LENGTHS])
    assert packing is not None
    assert packing.rows == 2
    assert max(packing.shape.source, packing.shape.target) == 128


def test_compiling_is_refused_where_it_is_no_use():
    learner = Learner(model(), CrossEntropy(0.1))
    assert learning(learner, options(), CPU, None) is learner
    with pytest.raises(ConfigError, match="a GPU and packed batches are needed"):
        learning(learner, options(compile=True), CPU, None)


class Task:
    """Sentences of the lengths above."""

    objective = CrossEntropy(0.1)

    def lengths(self, split: str) -> list[Lengths]:
        return [LENGTHS]

    def example(self, split: str, index: int, rng: np.random.Generator) -> Example:
        source, target = (int(side[index]) - 1 for side in (LENGTHS.source, LENGTHS.target))
        return Example.of(index, [4 + n % 9 for n in range(source)], [4 + n % 9 for n in range(target)])

    def place(self, split: str, index: int) -> str:
        return str(index)

    def collate(self, examples: list[Example]) -> Batch:
        return collate_pairs(examples)

    def pack(self, examples: list[Example], shape: PackedShape) -> Batch:
        return collate_packed(examples, shape)

    def evaluate(self, model: Any, split: str) -> dict[str, float]:
        return {}


def test_a_packed_run_goes_on_after_a_checkpoint_as_if_it_had_not_stopped(tmp_path: Path):
    def run(folder: str, steps: int, resume: bool = False) -> dict[str, torch.Tensor]:
        torch.manual_seed(5)
        settings = options(
            steps=steps,
            packed=True,
            accumulation=2,
            checkpoint_every=2,
            validate_every=2,
            schedule={"kind": "constant"},
        )
        return train(Task(), model(dropout=0.1), settings, tmp_path / folder, resume=resume).weights

    whole = run("whole", 4)
    run("parts", 2)
    torch.testing.assert_close(run("parts", 4, resume=True), whole, rtol=0, atol=0)
