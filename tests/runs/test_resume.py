"""A run that is killed and resumed ends as if nothing had happened: bit for bit, through the command line."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from henkan.run import train
from toys import TINY_LUONG, TINY_TRANSFORMER

SETTINGS = [
    "training.steps=60",
    "training.checkpoint_every=7",
    "training.validate_every=20",
    "training.ema=0.9",
    "training.processes=1",
    "training.threads=1",
]


def start(output: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "henkan", "train", "--output", str(output), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(process: subprocess.Popen[str]) -> str:
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0, out
    return out


def weights(run: Path) -> str:
    return hashlib.sha256((run / "model" / "model.safetensors").read_bytes()).hexdigest()


def updates(run: Path) -> int:
    """How many updates the run has told of."""
    events = run / "events.jsonl"
    return events.read_text(encoding="utf-8").count('"update"') if events.exists() else 0


def wait_for(condition, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not condition() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)


@pytest.mark.process
@pytest.mark.parametrize(
    ("preset", "kills"),
    [
        pytest.param(TINY_TRANSFORMER, 1, id="transformer, killed once"),
        pytest.param(TINY_TRANSFORMER, 3, id="transformer", marks=pytest.mark.slow),
        pytest.param(TINY_LUONG, 3, id="luong", marks=pytest.mark.slow),
    ],
)
def test_killed_at_random_points_it_ends_with_the_same_weights(
    preset: list[str], kills: int, pairs_file: Path, tmp_path: Path, fresh_seed: int
):
    arguments = [*preset, *SETTINGS]
    train({"data": {"pairs": str(pairs_file)}}, arguments, output=tmp_path / "whole", console=Console(quiet=True))
    broken, draw = tmp_path / "broken", random.Random(fresh_seed)
    process = start(broken, "--pairs", str(pairs_file), *arguments)
    for _ in range(kills):
        checkpoints = broken / "checkpoints"
        # from the moment on at which there is something to resume, anything may be going on
        wait_for(lambda: (broken / "config.yaml").exists() and checkpoints.exists(), process)  # noqa: B023
        time.sleep(draw.uniform(0.0, 0.4))
        process.kill()
        process.communicate()
        process = start(broken, "--resume")
    finish(process)
    assert weights(broken) == weights(tmp_path / "whole")
    assert not [path for path in broken.rglob("*") if ".partial" in path.name], "half-written files stayed behind"


@pytest.mark.process
@pytest.mark.parametrize(
    ("number", "code"), [pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow), (signal.SIGTERM, 143)]
)  # Ctrl-C is quickly tested in test_team.py
def test_a_signal_saves_and_says_how_to_go_on(number: int, code: int, pairs_file: Path, tmp_path: Path):
    run = tmp_path / "run"
    process = start(run, "--pairs", str(pairs_file), *TINY_TRANSFORMER, "training.steps=100000")
    wait_for(lambda: updates(run) > 0, process)
    os.kill(process.pid, number)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == code, out
    assert "saved" in out and "--resume" in out
    assert "Traceback" not in out
    assert list((run / "checkpoints").glob("step-*"))
