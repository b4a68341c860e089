"""Texts, or pairs of texts, with a label or a number each, from tables and JSON Lines; every complaint names its line.

A table has a tab between columns and no quotes. With ``header`` its first line names the columns, and columns are
chosen by name; without, by number, counted from 0. JSON Lines are read by key.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from henkan.config import Config
from henkan.data.readers import read_lines
from henkan.errors import DataError

Column = int | str


class Columns(Config):
    """Where label and texts are; the usual table is label, text, and for pairs a second text."""

    label: Column | None = 0  # None: there are no labels, as in a test set that somebody else scores
    first: Column = 1
    second: Column | None = None
    header: bool = False


@dataclass(frozen=True, slots=True)
class LabelledText:
    """A text or a pair, what is right about it, and the line it stands on, counted from 1."""

    first: str
    second: str | None
    label: str | None
    line: int


def read_labelled(path: Path, columns: Columns, left_out: list[int] | None = None) -> Iterator[LabelledText]:
    """One example for each line.

    Args:
        left_out: gets the numbers of lines that lack one of the columns, or have nothing in it, and are then left out;
            None: such a line is an error.

    Raises:
        DataError: as :func:`henkan.data.readers.read_lines`, for a column that there is not, and for an empty one;
            where there are no labels an empty text is one, because every line is to be predicted.
    """
    lines = enumerate(read_lines(path), start=1)
    named = path.name.removesuffix(".gz").endswith(".jsonl")
    header: list[str] = []
    if columns.header and not named:
        _, first_line = next(lines)
        header = first_line.split("\t")
        wanted = [column for column in (columns.label, columns.first, columns.second) if column is not None]
        if missing := [column for column in wanted if column not in header]:
            raise DataError(_no_column(missing[0], header, f"the header of {path}"))
    for number, text in lines:
        where = f"line {number} of {path}"
        row: dict[Column, Any]
        if named:
            row = _record(text, where)
        else:
            cells = text.split("\t")
            row = dict(zip(header, cells, strict=False)) if columns.header else dict(enumerate(cells))
        try:
            first = _text(row, columns.first, where)
            second = None if columns.second is None else _text(row, columns.second, where)
            label = None if columns.label is None else _text(row, columns.label, where)
            if columns.label is not None and (not first or not label or second == ""):
                empty = columns.first if not first else columns.label if not label else columns.second
                raise DataError(f"{where}: column {empty!r} is empty; write something into it, or remove the line")
        except DataError:
            if left_out is None:
                raise
            left_out.append(number)
            continue
        yield LabelledText(first, second, label, number)


def as_number(example: LabelledText, path: Path) -> float:
    """The label of an example as a finite number; DataError if it is none."""
    try:
        value = float(example.label or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"line {example.line} of {path}: label {example.label!r} is no number; set `labels: classes`?")
    return value


def _record(text: str, where: str) -> dict[Column, Any]:
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: not JSON ({error})") from None
    if not isinstance(record, dict):
        raise DataError(f"{where}: expected an object {{...}}, got {type(record).__name__}")
    return record


def _text(row: dict[Column, Any], column: Column, where: str) -> str:
    if column not in row:
        raise DataError(_no_column(column, row, where))
    value = row[column]
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise DataError(f"{where}: column {column!r} holds {type(value).__name__}; expected text")
    return str(value).strip()


def _no_column(column: Column, there: Iterable[Column], where: str) -> str:
    names = ", ".join(repr(name) for name in there)
    return f"{where}: there is no column {column!r}; there are {names}; say in data.columns where label and texts are"
