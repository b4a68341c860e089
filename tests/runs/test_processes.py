"""Two processes through torchrun train the same model as one, and one goes on where two stopped."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from henkan.folder import load_weights
from toys import TINY_TRANSFORMER

# Without dropout, whose masks differ from rank to rank. Without Adam, which divides each gradient by its size: that of
# a key's bias is zero but for rounding, and Adam makes whole steps of it.
SETTINGS = [
    "model.encoder.dropout=0",
    "model.decoder.dropout=0",
    "training.optimiser={kind: sgd, learning_rate: 0.5}",
    "training.checkpoint_every=5",
]


def torchrun(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "henkan"]
    return subprocess.Popen(
        [*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def alone(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "henkan", *arguments], check=True, capture_output=True, timeout=120)


@pytest.mark.process
def test_two_ranks_train_what_one_trains(pairs_file: Path, tmp_path: Path):
    arguments = ["train", "--pairs", str(pairs_file), *TINY_TRANSFORMER, *SETTINGS, "--steps", "12", "--output"]
    process = torchrun(*arguments, str(tmp_path / "two"))
    out, _ = process.communicate(timeout=180)
    assert process.returncode == 0, out
    alone(*arguments, str(tmp_path / "one"))
    one, two = (load_weights(tmp_path / name / "model" / "model.safetensors") for name in ("one", "two"))
    for name, weight in one.items():
        apart = (two[name] - weight).abs().max()
        assert torch.allclose(two[name], weight, rtol=1e-4, atol=1e-6), f"{name}: {apart} apart"


@pytest.mark.process
def test_one_process_resumes_what_two_began(pairs_file: Path, tmp_path: Path):
    run = tmp_path / "run"
    arguments = [
        "train",
        "--pairs",
        str(pairs_file),
        *TINY_TRANSFORMER,
        *SETTINGS,
        "--steps",
        "400",
        "--output",
        str(run),
    ]
    process = torchrun(*arguments)
    deadline = time.monotonic() + 90
    while not list(run.glob("checkpoints/step-*")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    alone("train", "--output", str(run), "--resume", "training.steps=400")
    assert (run / "model" / "manifest.json").exists()
