"""Henkan beside its peers: ``make bench-peers PEERS_DIR=FOLDER``. See README.md beside this file.

    python -m benchmarks.peers.compare --peers FOLDER --output FOLDER [--quick] [--models A,B] [--only decoding]
        [--corpus FOLDER] [--model-a FOLDER] [--model-b FOLDER] [--rounds 5] [--seconds 10]

Peers that are not installed are left out. Prints what it does and one table, and writes both to the output folder:
report.md, results.json.
"""

from henkan.cli import process

if __name__ == "__main__":
    process.prepare()  # as the command line does, before torch is imported

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch

from benchmarks.speed import matmul_rate, training_flops
from henkan.model import load
from henkan.training.precision import DTYPES, choose_precision

from . import decoding, training, workload
from .results import Comparison, spread, table

PRESETS = {"A": "transformer-small", "B": "luong-2015"}


def main(arguments: list[str] | None = None) -> None:
    given = read_arguments(arguments)
    rounds = given.rounds or (3 if given.quick else 5)
    seconds = given.seconds or (5.0 if given.quick else 10.0)
    output = (given.output / time.strftime("%Y-%m-%d_%H%M%S")).absolute()
    output.mkdir(parents=True)
    told: list[str] = []

    def say(text: str) -> None:
        told.append(text)
        print(text, flush=True)

    threads = os.cpu_count() or 1
    torch.set_num_threads(threads)
    say(f"{processor()}, {threads} processors, Python {platform.python_version()}, torch {torch.__version__}")
    say(f"load of the machine before: {os.getloadavg()[0]:.2f}")
    peers = given.peers.absolute()
    python = {
        name: peers / name / "bin" / "python"
        for name in ("opennmt", "eole", "joeynmt", "ctranslate2")
        if name not in given.without.split(",") and (peers / name / "bin" / "python").exists()
    }
    say(f"peers: {', '.join(python) or 'none is installed'}")
    work = peers / "workload"
    workload.make(given.corpus, work)

    comparisons: list[Comparison] = []
    shares: dict[str, list[float]] = {}
    for name in given.models.split(","):
        folder = {"A": given.model_a, "B": given.model_b}[name] or trained(name, work, peers, given.budget, say)
        if "training" in given.only:
            trainings = training.prepared(name, work, output, python, given.tokens)
            flops = training_flops(load(folder).network)
            found, shares[name] = training.compare(name, trainings, rounds, seconds, threads, flops, say)
            comparisons += found
        if "decoding" in given.only:
            common = (rounds, threads, say)
            if name == "A" and "ctranslate2" in python:
                measured = decoding.settings(given.quick)
                comparisons += decoding.compare_ctranslate2(
                    folder, work, output, python["ctranslate2"], measured, *common, given.precision
                )
            if name == "B" and "opennmt" in python:
                comparisons += decoding.compare_opennmt(folder, work, output, python["opennmt"], *common)
    finish(output, comparisons, shares, told, say)


def read_arguments(arguments: list[str] | None) -> argparse.Namespace:
    """What the command line says."""
    corpus = Path(os.environ.get("HENKAN_DATA", "data")) / "mt-multi30k-en-de"
    parser = argparse.ArgumentParser(description="Henkan beside its peers.")
    parser.add_argument("--peers", type=Path, required=True, help="where setup.sh put them; gets the workload too")
    parser.add_argument("--output", type=Path, required=True, help="gets a folder for each run; not in the repository")
    parser.add_argument("--corpus", type=Path, default=corpus, help="train, val, test2016 as .en.gz and .de.gz")
    parser.add_argument("--model-a", type=Path, help="a trained transformer-small for decoding; default: train one")
    parser.add_argument("--model-b", type=Path, help="a trained luong-2015 for decoding; default: train one")
    parser.add_argument("--budget", default="120s", help="for training those, once")
    parser.add_argument("--models", default="A,B")
    parser.add_argument("--only", default="training,decoding")
    parser.add_argument("--without", default="", help="peers to leave out: opennmt,eole,joeynmt,ctranslate2")
    parser.add_argument("--precision", default="auto", help="of Henkan when decoding A: auto, fp32, bf16 or int8")
    parser.add_argument("--tokens", type=int, default=4000, help="real target tokens of an update, about")
    parser.add_argument("--quick", action="store_true", help="3 rounds of 5 seconds, 250 sentences")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float)
    return parser.parse_args(arguments)


def trained(name: str, work: Path, peers: Path, budget: str, say: Callable[[str], None]) -> Path:
    """A Henkan model of the shared workload, made once and kept beside the peers."""
    run = peers / "models" / f"{PRESETS[name]}_{budget}"
    if not (run / "model").exists():
        say(f"training {PRESETS[name]} for {budget}, for decoding")
        raw = work / "raw"
        command = [sys.executable, "-m", "henkan", "train", "--preset", PRESETS[name], "--size", "small"]
        command += ["--budget", budget, "--output", str(run)]
        command += ["--source", str(raw / "train.en"), "--target", str(raw / "train.de")]
        decoding.run([*command, "--valid-source", str(raw / "val.en"), "--valid-target", str(raw / "val.de")])
    return run / "model"


def processor() -> str:
    """Its name, where the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), platform.processor())


def finish(
    output: Path,
    comparisons: list[Comparison],
    shares: dict[str, list[float]],
    told: list[str],
    say: Callable[[str], None],
) -> None:
    """The table, printed and written."""
    product = choose_precision(torch.device("cpu"))[0]
    say(f"{product} matmul 2048^3 at the end: {matmul_rate(DTYPES[product]):,.0f} GFLOP/s")
    for name, share in shares.items():
        say(f"training {name}, share of the {product} matmul rate in the same round: {spread(share)}")
    say("\n" + table(comparisons))
    (output / "report.md").write_text("\n".join(told) + "\n", encoding="utf-8")
    found = {
        "machine": told[0],
        "matmul_shares": shares,
        "comparisons": [{**asdict(each), "ratios": each.ratios} for each in comparisons],
    }
    (output / "results.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"written to {output}")


if __name__ == "__main__":
    main()
