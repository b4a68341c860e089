"""How cost grows: with the length of sentences, the vocabulary, the batch and the corpus.

    python -m benchmarks.growth [--subjects training-length,decoding-batch] [--presets transformer-small,luong-2015]
                                [--seconds 1] [--threads 2] [--json FILE]

One size changes, everything else stays as it is: a vocabulary of 8,000, sentences of 16 tokens, updates of 4,096 padded
tokens a side, batches of 32 sentences, models for inference, beam 5. Each point is the median of three timings. Random
weights do not end a sentence, so an output is as long as its source. Corpora are made-up text, each prepared in a
process of its own, with BPE of 8,000 learnt from it.
"""

from henkan.cli import process

if __name__ == "__main__":
    process.prepare()  # as the command line does, before torch is imported

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.corpus import in_process
from benchmarks.decoding import decode
from benchmarks.speed import VOCABULARY, Training
from henkan.config import validate
from henkan.decode.beam import BeamOptions
from henkan.models.inference import for_inference
from henkan.recipe import RunConfig, with_preset
from henkan.settings import Layer
from henkan.tasks.survey import USUAL
from henkan.training.precision import DTYPES, choose_precision

_BOTH = {
    "length": (8, 16, 32, 64, 128, 256),
    "vocabulary": (1000, 2000, 4000, 8000, 16_000, 32_000, 64_000),
}
SIZES = {
    "training": {**_BOTH, "batch": (256, 512, 1024, 2048, 4096, 8192, 16_384)},
    "decoding": {**_BOTH, "batch": (1, 2, 4, 8, 16, 32, 64, 128)},
}
TIMES = 3


@dataclass(frozen=True)
class Curve:
    """What was measured of one thing that changes.

    Attributes:
        subject: what changes, see ``SUBJECTS``.
        points: (size, cost), sizes ascending.
    """

    subject: str
    name: str
    points: list[tuple[float, float]]


@dataclass(frozen=True)
class Subject:
    """A picture: what grows with what."""

    title: str
    across: str
    unit: str


SUBJECTS = {
    "training-length": Subject(
        "Training a sentence pair, by its length", "tokens in source and in target", "milliseconds"
    ),
    "training-vocabulary": Subject(
        "Training a sentence pair, by vocabulary", "entries of the vocabulary", "milliseconds"
    ),
    "training-batch": Subject("A training update, by its batch", "padded tokens of the update", "milliseconds"),
    "decoding-length": Subject("Decoding a sentence, by its length", "tokens in source and in output", "milliseconds"),
    "decoding-vocabulary": Subject("Decoding a sentence, by vocabulary", "entries of the vocabulary", "milliseconds"),
    "decoding-batch": Subject("Decoding a batch, by its sentences", "sentences in the batch", "milliseconds"),
    "preparing-time": Subject("Preparing a corpus: time", "pairs", "seconds"),
    "preparing-memory": Subject("Preparing a corpus: memory", "pairs", "MB above the imports"),
    "reading-time": Subject("Opened to first update: time", "pairs", "seconds"),
    "reading-memory": Subject("Reading three epochs: memory", "pairs", "MB above the imports"),
}


@dataclass(frozen=True)
class Size:
    """What one point is measured at."""

    preset: str
    length: int = 16
    vocabulary: int = VOCABULARY
    batch: int = 0  # padded tokens of an update, or sentences of a batch


def training_milliseconds(size: Size, seconds: float) -> tuple[float, float]:
    """Of a sentence pair, and of an update."""
    precision = DTYPES[choose_precision(torch.device("cpu"))[0]]
    training = Training(size.preset, size.batch, precision, size.vocabulary, size.length)
    training.run(seconds / 2)  # first calls are slow
    pairs, updates = [], []
    for _ in range(TIMES):
        before, began = training.update, time.perf_counter()
        tokens = training.run(seconds / TIMES)
        updates.append((time.perf_counter() - began) / (training.update - before))
        pairs.append((size.length + 1) / tokens)
    return 1e3 * statistics.median(pairs), 1e3 * statistics.median(updates)


def decoding_milliseconds(size: Size, seconds: float) -> tuple[float, float]:
    """Of a sentence, and of a batch."""
    given = {"preset": size.preset, "data": {"pairs": "made-up.tsv"}, "training": {"steps": 1000}}
    config = validate(RunConfig, with_preset([Layer(given, "benchmark")], USUAL)[0])
    torch.manual_seed(1)
    network = config.model.build(size.vocabulary, size.vocabulary).eval()
    model = for_inference(network, DTYPES[choose_precision(torch.device("cpu"))[0]])
    draw = np.random.default_rng(1)
    sources = draw.integers(4, size.vocabulary, (size.batch, size.length)).tolist()
    options = BeamOptions(beam=5, max_ratio=1.0, max_extra=0)
    decode(model, sources, options, size.batch)
    timings: list[float] = []
    while len(timings) < TIMES or sum(timings) < seconds:
        timings.append(decode(model, sources, options, size.batch)[0])
    batch = 1e3 * statistics.median(timings)
    return batch / size.batch, batch


def costs_of_models(subject: str, preset: str, seconds: float) -> Curve:
    """One preset at every size of a subject."""
    kind, changing = subject.split("-")
    measure: Callable[[Size, float], tuple[float, float]]
    measure, usual = (training_milliseconds, 4096) if kind == "training" else (decoding_milliseconds, 32)
    whole = changing == "batch"
    points = [
        (float(value), measure(replace(Size(preset, batch=usual), **{changing: value}), seconds)[whole])
        for value in SIZES[kind][changing]
    ]
    return Curve(subject, preset, points)


def costs_of_corpora(prepared: Sequence[int], read: Sequence[int]) -> Iterator[Curve]:
    """Time and memory, for corpora of so many pairs."""
    preparing, reading = [], []
    for pairs in prepared:
        with tempfile.TemporaryDirectory() as folder:
            preparing.append((pairs, in_process("prepare", Path(folder), pairs)))
    for pairs in read:
        with tempfile.TemporaryDirectory() as folder:
            in_process("write", Path(folder), pairs)
            reading.append((pairs, in_process("read", Path(folder), pairs)))
    yield Curve("preparing-time", "time", [(pairs, pairs / found["pairs_per_second"]) for pairs, found in preparing])
    yield Curve("preparing-memory", "memory", [(pairs, found["memory_growth_mb"]) for pairs, found in preparing])
    yield Curve("reading-time", "time", [(pairs, found["first_update_seconds"]) for pairs, found in reading])
    yield Curve("reading-memory", "memory", [(pairs, found["memory_growth_mb"]) for pairs, found in reading])


def show(curve: Curve) -> None:
    """One line for each point."""
    subject = SUBJECTS[curve.subject]
    print(f"{subject.title}, {subject.unit} by {subject.across}: {curve.name}")
    print("  ".join(f"{size:,.0f}: {cost:.4g}" for size, cost in curve.points), flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="How cost grows with size.")
    of_models = [name for name in SUBJECTS if name.startswith(("training", "decoding"))]
    parser.add_argument("--subjects", default=",".join([*of_models, "corpora"]))
    parser.add_argument("--presets", default="transformer-small,luong-2015")
    parser.add_argument("--seconds", type=float, default=0.9, help="for each point")
    parser.add_argument("--prepared", default="5000,10000,20000,40000,80000", help="pairs of text")
    parser.add_argument("--read", default="250000,500000,1000000,2000000,4000000", help="pairs of integers")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--json", type=Path, default=None, help="also write the curves there")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    print(f"torch {torch.__version__}, {options.threads} threads, load of the machine {os.getloadavg()[0]:.2f}")
    curves: list[Curve] = []
    for subject in options.subjects.split(","):
        if subject == "corpora":
            prepared, read = ([int(count) for count in words.split(",")] for words in (options.prepared, options.read))
            found = list(costs_of_corpora(prepared, read))
        else:
            found = [costs_of_models(subject, preset, options.seconds) for preset in options.presets.split(",")]
        for curve in found:
            show(curve)
        curves += found
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(curve) for curve in curves], indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
