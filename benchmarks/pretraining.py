"""Where the time of pre-training goes: each family's updates, as a share of what this machine multiplies.

    python -m benchmarks.pretraining --text FILE --work FOLDER [--families bert,gpt2,t5,bart] [--threads 1] [--profile]
        [OVERRIDES ...]

Everything of an update is in the time: noise and collation in a thread of its own as in a run, forward, backward,
gradient norm, optimiser. Tokens are real ones, as a run counts them. ``--work`` keeps prepared texts. Overrides are
those of ``henkan train``: ``vocabulary.kind=char``.
"""

from henkan.cli import process

if __name__ == "__main__":
    process.prepare()  # as the command line does, before torch is imported

import argparse
import hashlib
import os
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from henkan.data.loader import prefetch
from henkan.data.plan import Plan
from henkan.objectives.base import Learner
from henkan.recipe import read_recipe
from henkan.recipe.pretraining import PretrainingRecipe
from henkan.settings import Layer, parse_overrides
from henkan.tasks.pretraining import Pretraining
from henkan.training.precision import DTYPES, choose_precision
from henkan.training.schedule import Moment
from henkan.training.update import Updater, fetch

from .speed import matmul_rate


class Run:
    """One family over one text, ready to do updates."""

    def __init__(self, family: str, text: Path, work: Path, overrides: list[str]) -> None:
        said: dict[str, Any] = {"task": "pretraining", "preset": family, "data": {"text": str(text)}}
        said["training"] = {"steps": 1000}
        layers = PretrainingRecipe.settle([Layer(said, "benchmark"), parse_overrides(overrides)])[0]
        self.config = read_recipe(layers)
        assert isinstance(self.config, PretrainingRecipe)
        name = hashlib.sha256(repr((self.config.data, self.config.vocabulary)).encode()).hexdigest()[:8]
        material = self.config.prepare(work / f"{family}-{name}", print, lambda doing, done, total: None)
        torch.manual_seed(1)
        self.model = material.network(print)
        self.task = material.task()
        assert isinstance(self.task, Pretraining)
        options, device = self.config.training, torch.device("cpu")
        self.precision = options.precision if options.precision != "auto" else choose_precision(device)[0]
        learner = Learner(self.model, self.task.objective).train()
        self.updater = Updater(learner, options, DTYPES[self.precision], device, str)
        self.plan = Plan(self.task.lengths("train"), options.seed, options.batch_tokens)
        self.works = prefetch(self.fetched())
        self.update = 0

    def fetched(self):
        """Updates from the first one on, as they are made."""
        return fetch(self.task, self.plan, self.config.training, 0, 0, 0, torch.device("cpu"))

    def learn(self) -> int:
        """One update; its real tokens."""
        work = next(self.works)
        self.updater.learn(work, Moment(self.update, 0.3, 1.0))
        self.update += 1
        return work.tokens

    def run(self, seconds: float) -> float:
        """Updates for about so long, the next ones being fetched meanwhile; real tokens per second."""
        tokens, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            tokens += self.learn()
        return tokens / (time.perf_counter() - began)

    def fetching(self, updates: int = 20) -> float:
        """Seconds that noise and collation of an update take."""
        works = self.fetched()
        began = time.perf_counter()
        for _ in range(updates):
            next(works)
        return (time.perf_counter() - began) / updates


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Where the time of pre-training goes.")
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--families", default="bert,gpt2,t5,bart")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--profile", action="store_true", help="also print where torch spends it")
    parser.add_argument("overrides", nargs="*")
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    for family in given.families.split(","):
        run = Run(family, given.text, given.work, given.overrides)
        run.run(given.seconds / 2)
        speeds, rates = [], []
        for _ in range(given.rounds):
            rates.append(matmul_rate(DTYPES[run.precision]))
            speeds.append(run.run(given.seconds))
        speed = statistics.median(speeds)
        fetching = run.fetching()
        print(f"{family}: {speed:,.0f} tokens/s in {run.precision}, {min(speeds):,.0f} to {max(speeds):,.0f}")
        print(f"  matmul 2048^3 {statistics.median(rates):,.0f} GFLOP/s; noise and collation {fetching * 1e3:.1f} ms")
        if given.profile:
            print(profiled(run))


def profiled(run: Run, updates: int = 5) -> str:
    """Torch's own table of so many updates, by operation; products with their share of all operations' time."""
    with profile(activities=[ProfilerActivity.CPU], with_flops=True) as found:
        began = time.perf_counter()
        for _ in range(updates):
            run.learn()
        took = time.perf_counter() - began
    events = found.key_averages()
    flops = sum(event.flops for event in events)
    table = events.table(sort_by="self_cpu_time_total", row_limit=30, max_name_column_width=50)
    return f"{took / updates * 1e3:.0f} ms an update, products {flops / took / 1e9:,.0f} GFLOP/s\n{table}"


if __name__ == "__main__":
    main()
