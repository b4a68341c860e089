"""Runs that are killed, and runs of two processes, started as users start them."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_run import tiny_run

from henkan.training.checkpoint import Checkpoints
from henkan.training.log import read_events

pytestmark = pytest.mark.process

SCRIPT = Path(__file__).parent / "tiny_run.py"
FILES = ("masters", "optimiser", "buffers")


def start(folder: Path, settings: dict[str, Any], *words: str, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(SCRIPT), str(folder), json.dumps(settings), *words]
    paths = os.pathsep.join(path for path in sys.path if path)
    return subprocess.Popen(
        command, env={**os.environ, "PYTHONPATH": paths, **environment}, stderr=subprocess.PIPE, text=True
    )


def ended(process: subprocess.Popen[str], seconds: float) -> bool:
    """Has it ended by itself after so many seconds?"""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def finish(process: subprocess.Popen[str]) -> None:
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors


def two_ranks(folder: Path, settings: dict[str, Any], *words: str) -> None:
    """One run of two processes, joined as torchrun joins them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    world = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    both = [start(folder, settings, *words, RANK=rank, LOCAL_RANK=rank, **world) for rank in ("0", "1")]
    for process in both:
        finish(process)


def test_a_killed_run_ends_as_the_unbroken_one(tmp_path: Path) -> None:
    settings = {"steps": 250, "validate_every": 40, "checkpoint_every": 5, "average": 2}
    whole = tiny_run(tmp_path / "whole", **settings)
    seed = random.SystemRandom().randrange(10**6)
    print(f"kill points drawn with seed {seed}")
    chance = random.Random(seed)
    broken = tmp_path / "broken"
    for life in range(2):
        process = start(broken, settings, *(["resume"] if life else []))
        before = Checkpoints(broken).updates()
        while Checkpoints(broken).updates() == before and not ended(process, 0.01):
            pass  # until it has begun to train
        if not ended(process, chance.uniform(0.0, 0.4)):
            process.kill()
        process.communicate()
    finish(start(broken, settings, "resume"))

    assert any(event["event"] == "resume" for event in read_events(broken / "events.jsonl"))
    for file in FILES:
        expected = Checkpoints(tmp_path / "whole").open(250).tensors(file)
        found = Checkpoints(broken).open(250).tensors(file)
        assert expected.keys() == found.keys()
        for name, value in expected.items():
            assert torch.equal(value, found[name]), f"{file}: {name} differs (seed {seed})"
    best, found_best = (json.loads((folder / "best.json").read_text()) for folder in (tmp_path / "whole", broken))
    assert best == found_best
    assert best["loss"] <= whole.loss


def test_two_processes_are_one_with_the_joint_batch(tmp_path: Path) -> None:
    settings = {"steps": 8, "validate_every": 4, "dropout": 0.0, "keep": 10}
    tiny_run(tmp_path / "one", **settings)
    two_ranks(tmp_path / "two", settings)
    one, two = Checkpoints(tmp_path / "one"), Checkpoints(tmp_path / "two")
    for update in (4, 8):
        for name, value in one.open(update).tensors("masters").items():
            torch.testing.assert_close(
                two.open(update).tensors("masters")[name],
                value,
                rtol=1e-6,
                atol=1e-6,
                msg=lambda m, n=name: f"{n}: {m}",
            )
    losses = [
        [event["loss"] for event in read_events(tmp_path / name / "events.jsonl") if event["event"] == "validation"]
        for name in ("one", "two")
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5), "the validation loss is shared, too"
    assert sum(1 for event in read_events(tmp_path / "two" / "events.jsonl") if event["event"] == "start") == 1

    (tmp_path / "two" / "checkpoints" / "step-00000008").rename(tmp_path / "elsewhere")
    tiny_run(tmp_path / "two", resume=True, **settings)  # what two ranks saved, one goes on with
    for name, value in one.open(8).tensors("masters").items():
        torch.testing.assert_close(two.open(8).tensors("masters")[name], value, rtol=1e-6, atol=1e-6)
