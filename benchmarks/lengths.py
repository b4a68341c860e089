"""Corpora for the figure of 2015: does a translation hold up when sentences get longer?

    python benchmarks/lengths.py joined FOLDER     $HENKAN_DATA's Multi30k, 1 to 4 consecutive pairs joined into one
    python benchmarks/lengths.py reversal FOLDER   made-up words, to be said backwards
    python benchmarks/lengths.py copy FOLDER       made-up words, to be said as they are: does reading backwards help?

All write train.tsv, valid.tsv and test.tsv. The test parts of ``joined`` use each pair of test2016 once for every
number of pairs joined, so each length sees the same words.
"""

import argparse
import os
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

from henkan.data.readers import read_lines

Pair = tuple[str, str]
JOINED = 4
WORDS = [f"w{number}" for number in range(40)]


def joined(pairs: list[Pair]) -> Iterator[Pair]:
    """1 to 4 consecutive pairs as one, every pair once for each number."""
    for count in range(1, JOINED + 1):
        for first in range(0, len(pairs) - count + 1, count):
            sources, targets = zip(*pairs[first : first + count], strict=True)
            yield words_of(sources), words_of(targets)


def words_of(texts: Sequence[str]) -> str:
    """One line, single spaces: the corpus has tabs in places."""
    return " ".join(" ".join(texts).split())


def multi30k(name: str) -> list[Pair]:
    """A part of the corpus: train, val or test2016."""
    folder = Path(os.environ["HENKAN_DATA"]) / "mt-multi30k-en-de"
    return list(zip(*(read_lines(folder / f"{name}.{side}.gz") for side in ("en", "de")), strict=True))


def made_up(count: int, longest: int, seed: int, step: int) -> Iterator[Pair]:
    """Random words of 40, and the same again: from the first on (step 1) or from the last (step -1)."""
    draw = random.Random(seed)
    for _ in range(count):
        words = draw.choices(WORDS, k=draw.randint(2, longest))
        yield " ".join(words), " ".join(words[::step])


def main() -> None:
    parser = argparse.ArgumentParser(description="Corpora of sentences of many lengths.")
    parser.add_argument("kind", choices=["joined", "reversal", "copy"])
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    if options.kind == "joined":
        names = {"train": "train", "valid": "val", "test": "test2016"}
        parts = {part: joined(multi30k(name)) for part, name in names.items()}
    elif options.kind == "copy":
        sizes = {"train": (40_000, 15, 1), "valid": (500, 15, 2), "test": (2_000, 15, 3)}
        parts = {part: made_up(*size, step=1) for part, size in sizes.items()}
    else:
        sizes = {"train": (40_000, 30, 1), "valid": (500, 30, 2), "test": (2_000, 40, 3)}
        parts = {part: made_up(*size, step=-1) for part, size in sizes.items()}
    options.folder.mkdir(parents=True, exist_ok=True)
    for part, pairs in parts.items():
        lines = "".join(f"{source}\t{target}\n" for source, target in pairs)
        (options.folder / f"{part}.tsv").write_text(lines, encoding="utf-8")
        print(f"{options.folder / part}.tsv: {lines.count(chr(10)):,} pairs")


if __name__ == "__main__":
    main()
