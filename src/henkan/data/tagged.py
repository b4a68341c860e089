"""Words with a label each, for named entities and parts of speech; every complaint names its line.

CoNLL style: a word a line with its label, a tab or spaces between, an empty line behind each sentence. Of more than two
columns the first is the word and the last the label, as in CoNLL-2003; ``columns`` chooses others. Lines of
``-DOCSTART-`` say where a document begins and are left out. JSON Lines: ``{"words": [...], "labels": [...]}``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from henkan.config import Config
from henkan.data.readers import read_lines
from henkan.errors import DataError

DOCUMENT = "-DOCSTART-"


class TaggedColumns(Config):
    """Which columns of a CoNLL-style line are meant, counted from 0, or from the end by -1, -2, ..."""

    word: int = 0
    label: int = -1


@dataclass(frozen=True, slots=True)
class TaggedWords:
    """A sentence, a label for each of its words, and the line of the first, counted from 1."""

    words: tuple[str, ...]
    labels: tuple[str, ...]
    line: int


def read_tagged(path: Path, columns: TaggedColumns) -> Iterator[TaggedWords]:
    """One sentence after another.

    Raises:
        DataError: as :func:`henkan.data.readers.read_lines`; a line has not its columns or is not JSON of this form;
            there are not as many labels as words; one of either is empty or holds a space.
    """
    if path.name.removesuffix(".gz").endswith(".jsonl"):
        for number, text in enumerate(read_lines(path), start=1):
            yield _record(text, number, f"line {number} of {path}")
        return
    words: list[str] = []
    labels: list[str] = []
    first = 1
    for number, text in enumerate(read_lines(path), start=1):
        if not text.strip():
            if words:
                yield TaggedWords(tuple(words), tuple(labels), first)
            words, labels = [], []
            continue
        if text.startswith(DOCUMENT):
            continue
        if not words:
            first = number
        word, label = _cells(text, columns, f"line {number} of {path}")
        words.append(word)
        labels.append(label)
    if words:
        yield TaggedWords(tuple(words), tuple(labels), first)


def _cells(text: str, columns: TaggedColumns, where: str) -> tuple[str, str]:
    cells = text.split("\t") if "\t" in text else [cell for cell in text.split(" ") if cell]
    found = []
    for name, column in (("word", columns.word), ("label", columns.label)):
        if not -len(cells) <= column < len(cells) or len(cells) < 2:
            raise DataError(
                f"{where}: {len(cells)} columns, and the {name} is expected in column {column}; expected a word and "
                "its label with a tab or a space between; set data.columns"
            )
        found.append(_checked(cells[column], name, where))
    return found[0], found[1]


def _record(text: str, number: int, where: str) -> TaggedWords:
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: not JSON ({error})") from None
    words, labels = (_strings(record, key, where) for key in ("words", "labels"))
    if len(words) != len(labels) or not words:
        raise DataError(f"{where}: {len(words)} words and {len(labels)} labels; expected one label for each word")
    return TaggedWords(words, labels, number)


def _strings(record: Any, key: str, where: str) -> tuple[str, ...]:
    values = record.get(key) if isinstance(record, dict) else None
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise DataError(f"{where}: expected a list of texts under {key!r}")
    return tuple(_checked(value, key.removesuffix("s"), where) for value in values)


def _checked(text: str, name: str, where: str) -> str:
    """A model reads a line of words and answers with a line of labels, so neither may hold a space."""
    if not text or " " in text:
        raise DataError(f"{where}: {name} {text!r} is empty or holds a space; write U+00A0 for a space in a word")
    return text
