"""One split of a data set as memory-mapped integers: made once, then read without any parsing.

FOLDER/source.tokens.npy    the ids of all sources end to end, uint16 (uint32 from 65,536 entries on)
FOLDER/source.offsets.npy   (pairs + 1,) int64: source k is tokens[offsets[k]:offsets[k + 1]]
FOLDER/target.tokens.npy    the same for the targets
FOLDER/target.offsets.npy
FOLDER/lines.npy            (pairs,) int64: the line each pair stood on, counted from 1
FOLDER/corpus.json          format, number of pairs, vocabulary sizes, the filter report
"""

import json
import os
import shutil
from array import array
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate, chain, islice
from pathlib import Path
from typing import Any, Self

import numpy as np

from henkan.data.example import Example, Pair
from henkan.data.transforms import FilterConfig, FilterReport
from henkan.errors import DataError, FolderError, StorageError
from henkan.text.tokenizer import Tokenizer

FORMAT = 1
_CHUNK = 4096
_SIDES = ("source", "target")


class Corpus:
    """A split that :func:`write_corpus` wrote, opened for reading; make one with :meth:`open`.

    Attributes:
        source_lengths, target_lengths: (pairs,) int32, tokens of each pair, END not counted.
        lines: (pairs,) int64, the line on which each pair stood in the file it came from.
        summary: what is in ``corpus.json``.
    """

    def __init__(self, summary: dict[str, Any], tokens: list[np.ndarray], offsets: list[np.ndarray], lines: np.ndarray):
        self.summary = summary
        self.lines = lines
        self._source, self._target = tokens
        self._source_offsets, self._target_offsets = offsets
        self.source_lengths, self.target_lengths = (np.diff(side).astype(np.int32) for side in offsets)

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Map the files of a folder into memory; nothing but the offsets is read.

        Raises:
            FolderError: the folder is missing, damaged, or of another version.
        """
        try:
            summary = json.loads((folder / "corpus.json").read_text(encoding="utf-8"))
            if summary["format"] != FORMAT:
                raise FolderError(f"{folder}: corpus format {summary['format']}, expected {FORMAT}; prepare it again")
            pairs = summary["pairs"]
            tokens = [_open(folder / f"{side}.tokens.npy", np.unsignedinteger) for side in _SIDES]
            offsets = [_open(folder / f"{side}.offsets.npy", np.int64, pairs + 1) for side in _SIDES]
            lines = _open(folder / "lines.npy", np.int64, pairs)
            for side, ids, starts in zip(_SIDES, tokens, offsets, strict=True):
                if starts[0] != 0 or starts[-1] != len(ids) or (np.diff(starts) < 0).any():
                    raise ValueError(f"{side}.offsets.npy does not belong to {side}.tokens.npy")
        except FolderError:
            raise
        except (OSError, ValueError, LookupError, TypeError, EOFError) as error:
            raise FolderError(f"{folder} is not a prepared corpus ({error}); prepare it again") from error
        return cls(summary, tokens, offsets, lines)

    def __len__(self) -> int:
        return len(self.lines)

    def example(self, index: int) -> Example:
        """The pair at a place, 0 to ``len(corpus) - 1``."""
        if not 0 <= index < len(self.lines):
            raise IndexError(f"pair {index} of a corpus of {len(self.lines)}")
        sources, targets = self._source_offsets, self._target_offsets
        return Example(
            int(index),
            self._source[sources[index] : sources[index + 1]].astype(np.int32),
            self._target[targets[index] : targets[index + 1]].astype(np.int32),
        )


def write_corpus(
    folder: Path,
    pairs: Iterable[Pair],
    source_tokenizer: Tokenizer,
    target_tokenizer: Tokenizer,
    filters: FilterConfig,
    name: str = "pairs",
    progress: Callable[[int], None] | None = None,
) -> FilterReport:
    """Encode and filter pairs into a new folder, some thousand at a time; the folder appears whole or not at all.

    Args:
        name: what an error calls the pairs.
        progress: called now and then with the number of pairs read so far.

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
        report = _write(partial, pairs, (source_tokenizer, target_tokenizer), filters, name, progress)
        _synchronise(partial)
        os.replace(partial, folder)
    except OSError as error:
        raise StorageError(f"{folder}: cannot write the corpus ({error.strerror or error})") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return report


def _write(
    folder: Path,
    pairs: Iterable[Pair],
    tokenizers: tuple[Tokenizer, Tokenizer],
    filters: FilterConfig,
    name: str,
    progress: Callable[[int], None] | None,
) -> FilterReport:
    report = FilterReport()
    lines = array("q")
    with _SideWriter(folder, "source", tokenizers[0]) as source, _SideWriter(folder, "target", tokenizers[1]) as target:
        for chunk in _chunks(pairs):
            kept: tuple[list[list[int]], list[list[int]]] = ([], [])
            sources = tokenizers[0].encode([pair.source for pair in chunk])
            targets = tokenizers[1].encode([pair.target for pair in chunk])
            for pair, source_ids, target_ids in zip(chunk, sources, targets, strict=True):
                if reason := filters.reason(pair, len(source_ids), len(target_ids)):
                    report.drop(reason, pair)
                    continue
                lines.append(pair.line)
                kept[0].append(source_ids)
                kept[1].append(target_ids)
            source.add(kept[0])
            target.add(kept[1])
            report.kept = len(lines)
            if progress is not None:
                progress(report.read)
    if not report.kept:
        raise DataError(f"{name}: no pair is left: {report}" if report.read else f"{name}: there are none")
    np.save(folder / "lines.npy", np.frombuffer(lines, dtype=np.int64))
    summary = {
        "format": FORMAT,
        "pairs": report.kept,
        "vocabulary": {side: tokenizer.size for side, tokenizer in zip(_SIDES, tokenizers, strict=True)},
        "filters": report.to_json(),
    }
    (folder / "corpus.json").write_text(json.dumps(summary, ensure_ascii=False, indent=1), encoding="utf-8")
    return report


class _SideWriter:
    """Writes the ids of one side as they come. The header of an ``.npy`` file states the length, so it is written
    again at the end; NumPy leaves room in it for that."""

    def __init__(self, folder: Path, side: str, tokenizer: Tokenizer) -> None:
        self._folder, self._side = folder, side
        self._dtype = np.dtype(np.uint16 if tokenizer.size <= 1 << 16 else np.uint32)
        self._offsets = array("q", [0])

    def __enter__(self) -> Self:
        self._file = (self._folder / f"{self._side}.tokens.npy").open("wb")
        self._data_at = self._write_header()
        return self

    def add(self, rows: list[list[int]]) -> None:
        ends = accumulate(map(len, rows), initial=self._offsets.pop())
        self._offsets.extend(ends)
        self._file.write(np.fromiter(chain.from_iterable(rows), dtype=self._dtype).tobytes())

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._file:
            if kind is None:
                data_at = self._write_header()
                assert data_at == self._data_at, "the header outgrew its place"
                np.save(self._folder / f"{self._side}.offsets.npy", np.frombuffer(self._offsets, dtype=np.int64))

    def _write_header(self) -> int:
        self._file.seek(0)
        shape = (self._offsets[-1],)
        header = {"descr": self._dtype.str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._file, header)
        return self._file.tell()


def _chunks(pairs: Iterable[Pair]) -> Iterator[list[Pair]]:
    stream = iter(pairs)
    while chunk := list(islice(stream, _CHUNK)):
        yield chunk


def _open(path: Path, kind: type[np.generic], length: int | None = None) -> np.ndarray:
    """A mapped vector of integers, of the kind and length it must have."""
    array = np.load(path, mmap_mode="r", allow_pickle=False).view(np.ndarray)  # slices of a plain view are faster
    if array.ndim != 1 or not np.issubdtype(array.dtype, kind) or length not in (None, len(array)):
        raise ValueError(f"{path.name} holds {array.dtype} of shape {array.shape}")
    return array


def _synchronise(folder: Path) -> None:
    """Have the files on the disk before the folder gets its name."""
    for path in folder.iterdir():
        with path.open("rb+") as file:
            os.fsync(file.fileno())
