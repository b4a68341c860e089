"""What the commands of a user cost: peak memory of training and of predicting, and the time until a first answer.

    python -m benchmarks.commands [--preset transformer-small] [--updates 150] [--rounds 5] [--json FILE]

Every command is a process of its own; its memory is the most that was resident (ru_maxrss). Texts are Multi30k's from
$HENKAN_DATA, or made up where it is not set. "start" is `henkan predict` on one sentence, beside importing torch alone
and beside doing nothing, in turn: medians of wall-clock seconds, and of paired ratios.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.corpus import write_text

PAIRS = 29_000
PREDICTED = 1000  # lines


@dataclass(frozen=True)
class Spent:
    """By one process."""

    seconds: float
    megabytes: float


def spend(*command: str) -> Spent:
    """Run it to its end; its output is kept only to be shown where it fails."""
    with tempfile.TemporaryFile() as said:
        began = time.perf_counter()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            raise SystemExit(f"{' '.join(command)}\n{said.read().decode()}")
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
    return Spent(seconds, usage.ru_maxrss * unit / 1e6)


def texts(folder: Path) -> tuple[list[str], Path]:
    """The words that name the training pairs, and a file of sources."""
    sources = folder / "sources.txt"
    corpus = Path(os.environ.get("HENKAN_DATA", "")) / "mt-multi30k-en-de"
    if "HENKAN_DATA" in os.environ and corpus.is_dir():
        with gzip.open(corpus / "test2016.en.gz", "rt", encoding="utf-8") as lines:
            sources.write_text("".join(list(lines)[:PREDICTED]), encoding="utf-8")
        return ["--source", str(corpus / "train.en.gz"), "--target", str(corpus / "train.de.gz")], sources
    pairs = folder / "pairs.tsv"
    write_text(pairs, PAIRS)
    lines = pairs.read_text(encoding="utf-8").splitlines()[:PREDICTED]
    sources.write_text("".join(line.split("\t")[0] + "\n" for line in lines), encoding="utf-8")
    return ["--pairs", str(pairs)], sources


def measure(folder: Path, preset: str, updates: int, rounds: int) -> dict[str, float]:
    """Everything, by name."""
    henkan = (sys.executable, "-m", "henkan")
    words, sources = texts(folder)
    run = str(folder / "run")
    limits = [f"training.steps={updates}", f"training.validate_every={updates}"]
    training = spend(*henkan, "train", f"preset={preset}", *words, *limits, "--output", run)
    sentence = folder / "sentence.txt"
    sentence.write_text(sources.read_text(encoding="utf-8").splitlines()[0] + "\n", encoding="utf-8")
    predicting = spend(*henkan, "predict", run, str(sources))
    starts, imports, empty = [], [], []
    for _ in range(rounds):
        empty.append(spend(sys.executable, "-c", "pass").seconds)
        imports.append(spend(sys.executable, "-c", "import torch").seconds)
        starts.append(spend(*henkan, "predict", run, str(sentence)).seconds)
    return {
        "training_mb": training.megabytes,
        "predicting_mb": predicting.megabytes,
        "python_seconds": statistics.median(empty),
        "import_torch_seconds": statistics.median(imports),
        "start_seconds": statistics.median(starts),
        "start_ratio": statistics.median(start / load for start, load in zip(starts, imports, strict=True)),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Memory of the commands, and time of start.")
    parser.add_argument("--preset", default="transformer-small")
    parser.add_argument("--updates", type=int, default=150)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, default=None, help="also write the figures there")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), options.preset, options.updates, options.rounds)
    print(f"{options.preset}, peak memory: training {found['training_mb']:,.0f} MB, ", end="")
    print(f"predicting {PREDICTED:,} lines {found['predicting_mb']:,.0f} MB")
    print(f"one sentence: {found['start_seconds']:.2f} s, {found['start_ratio']:.2f} times importing torch ", end="")
    print(f"({found['import_torch_seconds']:.2f} s; an empty Python {found['python_seconds']:.2f} s)")
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
