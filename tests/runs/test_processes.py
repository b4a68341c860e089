"""Two processes through torchrun train the same model as one, and one goes on where two stopped."""

import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from cut_runs import assert_same_to_rounding, cut_back
from henkan.run import train
from toys import TINY_TRANSFORMER

# Without dropout, whose masks differ from rank to rank. Without Adam, which divides each gradient by its size: that of
# a key's bias is zero but for rounding, and Adam makes whole steps of it.
SETTINGS = [
    *TINY_TRANSFORMER,
    "model.encoder.dropout=0",
    "model.decoder.dropout=0",
    "training.optimiser={kind: sgd, learning_rate: 0.5}",
    "training.checkpoint_every=5",
    "training.keep=9",
    "training.steps=12",
]


@pytest.mark.process
def test_two_ranks_train_what_one_trains_and_one_goes_on(pairs_file: Path, tmp_path: Path):
    one, two = tmp_path / "one", tmp_path / "two"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "henkan"]
    command += ["train", "--pairs", str(pairs_file), *SETTINGS, "--output", str(two)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=180)
    assert done.returncode == 0, done.stdout
    alone = ["training.processes=1"]
    train({"data": {"pairs": str(pairs_file)}}, [*SETTINGS, *alone], output=one, console=Console(quiet=True))
    assert_same_to_rounding(two, one)

    resumed = cut_back(two, tmp_path / "resumed", 5)
    train(overrides=alone, output=resumed, resume=True, console=Console(quiet=True))
    assert_same_to_rounding(resumed, one)
