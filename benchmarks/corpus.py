"""Large corpora: speed of preparation and of planning, time to the first update, and memory.

    python benchmarks/corpus.py [--lines 1000000] [--pairs 20000000] [--folder /tmp]

Everything is made up and is removed at the end; 20 million pairs take 2 GB on the disk. Each step is a process of its
own, which says how far its memory rose above what it had when its imports were done (Linux: VmHWM, which counts mapped
pages of files too) and how long it took. One line of JSON for each:

prepare    as `henkan train` does: hold a validation part out, learn 8,000 subwords, encode a text of ``--lines`` pairs
write      ``--pairs`` pairs of integers straight into shards, to have something to read
read       what training does with them: open, plan, fetch the first update; plan an epoch; fetch from every window
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

BEGAN = time.perf_counter()

import numpy as np
import torch

from henkan.data.collate import collate_pairs
from henkan.data.corpus import SHARD, Corpus, shard_folder, write_summary
from henkan.data.example import Example
from henkan.data.plan import Plan, Shards
from henkan.data.shards import ShardWriter
from henkan.objectives.cross_entropy import CrossEntropy
from henkan.tasks.preparation import DataConfig, VocabularyConfig, prepare
from henkan.training.options import TrainingConfig
from henkan.training.session import fingerprint
from henkan.training.update import fetch

IMPORTED = time.perf_counter()
VOCABULARY = 8000
STEPS = ("prepare", "write", "read")


class Reading:
    """A task of integers that are there already."""

    def __init__(self, corpus: Corpus) -> None:
        self.corpus = corpus
        self.objective = CrossEntropy(0.1)

    def lengths(self, split: str) -> Shards:
        return self.corpus.lengths

    def example(self, split: str, index: int, rng: np.random.Generator) -> Example:
        return self.corpus.example(index)

    def place(self, split: str, index: int) -> str:
        return str(self.corpus.line(index))

    def collate(self, examples: list[Example]) -> Any:
        return collate_pairs(examples)

    def evaluate(self, model: Any, split: str) -> dict[str, float]:
        return {}


def peak_memory() -> float:
    """The most this process has had, in MB."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024 / 1e6


def write_text(path: Path, pairs: int) -> None:
    """Sentences of made-up words whose frequencies fall as those of real ones do."""
    draw = np.random.default_rng(1)
    letters = np.array(list("etaoinshrdlucmfw"))
    words = np.array(["".join(draw.choice(letters, size)) for size in draw.integers(2, 10, 50_000)])
    frequencies = 1 / np.arange(10, len(words) + 10)
    cumulative = np.cumsum(frequencies / frequencies.sum())
    with path.open("w", encoding="utf-8") as file:
        for first in range(0, pairs, 10_000):
            lengths = lengths_of(min(10_000, pairs - first), draw)
            found = words[np.searchsorted(cumulative, draw.random(int(lengths.sum())))]
            sides = iter(np.split(found, np.cumsum(lengths.ravel())[:-1]))
            file.writelines(f"{' '.join(next(sides))}\t{' '.join(next(sides))}\n" for _ in lengths)


def lengths_of(pairs: int, draw: np.random.Generator) -> np.ndarray:
    """Source and target of each pair, (pairs, 2), as sentences and their translations have them."""
    source = np.clip(draw.lognormal(np.log(18), 0.55, pairs), 2, 120)
    target = np.clip(source * draw.lognormal(0.05, 0.18, pairs), 2, 120)
    return np.stack([source, target], 1).astype(np.uint32)


def write_shards(folder: Path, pairs: int, shard: int = SHARD) -> None:
    """A corpus of random tokens."""
    draw = np.random.default_rng(1)
    tokens = np.zeros(2, dtype=np.int64)
    folder.mkdir(parents=True)
    for number, first in enumerate(range(0, pairs, shard)):
        lengths = lengths_of(min(shard, pairs - first), draw)
        ids = [draw.integers(4, VOCABULARY, count, dtype=np.uint32) for count in lengths.sum(0).tolist()]
        with ShardWriter(shard_folder(folder, number), (VOCABULARY, VOCABULARY)) as writer:
            writer.add(range(first + 1, first + len(lengths) + 1), ids, list(lengths.T))
        tokens += lengths.sum(0, dtype=np.int64)
    source, target = tokens.tolist()
    write_summary(folder, pairs, shard, {"source": source, "target": target})


def measure_preparing(folder: Path, pairs: int) -> Iterator[tuple[str, float]]:
    """Pairs per second of each stage and of all."""
    text = folder / "text.tsv"
    write_text(text, pairs)
    stages: dict[str, float] = {}
    began = time.perf_counter()

    def progress(doing: str, done: int, total: int) -> None:
        stages[doing] = time.perf_counter() - stages.setdefault(f"{doing} began", time.perf_counter())
        stages[f"{doing} done"] = done

    prepare(DataConfig(pairs=text), VocabularyConfig(), folder / "prepared", lambda line: None, progress)
    yield "pairs_per_second", pairs / (time.perf_counter() - began)
    for doing in [name for name in stages if f"{name} began" in stages]:
        yield f"{doing}, pairs_per_second", stages[f"{doing} done"] / max(stages[doing], 1e-9)


def measure_writing(folder: Path, pairs: int) -> Iterator[tuple[str, float]]:
    """Pairs per second into shards."""
    began = time.perf_counter()
    write_shards(folder / "corpus", pairs)
    yield "pairs_per_second", pairs / (time.perf_counter() - began)
    yield "bytes_per_pair", sum(path.stat().st_size for path in folder.rglob("*.npy")) / pairs


def measure_reading(folder: Path, pairs: int) -> Iterator[tuple[str, float]]:
    """Seconds to the first update, pairs per second of planning and of fetching; goes through every window."""
    began = time.perf_counter()
    corpus = Corpus.open(folder / "corpus")
    task = Reading(corpus)
    options = TrainingConfig(steps=1000, batch_tokens=4096)
    plan = Plan(task.lengths("train"), options.seed, options.batch_tokens)
    fingerprint(task.lengths("train"))
    next(fetch(task, plan, options, 0, 0, 0, torch.device("cpu")))
    yield "imports_seconds", IMPORTED - BEGAN
    yield "first_update_seconds", time.perf_counter() - began

    began = time.perf_counter()
    updates = sum(plan.updates(0, window) for window in range(plan.windows))
    yield "planned_pairs_per_second", len(corpus) / (time.perf_counter() - began)
    yield "updates", updates
    yield "windows", plan.windows

    began, fetched = time.perf_counter(), 0
    for epoch in range(3):
        for window in range(plan.windows):
            works = fetch(task, plan, options, epoch, window, 0, torch.device("cpu"))
            fetched += sum(len(next(works).indices) for _ in range(min(plan.updates(epoch, window), 100)))
    yield "fetched_pairs_per_second", fetched / (time.perf_counter() - began)


def step(name: str, folder: Path, pairs: int) -> dict[str, float]:
    """One step, here."""
    torch.set_num_threads(1)
    measures = {"prepare": measure_preparing, "write": measure_writing, "read": measure_reading}
    at_first = peak_memory()
    found = dict(measures[name](folder, pairs))
    return {"pairs": pairs, **found, "memory_before_mb": at_first, "memory_growth_mb": peak_memory() - at_first}


def in_process(name: str, folder: Path, pairs: int) -> dict[str, float]:
    """One step, in a process of its own."""
    command = [sys.executable, __file__, "--step", name, "--folder", str(folder), "--pairs", str(pairs)]
    began = time.perf_counter()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return {**json.loads(done.stdout), "seconds": time.perf_counter() - began}


def main(arguments: Iterable[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Preparation, planning and memory of large corpora.")
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--pairs", type=int, default=20_000_000)
    parser.add_argument("--folder", type=Path, default=None, help="where there is room")
    parser.add_argument("--step", choices=STEPS, help="do this one here, in FOLDER")
    options = parser.parse_args(None if arguments is None else list(arguments))
    if options.step:
        print(json.dumps(step(options.step, options.folder, options.pairs)))
        return
    folder = Path(tempfile.mkdtemp(dir=options.folder))
    try:
        for name in STEPS:
            pairs = options.lines if name == "prepare" else options.pairs
            found = in_process(name, folder, pairs)
            print(json.dumps({"step": name} | {key: round(value, 2) for key, value in found.items()}), flush=True)
            if name == "prepare":
                shutil.rmtree(folder / "prepared")
                (folder / "text.tsv").unlink()
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
