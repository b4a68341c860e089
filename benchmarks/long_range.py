"""Which cells learn the adding problem (Hochreiter & Schmidhuber 1997), and at which lengths.

Every cell has the same width, the same sequences and the same budget: seconds of training, or updates. Adam, global
norm clipped at 1. Errors are mean squared errors on sequences that are never trained on; always answering 1 gives
0.167, and a cell counts as having learnt the task when its error falls below a tenth of that.

    python benchmarks/long_range.py [--lengths 100,200,400] [--cells rnn,lstm] [--seconds 60 | --updates 2000]
                                    [--seeds 1,2,3] [--size 100] [--rows 50] [--output long-range.json]
"""

from henkan.cli import process

if __name__ == "__main__":
    process.prepare()  # as the command line does, before torch is imported

import argparse
import json
import os
import platform
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from henkan.inspection.cells import CELLS, build_cell
from henkan.inspection.long_range import Adding, LongRangeNetwork

USUAL = "rnn,relu-rnn,lstm-1997,lstm,lstm-peephole,lstm-coupled,lstm-layer-norm,gru,gru-reset-after,min-gru"
TEST_ROWS = 1000
LOOKS = 20  # how often a training is tested, evenly over its budget
TEST_SEED = 1 << 40  # far from every seed of training


@dataclass(frozen=True)
class Budget:
    """How long one training may take; one of the two is None."""

    seconds: float | None
    updates: int | None

    def spent(self, seconds: float, updates: int) -> float:
        """The share of it that is gone."""
        return updates / self.updates if self.updates else seconds / (self.seconds or 1.0)


@dataclass
class Training:
    """One cell at one length from one seed."""

    cell: str
    length: int
    seed: int
    parameters: int
    error: float  # at the end
    updates: int
    seconds: float  # of training alone
    learnt_seconds: float | None  # None: never
    learnt_updates: int | None
    curve: list[tuple[int, float, float]]  # updates, seconds, error


def train(name: str, length: int, seed: int, size: int, rows: int, rate: float, budget: Budget) -> Training:
    """Until the budget is spent; testing takes none of it."""
    task = Adding(length)
    torch.manual_seed(seed)
    network = LongRangeNetwork(build_cell(name, task.inputs, size), task)
    parameters = list(network.parameters())
    optimiser = torch.optim.Adam(parameters, rate)
    draws = torch.Generator().manual_seed(seed)  # the same sequences for every cell
    test = task.draw(TEST_ROWS, torch.Generator().manual_seed(TEST_SEED + length))
    updates, seconds, curve = 0, 0.0, []
    learnt: tuple[int, float] | None = None
    while True:
        if budget.spent(seconds, updates) >= len(curve) / LOOKS:
            with torch.no_grad():
                error = task.losses(network(test.inputs), test).mean().item()
            curve.append((updates, round(seconds, 2), error))
            if learnt is None and error < task.baseline / 10:
                learnt = (updates, seconds)
        if budget.spent(seconds, updates) >= 1:
            break
        began = time.perf_counter()
        sequences = task.draw(rows, draws)
        loss = task.losses(network(sequences.inputs), sequences).mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        seconds += time.perf_counter() - began
        updates += 1
    count = sum(parameter.numel() for parameter in parameters)
    learnt_updates, learnt_seconds = learnt or (None, None)
    return Training(name, length, seed, count, curve[-1][2], updates, seconds, learnt_seconds, learnt_updates, curve)


def row(trainings: list[Training]) -> str:
    """Of one cell at one length, over all seeds."""
    first = trainings[0]
    errors = [training.error for training in trainings]
    learnt = [training for training in trainings if training.learnt_updates is not None]
    updates = statistics.median(training.learnt_updates or 0 for training in learnt) if learnt else None
    seconds = statistics.median(training.learnt_seconds or 0.0 for training in learnt) if learnt else None
    rate = sum(training.updates for training in trainings) / sum(training.seconds for training in trainings)
    return (
        f"{first.length:6}  {first.cell:20}{first.parameters:10,}{rate:10.1f}"
        f"{statistics.mean(errors):10.4f}  {min(errors):7.4f} to {max(errors):7.4f}"
        f"{len(learnt):6} of {len(trainings)}"
        f"{'–' if updates is None else f'{updates:,.0f}':>10}{'–' if seconds is None else f'{seconds:.0f} s':>8}"
    )


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Which cells learn the adding problem.")
    parser.add_argument("--lengths", default="100,200,400")
    parser.add_argument("--cells", default=USUAL, help=f"of {', '.join(CELLS)}")
    parser.add_argument("--seconds", type=float, default=60.0, help="of training, each cell, length and seed")
    parser.add_argument("--updates", type=int, default=None, help="instead of seconds")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--size", type=int, default=100)
    parser.add_argument("--rows", type=int, default=50)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--output", type=Path, default=None, help="write everything there as JSON")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    budget = Budget(None if options.updates else options.seconds, options.updates)
    each = f"{budget.updates:,} updates" if budget.updates else f"{budget.seconds:g} s"
    print(f"torch {torch.__version__}, {options.threads} threads; cells of {options.size}, batches of {options.rows},")
    print(f"Adam {options.rate:g}, clip 1, {each} each; always answering 1: {Adding(2).baseline:.4f}")
    head = f"{'length':>6}  {'cell':20}{'weights':>10}{'updates/s':>10}{'error':>10}  {'lowest to highest':>18}"
    print(f"{head}{'learnt':>10}{'updates':>10}{'after':>8}")
    done: list[Training] = []
    for length in map(int, options.lengths.split(",")):
        for name in options.cells.split(","):
            trainings = [
                train(name, length, int(seed), options.size, options.rows, options.rate, budget)
                for seed in options.seeds.split(",")
            ]
            print(row(trainings), flush=True)
            done += trainings
            if options.output is not None:  # after every row: a long benchmark may be stopped
                facts = {"torch": torch.__version__, "machine": platform.processor() or platform.machine()}
                settings = {key: str(value) for key, value in vars(options).items()}
                told = {**facts, "settings": settings, "trainings": [asdict(training) for training in done]}
                options.output.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
