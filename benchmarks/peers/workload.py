"""The shared workload: Multi30k, English to German, in Henkan's subwords, as plain files that every toolkit reads.

raw/train.en        sentences, as they are; likewise val and test (test2016), and de
pieces/train.en     the same as subwords with spaces between them
vocabulary.txt      the joint 8,000 subwords without the special ones; vocabulary.joeynmt.txt: with them
tokenizer.json      the tokenizer, as in a Henkan model folder
counts.json         pairs, and mean tokens of a sentence as they are counted everywhere: the end mark counts
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path

from henkan.text.learning import learn
from henkan.text.normalise import normalise
from henkan.text.tokenizer import SPECIAL_TOKENS, Tokenizer, TokenizerConfig

from .workload_pieces import without_spaces

PARTS = {"train": "train", "val": "val", "test": "test2016"}
SIDES = ("en", "de")


def make(corpus: Path, folder: Path) -> None:
    """Write the workload.

    Args:
        corpus: train, val and test2016 as ``train.en.gz``, ``train.de.gz``, ...
        folder: where; what is there already is kept if it is whole.

    Raises:
        FileNotFoundError: a file of the corpus is missing.
    """
    if (folder / "counts.json").exists():
        return
    raw = {
        (part, side): [normalise(line) for line in read_lines(corpus / f"{name}.{side}.gz")]
        for part, name in PARTS.items()
        for side in SIDES
    }
    # As `henkan train` learns it: from both sides of the training pairs.
    tokenizer = learn(TokenizerConfig(vocabulary=8000), [*raw["train", "en"], *raw["train", "de"]])
    vocabulary = [without_spaces(piece) for piece in tokenizer.pieces(range(tokenizer.size))]
    for name in ("raw", "pieces"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for (part, side), lines in raw.items():
        write(folder / "raw" / f"{part}.{side}", lines)
        write(folder / "pieces" / f"{part}.{side}", in_pieces(tokenizer, lines))
    own = vocabulary[len(SPECIAL_TOKENS) :]
    write(folder / "vocabulary.txt", own)
    write(folder / "vocabulary.joeynmt.txt", ["<unk>", "<pad>", "<s>", "</s>", *own])
    tokenizer.save(folder / "tokenizer.json")
    rows = tokenizer.encode(raw["train", "de"])
    counts = {"pairs": len(rows), "target_tokens_of_a_sentence": sum(len(row) + 1 for row in rows) / len(rows)}
    (folder / "counts.json").write_text(json.dumps(counts) + "\n", encoding="utf-8")


def in_pieces(tokenizer: Tokenizer, lines: list[str]) -> list[str]:
    """Each line as subwords with spaces between them."""
    return [" ".join(map(without_spaces, tokenizer.pieces(row))) for row in tokenizer.encode(lines)]


def mean_target_tokens(folder: Path) -> float:
    """Of a training sentence, the end mark included."""
    counts = json.loads((folder / "counts.json").read_text(encoding="utf-8"))
    return float(counts["target_tokens_of_a_sentence"])


def read_lines(path: Path) -> list[str]:
    """The lines of a file, which may be gzipped; nothing but a line feed ends one."""
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
        return file.read().decode().removesuffix("\n").split("\n")


def write(path: Path, lines: list[str]) -> None:
    """Lines, each with its end."""
    path.write_bytes("".join(f"{line}\n" for line in lines).encode())
