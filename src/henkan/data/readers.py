"""Text files line by line: plain or gzip, checked as they stream, and every complaint names file and line.

A line ends at LF or CR LF and nowhere else. Python's ``splitlines`` also splits at U+2028, U+0085 and form feeds, which
shifts every later line of one side of a corpus against the other.
"""

import codecs
import gzip
import zlib
from collections.abc import Iterator, Sequence
from io import BufferedReader
from itertools import zip_longest
from pathlib import Path

from henkan.data.example import Pair
from henkan.data.records import FieldsConfig, kind, parser
from henkan.errors import DataError

LONGEST_LINE = 1 << 20
"""Characters in a line, at most."""

LARGEST_EXPANSION = 250
"""How many times its size a gzip file may unpack to; text packs 3 to 10 times, and a gzip bomb about 1,000 times."""

_BLOCK = 1 << 20
_FREE_EXPANSION = 16 << 20  # bytes that any gzip file may unpack to
_GZIP_MAGIC = b"\x1f\x8b"


class ParallelText:
    """Two files in which line k of one belongs to line k of the other. Iterating again reads again.

    Raises:
        DataError: a file is missing or no regular file; while iterating, a line of either is wrong (see
            :func:`read_lines`), or one file has more lines than the other.
    """

    def __init__(self, source: Path, target: Path) -> None:
        self._source = _regular_file(source)
        self._target = _regular_file(target)
        self.name = f"{source} and {target}"

    def __iter__(self) -> Iterator[Pair]:
        sources, targets = read_lines(self._source), read_lines(self._target)
        line = 0
        for line, (source, target) in enumerate(zip_longest(sources, targets), start=1):
            if source is None or target is None:
                more = line + sum(1 for _ in (targets if source is None else sources))
                counts = (line - 1, more) if source is None else (more, line - 1)
                raise DataError(
                    f"{self._source} has {counts[0]:,} lines and {self._target} has {counts[1]:,}; "
                    "line k of one belongs to line k of the other, so they must have equally many"
                )
            yield Pair(source, target, line)


class PairsFile:
    """Pairs in one file: ``.tsv`` with two columns, or ``.jsonl`` with the keys ``source`` and ``target``; both also
    ``.gz``. Iterating again reads again. TSV knows no quotes or escapes; other keys in JSON Lines are left alone.

    Args:
        path: the file.
        fields: other keys or columns than those. Where several targets are right, the first is taken.

    Raises:
        DataError: the file is missing, no regular file, or of another kind; while iterating, a line is wrong.
    """

    def __init__(self, path: Path, fields: FieldsConfig | None = None) -> None:
        self._path = _regular_file(path)
        self._parse = parser(path, fields)
        self._two_columns = fields is None and kind(path) == ".tsv"
        self.name = str(path)

    def __iter__(self) -> Iterator[Pair]:
        for line, text in enumerate(read_lines(self._path), start=1):
            try:
                source, targets = self._parse(text)
                if self._two_columns and len(targets) > 1:
                    raise ValueError(f"expected 2 columns, source and target, got {len(targets) + 1}")
            except ValueError as error:
                raise DataError(f"line {line} of {self._path}: {error}") from None
            yield Pair(source, targets[0], line)


def read_references(path: Path, fields: FieldsConfig | None = None) -> list[tuple[str, list[str]]]:
    """Sources with all their acceptable targets, in the order in which the sources first appear.

    TSV: the first column is the source, each further one a target. JSON Lines: ``source`` and ``target``, a text or a
    list of texts. Lines with the same source are joined; a target that is there already is not repeated.

    Args:
        path: the file.
        fields: other keys or columns than those.

    Raises:
        DataError: as :class:`PairsFile`, and for a line with an empty source.
    """
    joined: dict[str, dict[str, None]] = {}
    parse = parser(_regular_file(path), fields)
    for line, text in enumerate(read_lines(path), start=1):
        try:
            source, targets = parse(text)
            if not source:
                raise ValueError("the source is empty")
        except ValueError as error:
            raise DataError(f"line {line} of {path}: {error}") from None
        joined.setdefault(source, {}).update(dict.fromkeys(targets))
    return [(source, list(targets)) for source, targets in joined.items()]


def read_answers(source: Path, references: Sequence[Path]) -> list[tuple[str, list[str]]]:
    """Sources, one a line, each with the same line of every file of references; for tests.

    Raises:
        DataError: as :func:`read_lines`, and for files that do not have equally many lines.
    """
    sources = list(read_lines(source))
    columns = [list(read_lines(path)) for path in references]
    for path, column in zip(references, columns, strict=True):
        if len(column) != len(sources):
            raise DataError(f"{source} has {len(sources):,} lines and {path} has {len(column):,}; line belongs to line")
    return [(line, list(answers)) for line, answers in zip(sources, zip(*columns, strict=True), strict=True)]


def read_lines(path: Path) -> Iterator[str]:
    """The lines of a UTF-8 file, plain or gzip, without line ends and byte order mark; nothing else is changed.

    Memory stays at a few MiB whatever the file is.

    Raises:
        DataError: the file is missing, empty, not UTF-8, holds NUL, has a line of over 1 Mi characters, is damaged
            gzip, or unpacks to over 250 times its size.
    """
    name = str(path)
    try:
        with path.open("rb") as file:
            packed = file.peek(2)[:2] == _GZIP_MAGIC
            if path.suffix == ".gz" and not packed and file.peek(1):
                raise DataError(f"{name} is named .gz and is not gzip; rename it or pack it again")
            yield from _lines(_unpacked(file, name) if packed else _plain(file), name)
    except FileNotFoundError:
        raise DataError(f"{name}: no such file") from None
    except OSError as error:
        raise DataError(f"{name}: cannot be read ({error.strerror or error})") from error


def read_stream(stream: BufferedReader, name: str) -> Iterator[str]:
    """The lines of a pipe, each as soon as it has come, with the same checks as in a file; not for gzip.

    Args:
        name: what messages call it, such as ``standard input``.
    """
    return _lines(_plain(stream), name)


def _plain(stream: BufferedReader) -> Iterator[bytes]:
    return iter(lambda: stream.read1(_BLOCK), b"")


def _unpacked(file: BufferedReader, name: str) -> Iterator[bytes]:
    total = 0
    with gzip.GzipFile(fileobj=file) as stream:
        while True:
            try:
                block = stream.read(_BLOCK)
            except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                raise DataError(f"{name}: damaged gzip after {total:,} bytes of text ({error}); get it again") from None
            if not block:
                return
            total += len(block)
            if total > _FREE_EXPANSION + LARGEST_EXPANSION * file.tell():
                raise DataError(
                    f"{name}: unpacks to over {LARGEST_EXPANSION} times its size; if it is meant to, unpack it yourself"
                )
            yield block


def _lines(blocks: Iterator[bytes], name: str) -> Iterator[str]:
    number = 0
    rest = b""
    for block in blocks:
        whole, newline, tail = block.rpartition(b"\n")
        if newline:
            for text in _split(rest + whole, name, number):
                number += 1
                yield text
            rest = tail
        else:
            rest += tail
        if len(rest) > 4 * LONGEST_LINE:  # no UTF-8 character has more than four bytes
            raise DataError(_too_long(name, number + 1))
    if rest:
        yield from _split(rest, name, number)
    elif number == 0:
        raise DataError(f"{name} is empty; expected at least one line")


def _split(block: bytes, name: str, before: int) -> list[str]:
    """Whole lines, decoded together because that is fast; ``before`` lines came before them."""
    if before == 0:
        _refuse_other_formats(block, name)
        block = block.removeprefix(codecs.BOM_UTF8)
    try:
        text = block.decode("utf-8")
    except UnicodeDecodeError as error:
        line = before + block.count(b"\n", 0, error.start) + 1
        column = error.start - block.rfind(b"\n", 0, error.start)
        raise DataError(
            f"line {line} of {name}: not UTF-8 (byte 0x{block[error.start]:02x} at column {column}); "
            "save the file as UTF-8"
        ) from None
    if (nul := text.find("\0")) >= 0:
        line = before + text.count("\n", 0, nul) + 1
        raise DataError(f"line {line} of {name}: holds a NUL character; expected UTF-8 text, not a binary file")
    lines = text.split("\n")
    if "\r" in text:
        lines = [line.removesuffix("\r") for line in lines]
    if len(text) > LONGEST_LINE:
        for line, content in enumerate(lines, start=before + 1):
            if len(content) > LONGEST_LINE:
                raise DataError(_too_long(name, line))
    return lines


def _regular_file(path: Path) -> Path:
    if path.is_file():
        return path
    if not path.exists():
        raise DataError(f"{path}: no such file")
    kind = "a folder" if path.is_dir() else "a pipe or device, which can be read only once"
    raise DataError(f"{path} is {kind}; expected a file")


def _refuse_other_formats(block: bytes, name: str) -> None:
    if block.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise DataError(f"{name} is UTF-16; save it as UTF-8")
    if block.startswith(_GZIP_MAGIC):
        raise DataError(f"{name} is gzip; unpack it first, as in `zcat FILE | ...`")


def _too_long(name: str, line: int) -> str:
    return f"line {line} of {name}: over {LONGEST_LINE:,} characters; split it, or check that this is a text file"
