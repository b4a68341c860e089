"""The files of one shard of a corpus: some pairs as integers, mapped into memory rather than read.

FOLDER/source.tokens.npy      the ids of all sources end to end, uint16 (uint32 from 65,536 entries on)
FOLDER/source.lengths.npy     (pairs,) ids of each source, in as few bytes as hold the longest
FOLDER/target.tokens.npy      the same for the targets
FOLDER/target.lengths.npy
FOLDER/lines.npy              (pairs,) int64: the line each pair stood on, counted from 1
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from henkan.errors import FolderError

SIDES = ("source", "target")


@dataclass(frozen=True, eq=False)
class Side:
    """One side of the pairs."""

    tokens: np.ndarray  # mapped
    ends: np.ndarray  # (pairs + 1,) int64: row k is tokens[ends[k]:ends[k + 1]]

    def row(self, place: int) -> np.ndarray:
        """The ids of one source or target, int32."""
        return self.tokens[self.ends[place] : self.ends[place + 1]].astype(np.int32)


@dataclass(frozen=True, eq=False)
class Shard:
    """A shard that is open."""

    source: Side
    target: Side
    lines: np.ndarray  # mapped

    @classmethod
    def open(cls, folder: Path, pairs: int) -> Self:
        """Map the files and check that they fit together; the lengths alone are read.

        Raises:
            FolderError: a file is missing or damaged, or not of so many pairs; names it.
        """
        source, target = (_open_side(folder, side, pairs) for side in SIDES)
        return cls(source, target, _open(folder / "lines.npy", np.int64, pairs))


def read_lengths(folder: Path, pairs: int) -> list[np.ndarray]:
    """Those of the sources and of the targets; FolderError as above."""
    return [_open(_path(folder, side, "lengths"), np.unsignedinteger, pairs) for side in SIDES]


class ShardWriter:
    """Makes a shard from pieces that come one after another; its files are whole once the context is left.

    Args:
        folder: is made.
        vocabulary: entries of the source's and the target's.
    """

    def __init__(self, folder: Path, vocabulary: Sequence[int]) -> None:
        self._folder = folder
        self._vocabulary = vocabulary
        self._lines = array("q")

    def __enter__(self) -> Self:
        self._folder.mkdir()
        with ExitStack() as files:
            self._sides = [
                files.enter_context(_SideWriter(self._folder, side, size))
                for side, size in zip(SIDES, self._vocabulary, strict=True)
            ]
            self._files = files.pop_all()
        return self

    def add(self, lines: Sequence[int], tokens: Sequence[np.ndarray], lengths: Sequence[np.ndarray]) -> None:
        """Some more pairs.

        Args:
            tokens: of the sources end to end, and of the targets.
            lengths: of each source, and of each target.
        """
        self._lines.extend(lines)
        for side, ids, sizes in zip(self._sides, tokens, lengths, strict=True):
            assert len(sizes) == len(lines)
            side.add(ids, sizes)

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self._files.__exit__(kind, *rest)  # type: ignore[arg-type]
        if kind is None:
            np.save(self._folder / "lines.npy", np.frombuffer(self._lines, dtype=np.int64))


class _SideWriter:
    """Writes the ids of one side as they come. The header of an ``.npy`` file states the length, so it is written
    again at the end; NumPy leaves room in it for that."""

    def __init__(self, folder: Path, side: str, vocabulary: int) -> None:
        self._folder, self._side = folder, side
        self._dtype = np.dtype(np.uint16 if vocabulary <= 1 << 16 else np.uint32)
        self._lengths = array("I")
        self._tokens = 0

    def __enter__(self) -> Self:
        self._file = _path(self._folder, self._side, "tokens").open("wb")
        self._data_at = self._write_header()
        return self

    def add(self, tokens: np.ndarray, lengths: np.ndarray) -> None:
        self._lengths.extend(lengths.tolist())
        self._tokens += len(tokens)
        self._file.write(tokens.astype(self._dtype).tobytes())

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._file:
            if kind is None:
                data_at = self._write_header()
                assert data_at == self._data_at, "the header outgrew its place"
                lengths = np.frombuffer(self._lengths, dtype=np.uint32)
                narrow = lengths.astype(np.min_scalar_type(lengths.max(initial=0)))
                np.save(_path(self._folder, self._side, "lengths"), narrow)

    def _write_header(self) -> int:
        self._file.seek(0)
        header = {"descr": self._dtype.str, "fortran_order": False, "shape": (self._tokens,)}
        np.lib.format.write_array_header_1_0(self._file, header)
        return self._file.tell()


def _path(folder: Path, side: str, what: str) -> Path:
    return folder / f"{side}.{what}.npy"


def _open_side(folder: Path, side: str, pairs: int) -> Side:
    lengths = _open(_path(folder, side, "lengths"), np.unsignedinteger, pairs)
    tokens = _open(_path(folder, side, "tokens"), np.unsignedinteger)
    ends = np.zeros(pairs + 1, dtype=np.int64)
    np.cumsum(lengths, out=ends[1:])
    if ends[-1] != len(tokens):
        raise FolderError(
            f"{_path(folder, side, 'lengths')} counts {ends[-1]} tokens, and {side}.tokens.npy has {len(tokens)}: "
            "they do not belong together; prepare the corpus again"
        )
    return Side(tokens, ends)


def _open(path: Path, kind: type[np.generic], length: int | None = None) -> np.ndarray:
    """A mapped vector of integers, of the kind and length it must have."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False).view(np.ndarray)  # slices of a plain view are faster
        if array.ndim != 1 or not np.issubdtype(array.dtype, kind) or length not in (None, len(array)):
            wanted = "" if length is None else f"{length} "
            raise ValueError(f"holds {array.dtype} of shape {array.shape}, expected {wanted}integers")
    except (OSError, ValueError, EOFError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise FolderError(f"{path}: missing or damaged ({reason}); prepare the corpus again") from error
    return array
