"""Runs as a kill leaves them, and whether two runs came to the same weights."""

import shutil
from pathlib import Path

import torch

from henkan.folder import load_weights


def cut_back(run: Path, copy: Path, update: int) -> Path:
    """A copy of a run as if it had been killed soon after the checkpoint of this update, before the next."""
    shutil.copytree(run, copy, ignore=shutil.ignore_patterns("model"))
    later = [path for path in (copy / "checkpoints").glob("step-*") if int(path.name.removeprefix("step-")) > update]
    assert later and (copy / "checkpoints" / f"step-{update:08}").is_dir()
    for path in later:
        shutil.rmtree(path)
    return copy


def weights(run: Path) -> dict[str, torch.Tensor]:
    """Of a run's best model."""
    return load_weights(run / "model" / "model.safetensors")


def assert_same_to_rounding(run: Path, other: Path) -> None:
    """Every weight of the two best models."""
    found, expected = weights(run), weights(other)
    assert found.keys() == expected.keys()
    for name, weight in expected.items():
        apart = (found[name] - weight).abs().max()
        assert torch.allclose(found[name], weight, rtol=1e-4, atol=1e-6), f"{name}: {apart} apart"
