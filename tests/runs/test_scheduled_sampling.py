"""A run that reads words of its own: resumed in the middle, it ends with the same weights, bit for bit."""

import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file

from henkan.run import train
from toys import TINY_LUONG

SETTINGS = [
    *TINY_LUONG,
    "training.steps=12",
    "training.checkpoint_every=6",
    "training.keep=10",
    "training.scheduled_sampling={decay: {kind: exponential, base: 0.9}, choose: sample}",
]


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "model" / "model.safetensors")


def test_resumed_it_ends_as_it_would_have(pairs_file: Path, tmp_path: Path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    recipe = {"data": {"pairs": str(pairs_file)}}
    train(recipe, SETTINGS, output=whole)
    shutil.copytree(whole, broken)
    shutil.rmtree(broken / "model")
    (last,) = [path for path in (broken / "checkpoints").glob("step-*") if int(path.name.split("-")[1]) == 12]
    shutil.rmtree(last)
    train(output=broken, resume=True)
    for name, weight in weights(whole).items():
        assert torch.equal(weights(broken)[name], weight), name
    train(recipe, [*SETTINGS, "training.scheduled_sampling=null"], output=tmp_path / "plain")
    assert not all(torch.equal(weights(tmp_path / "plain")[name], weight) for name, weight in weights(whole).items())
