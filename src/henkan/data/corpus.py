"""One split of a data set as memory-mapped integers: made once, then read without any parsing.

FOLDER/corpus.json           format, numbers of pairs and tokens, vocabulary sizes, the filter report
FOLDER/00000, 00001, ...     shards of 262,144 pairs, see shards.py; the last may have fewer

A few shards are open at a time, so memory does not grow with the corpus, neither in writing nor in reading.
"""

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np

from henkan.data.example import Example, Pair
from henkan.data.plan import Lengths
from henkan.data.shards import SIDES, Shard, ShardWriter, read_lengths
from henkan.data.transforms import FilterConfig, FilterReport
from henkan.errors import DataError, FolderError, StorageError
from henkan.text.tokenizer import Tokenizer

FORMAT = 2
SHARD = 1 << 18
"""Pairs in a shard."""

OPEN_SHARDS = 12
"""Shards that stay open: a few more than a window of the plan has, so that an epoch opens each of them once."""

_CHUNK = 4096

T = TypeVar("T")


class CorpusLengths:
    """Tokens of each pair, END counted, shard by shard, read when asked for: what a plan is made from."""

    def __init__(self, folder: Path, sizes: list[int]) -> None:
        self._folder = folder
        self._sizes = sizes

    def __len__(self) -> int:
        return len(self._sizes)

    def __getitem__(self, number: int, /) -> Lengths:
        source, target = read_lengths(shard_folder(self._folder, number), self._sizes[number])
        return Lengths(_with_end(source), _with_end(target))


class Corpus:
    """A split that :func:`write_corpus` wrote, opened for reading; make one with :meth:`open`. Threads may share it.

    Attributes:
        lengths: of all pairs, END counted.
        summary: what is in ``corpus.json``.
    """

    def __init__(self, folder: Path, summary: dict[str, Any]) -> None:
        self.summary = summary
        self._pairs, self._size = int(summary["pairs"]), int(summary["shard"])
        sizes = [min(self._size, self._pairs - first) for first in range(0, self._pairs, self._size)]
        self.lengths = CorpusLengths(folder, sizes)
        self._shard = lru_cache(OPEN_SHARDS)(lambda number: Shard.open(shard_folder(folder, number), sizes[number]))

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Look at every file of a folder; nothing but the lengths is read.

        Raises:
            FolderError: the folder is missing, damaged, or of another version; names the file.
        """
        path = folder / "corpus.json"
        try:
            summary = json.loads(path.read_text(encoding="utf-8"))
            if summary["format"] != FORMAT:
                raise FolderError(f"{folder}: corpus format {summary['format']}, expected {FORMAT}; prepare it again")
            corpus = cls(folder, summary)
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise FolderError(f"{path}: missing or damaged ({error}); prepare the corpus again") from error
        for number in range(len(corpus.lengths)):
            corpus._shard(number)
        return corpus

    def __len__(self) -> int:
        return self._pairs

    def tokens(self, side: str) -> int:
        """How many all sources, or all targets, have together, END not counted."""
        return int(self.summary["tokens"][side])

    def example(self, index: int) -> Example:
        """The pair at a place, 0 to ``len(corpus) - 1``."""
        shard, place = self._find(index)
        return Example(int(index), shard.source.row(place), shard.target.row(place))

    def line(self, index: int) -> int:
        """Where the pair stood in the file it came from, counted from 1."""
        shard, place = self._find(index)
        return int(shard.lines[place])

    def _find(self, index: int) -> tuple[Shard, int]:
        if not 0 <= index < self._pairs:
            raise IndexError(f"pair {index} of a corpus of {self._pairs}")
        number, place = divmod(index, self._size)
        return self._shard(number), place


def write_corpus(
    folder: Path,
    pairs: Iterable[Pair],
    source_tokenizer: Tokenizer,
    target_tokenizer: Tokenizer,
    filters: FilterConfig,
    name: str = "pairs",
    shard: int = SHARD,
) -> FilterReport:
    """Encode and filter pairs into a new folder, some thousand at a time; the folder appears whole or not at all.

    Args:
        name: what an error calls the pairs.
        shard: pairs in a shard.

    Raises:
        DataError: whatever reading the pairs raises; or no pair was left after filtering.
        FolderError: the folder exists already.
        StorageError: it could not be written.
    """
    if folder.exists():
        raise FolderError(f"{folder} exists already; open it, or remove it to prepare the corpus again")
    partial = folder.with_name(f".{folder.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)  # what a killed process left
        partial.mkdir(parents=True)
        report = _write(partial, pairs, (source_tokenizer, target_tokenizer), filters, name, shard)
        _synchronise(partial)
        os.replace(partial, folder)
    except OSError as error:
        raise StorageError(f"{folder}: cannot write the corpus ({error.strerror or error})") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return report


def write_summary(folder: Path, pairs: int, shard: int, tokens: Mapping[str, int], **more: Any) -> None:
    """Write ``corpus.json``, which makes a corpus of a folder of shards.

    Args:
        shard: pairs in every shard but the last.
        tokens: of all sources and of all targets.
        more: further facts, on which nothing here depends.
    """
    summary = {"format": FORMAT, "pairs": pairs, "shard": shard, "tokens": dict(tokens), **more}
    (folder / "corpus.json").write_text(json.dumps(summary, ensure_ascii=False, indent=1), encoding="utf-8")


def shard_folder(folder: Path, number: int) -> Path:
    """Where a shard of a corpus is; they count from 0."""
    return folder / f"{number:05}"


def _write(
    folder: Path,
    pairs: Iterable[Pair],
    tokenizers: tuple[Tokenizer, Tokenizer],
    filters: FilterConfig,
    name: str,
    shard: int,
) -> FilterReport:
    report = FilterReport()
    vocabulary = {side: tokenizer.size for side, tokenizer in zip(SIDES, tokenizers, strict=True)}
    tokens = dict.fromkeys(SIDES, 0)
    rows = _encoded(pairs, tokenizers, filters, report)
    for number, first in enumerate(rows):
        with ShardWriter(shard_folder(folder, number), list(vocabulary.values())) as writer:
            for chunk in _chunks(chain([first], islice(rows, shard - 1))):
                lines, *texts = zip(*chunk, strict=True)
                ids = [np.fromiter(chain.from_iterable(side), dtype=np.uint32) for side in texts]
                writer.add(lines, ids, [np.fromiter(map(len, side), dtype=np.uint32) for side in texts])
                for side, found in zip(SIDES, ids, strict=True):
                    tokens[side] += len(found)
    if not report.kept:
        raise DataError(f"{name}: no pair is left: {report}" if report.read else f"{name}: there are none")
    write_summary(folder, report.kept, shard, tokens, vocabulary=vocabulary, filters=report.to_json())
    return report


def _encoded(
    pairs: Iterable[Pair], tokenizers: tuple[Tokenizer, Tokenizer], filters: FilterConfig, report: FilterReport
) -> Iterator[tuple[int, list[int], list[int]]]:
    """Line, source and target of the pairs that are kept."""
    for chunk in _chunks(pairs):
        sources = tokenizers[0].encode([pair.source for pair in chunk])
        targets = tokenizers[1].encode([pair.target for pair in chunk])
        for pair, source, target in zip(chunk, sources, targets, strict=True):
            if reason := filters.reason(pair, len(source), len(target)):
                report.drop(reason, pair)
            else:
                report.kept += 1
                yield pair.line, source, target


def _chunks(items: Iterable[T]) -> Iterator[list[T]]:
    stream = iter(items)
    while chunk := list(islice(stream, _CHUNK)):
        yield chunk


def _with_end(lengths: np.ndarray) -> np.ndarray:
    return np.add(lengths, 1, dtype=np.int32)


def _synchronise(folder: Path) -> None:
    """Have the files on the disk before the folder gets its name."""
    for path in folder.rglob("*.*"):
        with path.open("rb+") as file:
            os.fsync(file.fileno())
