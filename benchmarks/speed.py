"""Training speed of the presets, as a share of what this machine multiplies.

Both are measured in one process, alternating: absolute figures drift with the machine, ratios do not.

    python benchmarks/speed.py [--presets transformer-small,luong-2015] [--rounds 5] [--threads 2] [--json FILE]

The corpus is made up: sentence lengths follow Multi30k (English to German, joint 8,000 subwords: 14.3 source and 15.8
target tokens on average), tokens are drawn at random. Everything of an update is in the time: fetching, forward,
backward, gradient norm, optimiser. Tokens are real target tokens, padding excluded.
"""

from henkan.cli import process

if __name__ == "__main__":
    process.prepare()  # as the command line does, before torch is imported

import argparse
import json
import os
import statistics
import time
from pathlib import Path

import numpy as np
import torch

from henkan.config import validate
from henkan.data.collate import collate_pairs
from henkan.data.example import Example
from henkan.data.plan import Lengths, Plan
from henkan.objectives.base import Learner
from henkan.objectives.cross_entropy import CrossEntropy
from henkan.recipe import RunConfig, with_preset
from henkan.settings import Layer
from henkan.tasks.survey import USUAL
from henkan.training.precision import DTYPES, choose_precision
from henkan.training.schedule import Moment
from henkan.training.update import Updater, fetch

VOCABULARY = 8000
PAIRS = 20_000


class MadeUpTask:
    """Pairs of random tokens with the lengths of Multi30k, or all of one length."""

    def __init__(self, vocabulary: int = VOCABULARY, length: int | None = None) -> None:
        draw = np.random.default_rng(1)
        if length is None:
            source = np.clip(draw.gamma(8.6, 13.3 / 8.6, PAIRS).round(), 3, 60).astype(np.int32)
            target = np.clip((source * draw.normal(1.11, 0.17, PAIRS)).round(), 3, 60).astype(np.int32)
        else:
            source = target = np.full(PAIRS, length, dtype=np.int32)
        self.tokens = draw.integers(4, vocabulary, max(64, length or 0), dtype=np.int32)
        self.shapes = Lengths(source + 1, target + 1)
        self.objective = CrossEntropy(0.1)

    def lengths(self, split: str) -> list[Lengths]:
        return [self.shapes]

    def example(self, split: str, index: int, rng: np.random.Generator) -> Example:
        source, target = int(self.shapes.source[index]) - 1, int(self.shapes.target[index]) - 1
        return Example(index, self.tokens[:source], self.tokens[:target])

    def collate(self, examples: list[Example]):
        return collate_pairs(examples)

    def evaluate(self, model: object, split: str) -> dict[str, float]:
        return {}


class Training:
    """One preset, ready to do updates."""

    def __init__(
        self,
        preset: str,
        batch_tokens: int | None,
        precision: torch.dtype,
        vocabulary: int = VOCABULARY,
        length: int | None = None,
    ) -> None:
        given = {"preset": preset, "data": {"pairs": "made-up.tsv"}, "training": {"steps": 1000}}
        config = validate(RunConfig, with_preset([Layer(given, "benchmark")], USUAL)[0])
        if batch_tokens:
            config = config.model_copy(
                update={"training": config.training.model_copy(update={"batch_tokens": batch_tokens})}
            )
        task = MadeUpTask(vocabulary, length)
        torch.manual_seed(1)
        self.model = config.model.build(vocabulary, vocabulary)
        device = torch.device("cpu")
        self.updater = Updater(Learner(self.model, task.objective).train(), config.training, precision, device, str)
        plan = Plan(task.lengths("train"), 1, config.training.batch_tokens)
        self.works = fetch(task, plan, config.training, 0, 0, 0, device)
        self.update = 0

    def run(self, seconds: float) -> float:
        """Updates for about so long; real target tokens per second."""
        tokens, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            work = next(self.works)
            self.updater.learn(work, Moment(self.update, 0.3, 1.0))
            self.update += 1
            tokens += work.tokens
        return tokens / (time.perf_counter() - began)


def matmul_rate(dtype: torch.dtype, size: int = 2048, times: int = 20) -> float:
    """The best of so many square products, in GFLOP/s."""
    left, right = torch.randn(size, size).to(dtype), torch.randn(size, size).to(dtype)
    best = min(_timed(lambda: left @ right) for _ in range(times))
    return 2 * size**3 / best / 1e9


def _timed(work) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def training_flops(model: torch.nn.Module) -> float:
    """Operations for a target token and its share of source tokens: six for each weight that multiplies it.

    Two for a multiplication with its addition, and as many again for each of the two gradients. Embedding look-ups
    multiply nothing; attention products, a few per cent at these lengths, are left out.
    """
    ratio = 14.3 / 15.8
    total = 0.0
    for name, parameter in model.named_parameters():
        if parameter.dim() < 2 or (name.endswith("embedding.weight") and parameter is not model.head.weight):
            continue
        is_source = name.startswith("encoder.") and parameter is not model.head.weight
        total += 6 * parameter.numel() * (ratio if is_source else 1.0)
    return total


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Training speed of presets.")
    parser.add_argument("--presets", default="transformer-small,luong-2015,bahdanau-2015,seq2seq-2014")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--batch-tokens", type=int, default=None)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--json", type=Path, default=None, help="also write the rows there")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    precision, why = choose_precision(torch.device("cpu"))
    dtype = DTYPES[precision]
    print(f"torch {torch.__version__}, {options.threads} threads, {precision}: {why}")
    print(f"load of the machine before: {os.getloadavg()[0]:.2f}")
    trainings = {name: Training(name, options.batch_tokens, dtype) for name in options.presets.split(",")}
    for training in trainings.values():
        training.run(options.seconds / 2)  # first calls are slow
    speeds: dict[str, list[float]] = {name: [] for name in trainings}
    shares: dict[str, list[float]] = {name: [] for name in trainings}
    rates = []
    for _ in range(options.rounds):
        for name, training in trainings.items():
            rate = matmul_rate(dtype)
            speed = training.run(options.seconds)
            rates.append(rate)
            speeds[name].append(speed)
            shares[name].append(speed * training_flops(training.model) / (rate * 1e9))
    print(f"matmul 2048^3: median {statistics.median(rates):,.0f} GFLOP/s, {min(rates):,.0f} to {max(rates):,.0f}")
    print(f"{'preset':20} {'target tokens/s':>16} {'MFLOP/token':>12} {'share of matmul':>16}   lowest to highest")
    rows = []
    for name, training in trainings.items():
        speed, low, high = statistics.median(speeds[name]), min(speeds[name]), max(speeds[name])
        share, operations = statistics.median(shares[name]), training_flops(training.model) / 1e6
        print(f"{name:20} {speed:16,.0f} {operations:12.1f} {share:16.1%}   {low:,.0f} to {high:,.0f}")
        row = {"preset": name, "threads": options.threads, "precision": precision, "tokens_per_second": speed}
        rows.append(row | {"lowest": low, "highest": high, "share_of_matmul": share})
    if options.json is not None:
        options.json.write_text(json.dumps({"matmul_gflops": statistics.median(rates), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
