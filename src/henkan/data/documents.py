"""Running text as memory-mapped integers: documents of lines of tokens, made once.

FOLDER/documents.json     format, numbers of documents, lines and tokens, vocabulary size
FOLDER/tokens.npy         the ids of all lines end to end, uint16 (uint32 from 65,536 entries on)
FOLDER/lines.npy          (lines + 1,) int64: line k is tokens[lines[k]:lines[k + 1]]
FOLDER/documents.npy      (documents + 1,) int64: document d is lines documents[d] up to documents[d + 1]

In the text an empty line ends a document; where line ends are learnt as well (verse, code), it is a line like any other
and the whole is one document. Otherwise the end of a line is read as a space: most vocabularies put one before every
text, and for the others (bytes, characters) it stands at the beginning of each line but the first of a document.
"""

from __future__ import annotations

import json
import os
import shutil
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Self

import numpy as np

from henkan.errors import DataError, FolderError, StorageError
from henkan.text.tokenizer import Tokenizer

FORMAT = 1
_CHUNK = 4096


@dataclass(frozen=True, eq=False)
class Documents:
    """Text that :func:`write_documents` wrote, mapped into memory."""

    tokens: np.ndarray  # (tokens,) mapped
    lines: np.ndarray  # (lines + 1,) int64
    starts: np.ndarray  # (documents + 1,) int64, in lines

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Map the files.

        Raises:
            FolderError: one is missing, damaged, or of another version; names it.
        """
        path = folder / "documents.json"
        try:
            summary = json.loads(path.read_text(encoding="utf-8"))
            if summary["format"] != FORMAT:
                raise FolderError(f"{folder}: text format {summary['format']}, expected {FORMAT}; prepare it again")
            wanted = (summary["tokens"], summary["lines"] + 1, summary["documents"] + 1)
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise FolderError(f"{path}: missing or damaged ({error}); prepare the text again") from error
        arrays = []
        for name, length in zip(("tokens", "lines", "documents"), wanted, strict=True):
            file = folder / f"{name}.npy"
            try:
                found = np.load(file, mmap_mode="r", allow_pickle=False).view(np.ndarray)
                if found.shape != (length,) or not np.issubdtype(found.dtype, np.integer):
                    raise ValueError(f"holds {found.dtype} of shape {found.shape}, expected {length} integers")
            except (OSError, ValueError, EOFError) as error:
                raise FolderError(f"{file}: missing or damaged ({error}); prepare the text again") from error
            arrays.append(found)
        tokens, lines, starts = arrays
        return cls(tokens, np.asarray(lines), np.asarray(starts))

    def __len__(self) -> int:
        return len(self.starts) - 1

    def line(self, number: int) -> np.ndarray:
        """The ids of one line, int64."""
        return self.tokens[self.lines[number] : self.lines[number + 1]].astype(np.int64)

    def span(self, first: int, end: int) -> np.ndarray:
        """The ids of lines ``first`` up to ``end``, int64."""
        return self.tokens[self.lines[first] : self.lines[end]].astype(np.int64)


def write_documents(
    folder: Path,
    lines: Iterable[str],
    tokenizer: Tokenizer,
    line_ends: bool = False,
    document_ends: bool = False,
    apart: bool = False,
) -> None:
    """Encode lines into a new folder, some thousand at a time; the folder appears whole or not at all.

    Args:
        line_ends: whether they are part of the text: every line is then encoded with ``"\\n"`` behind it.
        document_ends: whether END stands behind each document.
        apart: whether no line goes on with the one before it, as of sentences and their translations.

    Raises:
        DataError: whatever reading the lines raises; or there is no text.
        FolderError: the folder exists already.
        StorageError: it could not be written.
    """
    if folder.exists():
        raise FolderError(f"{folder} exists already; open it, or remove it to prepare the text again")
    partial = folder.with_name(f".{folder.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)  # what a killed process left
        partial.mkdir(parents=True)
        space = "" if line_ends or apart else _space(tokenizer)
        _write(partial, _encoded(lines, tokenizer, line_ends, space), tokenizer, document_ends)
        os.replace(partial, folder)
    except OSError as error:
        raise StorageError(f"{folder}: cannot write the text ({error.strerror or error})") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write(folder: Path, lines: Iterable[list[int] | None], tokenizer: Tokenizer, document_ends: bool) -> None:
    dtype = np.uint16 if tokenizer.size <= 1 << 16 else np.uint32
    ends, starts = array("q", [0]), array("q", [0])
    with (folder / "tokens.raw").open("wb") as file:

        def close_document() -> None:
            if starts[-1] == len(ends) - 1:  # there is nothing in it
                return
            starts.append(len(ends) - 1)
            if document_ends:
                file.write(np.array([tokenizer.marks.end], dtype=dtype).tobytes())
                ends[-1] += 1

        for ids in lines:
            if ids is None:
                close_document()
                continue
            file.write(np.array(ids, dtype=dtype).tobytes())
            ends.append(ends[-1] + len(ids))
        close_document()
        file.flush()
        os.fsync(file.fileno())
    if ends[-1] == 0:
        raise DataError("there is no text; expected lines of it, and an empty line between documents")
    tokens = np.memmap(folder / "tokens.raw", dtype=dtype, mode="r")
    np.save(folder / "tokens.npy", tokens)
    np.save(folder / "lines.npy", np.frombuffer(ends, dtype=np.int64))
    np.save(folder / "documents.npy", np.frombuffer(starts, dtype=np.int64))
    (folder / "tokens.raw").unlink()
    summary = {
        "format": FORMAT,
        "documents": len(starts) - 1,
        "lines": len(ends) - 1,
        "tokens": ends[-1],
        "vocabulary": tokenizer.size,
    }
    (folder / "documents.json").write_text(json.dumps(summary, indent=1), encoding="utf-8")


def _encoded(lines: Iterable[str], tokenizer: Tokenizer, line_ends: bool, space: str) -> Iterator[list[int] | None]:
    """The ids of each line, None for one that ends a document.

    Args:
        space: stands before each line but the first of a document.
    """
    before = ""
    for chunk in _chunks(lines):
        if line_ends:
            yield from tokenizer.encode_parts([f"{line}\n" for line in chunk])
            continue
        texts = []
        for line in map(str.strip, chunk):
            texts.append(before + line if line else "")
            before = space if line else ""
        rows = iter(tokenizer.encode_parts([text for text in texts if text]))
        for text in texts:
            yield next(rows) if text else None


def _space(tokenizer: Tokenizer) -> str:
    """A space where the vocabulary has one and does not put it before every text itself."""
    bare, spaced, space = tokenizer.encode_parts(["a", " a", " "])
    return "" if bare == spaced or tokenizer.marks.unknown in space else " "


def _chunks(lines: Iterable[str]) -> Iterator[list[str]]:
    stream = iter(lines)
    while chunk := list(islice(stream, _CHUNK)):
        yield chunk
