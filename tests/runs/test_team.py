"""Processes that a run starts for itself: they train what one trains, and none outlives the first."""

import contextlib
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from rich.console import Console

from cut_runs import assert_same_to_rounding, cut_back, weights
from henkan.run import train
from toys import TINY_TRANSFORMER

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="several processes need Linux"),
]

# As in test_processes.py neither dropout nor Adam; with momentum, so that there is a state to divide and to resume.
SETTINGS = [
    *TINY_TRANSFORMER,
    "model.encoder.dropout=0",
    "model.decoder.dropout=0",
    "training.optimiser={kind: sgd, learning_rate: 0.05, momentum: 0.9}",
    "training.validate_every=6",
    "training.ema=0.5",
    "training.keep=9",
    "training.steps=12",
]
WITHOUT_END = ["training.steps=1000000", "training.validate_every=1000000", "training.checkpoint_every=1000000"]

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture(scope="module")
def start() -> Iterator[Start]:
    """``henkan train`` in a group of its own, as a terminal has it."""
    started = []

    def begin(output: Path, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "henkan", "train", "--output", str(output), *arguments]
        started.append(
            subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
            )
        )
        return started[-1]

    yield begin
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.fixture(scope="module")
def of_two(pairs_file: Path, tmp_path_factory: pytest.TempPathFactory, start: Start) -> Path:
    """The folder of a run of twelve updates by two processes, with checkpoints of the sixth and the last."""
    folder = tmp_path_factory.mktemp("team") / "two"
    finish(start(folder, "--pairs", str(pairs_file), *SETTINGS, "--processes", "2"))
    return folder


def finish(process: subprocess.Popen[str], code: int = 0) -> str:
    out, _ = process.communicate(timeout=120)
    assert process.returncode == code, out
    assert "Traceback" not in out
    return out


def partners(process: subprocess.Popen[str]) -> list[int]:
    """The further processes, while they run."""
    return [int(word) for word in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def alive(number: int) -> bool:
    """Is there a process of this number that has not ended?"""
    try:
        state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def gone(number: int) -> bool:
    """Has it ended, or does it within some seconds?"""
    deadline = time.monotonic() + 10
    while alive(number) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not alive(number)


def until_it_trains(process: subprocess.Popen[str], run: Path) -> int:
    """The number of the one further process, once there are updates."""
    events, deadline = run / "events.jsonl", time.monotonic() + 90
    while process.poll() is None and time.monotonic() < deadline:
        if events.exists() and '"event": "update"' in events.read_text(encoding="utf-8"):
            break
        time.sleep(0.02)
    (partner,) = partners(process)
    return partner


def test_two_train_what_one_trains_and_one_goes_on(pairs_file: Path, tmp_path: Path, of_two: Path):
    one, run = tmp_path / "one", cut_back(of_two, tmp_path / "run", 6)
    alone = [*SETTINGS, "training.processes=1"]
    train({"data": {"pairs": str(pairs_file)}}, alone, output=one, console=Console(quiet=True))
    assert_same_to_rounding(of_two, one)

    said = io.StringIO()
    train(overrides=["training.processes=1"], output=run, resume=True, console=Console(file=said, soft_wrap=True))
    assert "world was 2, now 1: results are equal to rounding only" in said.getvalue()
    assert_same_to_rounding(run, one)


def test_two_resume_bit_for_bit(tmp_path: Path, of_two: Path, start: Start):
    run = cut_back(of_two, tmp_path / "run", 6)
    finish(start(run, "--resume"))
    for name, weight in weights(of_two).items():
        assert torch.equal(weights(run)[name], weight), name


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)]
)
def test_a_signal_to_all_saves_once_and_leaves_nobody(
    number: int, code: int, pairs_file: Path, tmp_path: Path, start: Start
):
    run = tmp_path / "run"
    process = start(run, "--pairs", str(pairs_file), *TINY_TRANSFORMER, *WITHOUT_END, "--processes", "2")
    partner = until_it_trains(process, run)
    os.killpg(process.pid, number)  # a terminal's Ctrl-C reaches every process
    out = finish(process, code)
    assert out.count("saved") == 1 and "--resume" in out
    assert list((run / "checkpoints").glob("step-*"))
    assert gone(partner)


def test_a_killed_partner_ends_the_run_with_a_reason(pairs_file: Path, tmp_path: Path, start: Start):
    run = tmp_path / "run"
    process = start(run, "--pairs", str(pairs_file), *TINY_TRANSFORMER, *WITHOUT_END, "--processes", "2")
    os.kill(until_it_trains(process, run), signal.SIGKILL)
    out = finish(process, 1)
    assert "process 2 of 2 was killed by signal 9" in out and "memory" in out
    assert "there is no checkpoint yet" in out


def test_a_killed_first_leaves_nobody(pairs_file: Path, tmp_path: Path, start: Start):
    run = tmp_path / "run"
    process = start(run, "--pairs", str(pairs_file), *TINY_TRANSFORMER, *WITHOUT_END, "--processes", "2")
    partner = until_it_trains(process, run)
    process.kill()
    assert gone(partner)


def test_refused_pairs_are_told_once(tmp_path: Path, start: Start):
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text("a\tb\n" * 5 + "no tab\n", encoding="utf-8")
    process = start(tmp_path / "run", "--pairs", str(pairs), *TINY_TRANSFORMER, "--steps", "9", "--processes", "2")
    out = finish(process, 2)
    assert out.count("error:") == 1 and "line 6" in out
    assert not (tmp_path / "run" / "config.yaml").exists()
