"""Training speed: Henkan beside the peers, in slices that alternate.

Every toolkit is started once with the shared workload and warmed up; then each runs for some seconds while the others
are stopped, round after round. A slice ends with an update. Real target tokens a second, the end mark counted:
fetching, padding, forward, backward, optimiser and reports are inside, and starting is not.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from benchmarks.speed import matmul_rate
from henkan.training.precision import DTYPES, choose_precision

from . import toolkits
from .processes import Program
from .results import Comparison, Series

PATIENCE = 120.0
"""Seconds in which a toolkit must report an update."""


def prepared(
    model: str, workload: Path, output: Path, python: Mapping[str, Path], tokens: int
) -> list[toolkits.Training]:
    """Henkan first, then the peers in ``python``, by their interpreters; configurations are written to ``output``."""

    def place(name: str) -> Path:
        folder = output / f"{name}_{model}"
        folder.mkdir(parents=True)
        return folder

    found = [toolkits.henkan(model, workload, place("henkan"), tokens)]
    if "opennmt" in python:
        found.append(toolkits.opennmt(model, workload, place("opennmt"), tokens, python["opennmt"]))
    if "eole" in python and model == "A":
        for precision in ("fp32", "bf16"):
            found.append(toolkits.eole(model, workload, place(f"eole_{precision}"), tokens, python["eole"], precision))
    if "joeynmt" in python:
        found.append(toolkits.joeynmt(model, workload, place("joeynmt"), tokens, python["joeynmt"]))
    return found


def compare(
    model: str,
    trainings: list[toolkits.Training],
    rounds: int,
    seconds: float,
    threads: int,
    flops: float,
    say: Callable[[str], None],
) -> tuple[list[Comparison], Series]:
    """Alternate them.

    Args:
        trainings: Henkan first.
        rounds: how often each runs.
        seconds: how long a slice is, at least.
        threads: of each toolkit; Henkan chooses by itself within the same processors.
        flops: operations of a target token of this model.

    Returns:
        Henkan against each peer, and its share of the matmul rate in each round.
    """
    product = DTYPES[choose_precision(torch.device("cpu"))[0]]
    speeds: list[Series] = [[] for _ in trainings]
    shares: Series = []
    with contextlib.ExitStack() as stack:
        programs, readers = [], []
        for training in trainings:
            environment = {"PYTHONUNBUFFERED": "1"}
            if training is not trainings[0]:
                environment["OMP_NUM_THREADS"] = str(threads)
            folder = training.log.parent if training.log.name == "output.txt" else training.log.parents[1]
            program = stack.enter_context(Program(training.command, folder / "output.txt", training.log, environment))
            reader = training.tokens_of()
            program.run(seconds / 2, reader, PATIENCE)
            say(f"training {model}: {training.name} is warm")
            programs.append(program)
            readers.append(reader)
        for number in range(rounds):
            rate = matmul_rate(product)
            for program, reader, speed in zip(programs, readers, speeds, strict=True):
                tokens, took = program.run(seconds, reader, PATIENCE)
                speed.append(tokens / took)
            shares.append(speeds[0][-1] * flops / (rate * 1e9))
            told = ", ".join(f"{each.name} {speed[-1]:,.0f}" for each, speed in zip(trainings, speeds, strict=True))
            say(f"training {model}, round {number + 1}: {told}; load {os.getloadavg()[0]:.1f}")
        memory = [program.peak_memory() for program in programs]
    return [
        Comparison(f"training {model}", training.name, "target tokens/s", speeds[0], speed, memory[0], own)
        for training, speed, own in zip(trainings[1:], speeds[1:], memory[1:], strict=True)
    ], shares
