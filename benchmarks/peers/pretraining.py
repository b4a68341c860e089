"""Pre-training a small BERT: ``henkan train`` beside ``transformers.Trainer``, one workload in one run.

    python -m benchmarks.peers.pretraining --peers FOLDER --output FOLDER [--threads 1] [--quick]

Preset ``bert`` (mini: 4 layers, width 256): hidden tokens and whether a sentence follows, examples of 128 tokens at
most, batches of 4,096 padded ones. Texts are cut, tokenised and paired once, by Henkan; both sides read those integers.
"""

from henkan.cli import process

if __name__ == "__main__":
    process.prepare()  # as the command line does, before torch is imported

import argparse
import json
import os
import platform
import re
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from henkan.config import dump
from henkan.data.documents import Documents
from henkan.folder import write_texts
from henkan.nn.masked_head import MaskedHead
from henkan.recipe import read_recipe
from henkan.recipe.pretraining import PretrainingRecipe
from henkan.settings import Layer
from henkan.tasks.pretraining import MaskedPairs, paired
from henkan.text.tokenizer import Tokenizer

from . import training
from .compare import finish, processor
from .toolkits import ENDLESS, HenkanEvents, Training

LENGTH = 128
"""Tokens of an example, marks included."""

ROWS = 32
"""Examples of an update."""

SETTINGS = (("fp32", "sdpa"), ("bf16", "sdpa"), ("fp32", "eager"), ("bf16", "eager"))
"""Precision and attention of the Trainer; the first is what it does unless told otherwise."""


def main(arguments: list[str] | None = None) -> None:
    given = read_arguments(arguments)
    output = (given.output / time.strftime("%Y-%m-%d_%H%M%S_pretraining")).absolute()
    output.mkdir(parents=True)
    told: list[str] = []

    def say(text: str) -> None:
        told.append(text)
        print(text, flush=True)

    cores = sorted(os.sched_getaffinity(0))[: given.threads]
    os.sched_setaffinity(0, cores)  # what is started inherits it
    torch.set_num_threads(len(cores))
    os.environ["OMP_NUM_THREADS"] = str(len(cores))
    say(f"{processor()}, {len(cores)} processors used, Python {platform.python_version()}, torch {torch.__version__}")
    say(f"load of the machine before: {os.getloadavg()[0]:.2f}")
    work = given.peers.absolute() / "pretraining"
    config = recipe(given.text)
    make(config, work)
    if given.only_prepare:
        return
    own = henkan(config, work, output / "henkan")
    python = given.peers.absolute() / "transformers" / "bin" / "python"
    wanted = [setting for setting in SETTINGS if "_".join(setting) in given.settings.split(",")]
    peers = [trainer(work, output, python, *setting, given.sampling) for setting in wanted]
    rounds, seconds = given.rounds or (3 if given.quick else 5), given.seconds or (5.0 if given.quick else 10.0)
    operations = flops(config)
    comparisons, shares = training.compare("BERT", [own, *peers], rounds, seconds, len(cores), operations, say)
    say(f"operations of a token: {operations / 1e6:.1f} million")
    finish(output, comparisons, {"BERT": shares}, told, say)


def recipe(text: Path) -> PretrainingRecipe:
    """What Henkan is told: the preset, without validations and checkpoints."""
    said: dict[str, Any] = {
        "task": "pretraining",
        "preset": "bert",
        "data": {"text": str(text)},
        "length": LENGTH,
        "training": {
            "steps": ENDLESS,
            "batch_tokens": ROWS * LENGTH,
            "validate_every": ENDLESS,
            "checkpoint_every": ENDLESS,
        },
    }
    config = read_recipe(PretrainingRecipe.settle([Layer(said, "benchmark")])[0])
    assert isinstance(config, PretrainingRecipe)
    return config


def make(config: PretrainingRecipe, folder: Path) -> None:
    """Write the workload into ``folder``, or leave what is there.

    prepared/             the text as Henkan keeps it
    ids.npy, segments.npy all examples, one after another, marks included; ends.npy: (examples + 1,)
    next.npy              1 where the second half of an example is from elsewhere
    tokenizer.json, facts.json
    """
    config.prepare(folder / "prepared", print, lambda doing, done, total: None)
    if (folder / "facts.json").exists():
        return
    tokenizer = Tokenizer.load(folder / "prepared" / "tokenizer.json")
    reading = config.reading.build(
        Documents.open(folder / "prepared" / "train"), tokenizer, config.length, config.training.seed
    )
    assert isinstance(reading, MaskedPairs)
    pairs, tokens = reading.pairs, reading.documents.tokens
    ids, segments = zip(
        *(
            paired(*(tokens[side.starts[row] : side.ends[row]] for side in (pairs.first, pairs.second)), reading.marks)
            for row in range(len(pairs))
        ),
        strict=True,
    )
    np.save(folder / "ids.npy", np.concatenate(ids).astype(np.int64))
    np.save(folder / "segments.npy", np.concatenate(segments))
    np.save(folder / "ends.npy", np.cumsum([0, *map(len, ids)]))
    np.save(folder / "next.npy", (~pairs.follows).astype(np.int64))
    shutil.copy(folder / "prepared" / "tokenizer.json", folder)
    encoder = config.model.encoder
    sizes = {
        "vocab_size": tokenizer.size,
        "hidden_size": encoder.width,
        "num_hidden_layers": encoder.layers,
        "num_attention_heads": encoder.heads,
        "intermediate_size": encoder.feed_forward,
        "hidden_dropout_prob": encoder.dropout,
        "attention_probs_dropout_prob": encoder.attention_dropout,
        "max_position_embeddings": 512,
    }
    write_texts({folder / "facts.json": json.dumps({"special": tokenizer.marks.first, "model": sizes}) + "\n"})


def henkan(config: PretrainingRecipe, work: Path, output: Path) -> Training:
    """``henkan train`` that goes on with a run whose text is ready."""
    run = output / "run"
    shutil.copytree(work / "prepared", run / "prepared")
    write_texts({run / "config.yaml": dump(config)})
    command = [sys.executable, "-m", "henkan", "train", "--output", str(run), "--resume"]
    return Training("Henkan", command, run / "events.jsonl", HenkanEvents)


def trainer(work: Path, output: Path, python: Path, precision: str, attention: str, sampling: str) -> Training:
    """``transformers.Trainer``, with one of its settings."""
    place = output / f"trainer_{precision}_{attention}"
    place.mkdir()
    script = Path(__file__).with_name("transformers_worker.py")
    command = [str(python), str(script), str(work), str(place / "run"), "--rows", str(ROWS)]
    command += ["--precision", precision, "--attention", attention, "--sampling", sampling]
    name = f"transformers Trainer {precision}, {attention} attention"
    return Training(name, command, place / "output.txt", lambda: trainer_tokens)


def trainer_tokens(line: str) -> int | None:
    """Of one update, from the line of ``transformers_worker.py``."""
    found = re.fullmatch(r"learnt from (\d+) tokens", line)
    return int(found[1]) if found else None


def flops(config: PretrainingRecipe) -> float:
    """Operations for a real token that training cannot do without: six for each weight that multiplies it.

    Hidden tokens alone go through the output; attention products count at the full length. The pooler is nothing.
    """
    model = config.outline((config.vocabulary.vocabulary, config.vocabulary.vocabulary))
    layers = sum(weight.numel() for weight in model.encoder.layers.parameters() if weight.dim() == 2)
    attention = 2 * config.model.encoder.layers * LENGTH * config.model.encoder.width
    head = model.heads.tokens
    assert isinstance(head, MaskedHead)
    output = head.output.weight.numel() + head.dense.weight.numel()
    return 6.0 * (layers + attention + config.reading.share * output)


def read_arguments(arguments: list[str] | None) -> argparse.Namespace:
    """What the command line says."""
    text = Path(os.environ.get("HENKAN_DATA", "data")) / "lm-standardebooks" / "train.txt.gz"
    parser = argparse.ArgumentParser(description="Pre-training beside transformers.Trainer.")
    parser.add_argument("--peers", type=Path, required=True, help="where setup.sh put them; gets the workload too")
    parser.add_argument("--output", type=Path, required=True, help="gets a folder for each run; not in the repository")
    parser.add_argument("--text", type=Path, default=text, help="lines, an empty one between documents")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="processors for either side")
    parser.add_argument("--settings", default=",".join(map("_".join, SETTINGS)), help="of the Trainer")
    parser.add_argument("--sampling", default="group_by_length", help="of the Trainer; or random")
    parser.add_argument("--quick", action="store_true", help="3 rounds of 5 seconds")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--only-prepare", action="store_true", help="make the workload and stop")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
