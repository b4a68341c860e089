"""Two workers of a local Ray train what two processes of torchrun train; a lost worker is replaced.

Skipped where Ray is not installed: it is large, and not among the development tools (`pip install 'henkan[ray]'`).
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from henkan import on_ray
from henkan.errors import ConfigError
from henkan.folder import load_weights
from toys import TINY_TRANSFORMER

# Without Adam, which divides each gradient by its size: that of a key's bias is zero but for rounding.
SETTINGS = [*TINY_TRANSFORMER, "training.optimiser={kind: sgd, learning_rate: 0.5}", "training.checkpoint_every=5"]

# In a process of its own: Ray starts others, changes settings of this one, and warns of what pytest would raise.
SCRIPT = """
import json, sys
import ray
from henkan import HenkanError
from henkan.on_ray import train

arguments = json.loads(sys.argv[1])
# more comes here
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
try:
    train(workers=2, **arguments)
except HenkanError as error:
    print("failed:", type(error).__name__, error)
finally:
    ray.shutdown()
"""
LOSE_A_WORKER = """
import os, signal, threading, time
from pathlib import Path

def lose() -> None:
    while not list(Path(arguments["output"]).glob("checkpoints/step-*")):
        time.sleep(0.02)
    names = [(path.parent.name, path.read_text()) for path in Path("/proc").glob("[0-9]*/cmdline")]
    os.kill(int(next(number for number, name in names if name.startswith("ray::RayTrainWorker"))), signal.SIGKILL)

threading.Thread(target=lose, daemon=True).start()
"""


def on_a_local_ray(before: str = "", **arguments: object) -> str:
    """What it prints: an error of ours, by name; and the lines that Ray writes there."""
    command = [sys.executable, "-c", SCRIPT.replace("# more comes here", before), json.dumps(arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_missing_ray_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"pip install 'henkan\[ray\]'"):
        on_ray.train({"data": {"pairs": "pairs.tsv"}}, output=tmp_path / "run", workers=2)


@pytest.mark.parametrize(("wrong", "least"), [("workers", 1), ("cores", 1), ("restarts", 0)])
def test_numbers_that_are_too_small_are_refused(wrong: str, least: int, tmp_path: Path):
    with pytest.raises(ConfigError, match=f"{wrong} {least - 1}: expected at least {least}"):
        on_ray.train(output=tmp_path, **{"workers": 1, wrong: least - 1})


@pytest.mark.slow
@pytest.mark.process
def test_two_workers_train_what_two_processes_of_torchrun_train(pairs_file: Path, tmp_path: Path):
    pytest.importorskip("ray.train", reason="Ray is not installed: pip install 'henkan[ray]'")
    overrides = [*SETTINGS, "training.steps=12"]
    recipe = {"data": {"pairs": str(pairs_file)}}
    assert "failed:" not in on_a_local_ray(recipe=recipe, overrides=overrides, output=str(tmp_path / "ray"))

    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "henkan"]
    command = [*torchrun, "train", "--pairs", str(pairs_file), *overrides, "--output", str(tmp_path / "torchrun")]
    subprocess.run(command, check=True, capture_output=True, timeout=180)
    ray, other = (load_weights(tmp_path / name / "model" / "model.safetensors") for name in ("ray", "torchrun"))
    for name, weight in other.items():
        apart = (ray[name] - weight).abs().max()
        assert torch.allclose(ray[name], weight, rtol=1e-4, atol=1e-6), f"{name}: {apart} apart"


@pytest.mark.slow
@pytest.mark.process
def test_an_error_in_a_worker_is_ours(tmp_path: Path):
    pytest.importorskip("ray.train", reason="Ray is not installed: pip install 'henkan[ray]'")
    recipe = {"data": {"pairs": str(tmp_path / "none.tsv")}}
    said = on_a_local_ray(recipe=recipe, output=str(tmp_path / "run"))
    assert f"failed: DataError {tmp_path / 'none.tsv'}: no such file" in said


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="finds the worker in /proc")
def test_a_lost_worker_is_replaced_and_the_run_goes_on(pairs_file: Path, tmp_path: Path):
    pytest.importorskip("ray.train", reason="Ray is not installed: pip install 'henkan[ray]'")
    overrides = [*SETTINGS, "training.steps=600"]
    run = tmp_path / "run"
    recipe = {"data": {"pairs": str(pairs_file)}}
    said = on_a_local_ray(LOSE_A_WORKER, recipe=recipe, overrides=overrides, output=str(run), restarts=1)
    assert "failed:" not in said
    events = [json.loads(line)["event"] for line in (run / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    assert "resume" in events
    assert (run / "model" / "manifest.json").exists()
