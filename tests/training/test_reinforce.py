"""A model that draws positions, trained by the loop: everything it draws and remembers survives a resumption."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from tiny_run import VOCABULARY, TinyTask, tiny_options

from henkan.data.collate import collate_pairs
from henkan.data.example import Example
from henkan.models.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from henkan.objectives.reinforce import Reinforce
from henkan.tensors import Batch
from henkan.training.checkpoint import Checkpoints
from henkan.training.loop import train

CELL = {"kind": "lstm", "size": 8}


class Drawing(TinyTask):
    """The same corpus for a model with a decoder."""

    def __init__(self) -> None:
        super().__init__()
        self.objective = Reinforce(smoothing=0.1, policy=1.0, entropy=0.002)

    def collate(self, examples: list[Example]) -> Batch:
        return collate_pairs(examples)

    def evaluate(self, model: EncoderDecoder, split: str) -> dict[str, float]:
        return {"right": 0.0}


def model(baseline: str) -> EncoderDecoder:
    torch.manual_seed(3)
    attention = {"kind": "hard", "scores": {"kind": "additive", "size": 4}, "baseline": baseline}
    settings = {
        "embedding": 8,
        "encoder": {"kind": "recurrent", "cell": CELL},
        "decoder": {"kind": "luong", "cell": CELL, "attention": attention, "dropout": 0.1},
    }
    return EncoderDecoderConfig.model_validate(settings).build(VOCABULARY + 4, VOCABULARY + 4)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("baseline", ["moving", "learnt"])
def test_resumed_it_ends_the_same_bit_for_bit(tmp_path: Path, baseline: str, precision: str) -> None:
    options = tiny_options(steps=6, validate_every=3, checkpoint_every=1, keep=100, precision=precision, accumulation=2)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(Drawing(), model(baseline), options, whole)
    shutil.copytree(whole, parts)
    for later in (5, 6):
        shutil.rmtree(Checkpoints(parts).path(later))
    task = Drawing()
    train(task, model(baseline), options, parts, resume=True)
    for file in ("masters", "optimiser", "buffers"):
        expected, found = (Checkpoints(folder).open(6).tensors(file) for folder in (whole, parts))
        assert expected.keys() == found.keys()
        for name, tensor in expected.items():
            assert torch.equal(tensor, found[name]), name
    buffers = Checkpoints(whole).open(6).tensors("buffers")
    assert buffers["objective.gathered"].item() == pytest.approx(1 - 0.9**6), "one share for each update"
    assert buffers["objective.average"].item() < 0.0
    baselines = [name for name in Checkpoints(whole).open(6).tensors("masters") if "baseline" in name]
    assert bool(baselines) == (baseline == "learnt")
