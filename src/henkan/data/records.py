"""One line of a file of pairs, as a source and the targets that are right for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from henkan.config import Config
from henkan.errors import DataError

Field: TypeAlias = int | str

Parser: TypeAlias = Callable[[str], tuple[str, list[str]]]
"""A line as its source and its targets, the first of which is to be learnt; ValueError says what is wrong with it."""


class FieldsConfig(Config):
    """Where source and target are: keys of a ``.jsonl``, or columns of a ``.tsv``, counted from 0.

    A key may hold a list of texts: of a source they are joined with spaces, of a target each is one right answer.
    """

    source: Field
    target: Field

    def suits(self, path: Path) -> bool:
        """Whether a file of this kind has such fields."""
        wanted = int if kind(path) == ".tsv" else str
        return isinstance(self.source, wanted) and isinstance(self.target, wanted)


def kind(path: Path) -> str:
    """``.tsv`` or ``.jsonl``; DataError if the file is called otherwise."""
    suffix = Path(path.name.removesuffix(".gz")).suffix
    if suffix not in (".tsv", ".jsonl"):
        raise DataError(f"{path}: unknown kind {suffix or 'without a suffix'!r}; expected .tsv or .jsonl, or those .gz")
    return suffix


def parser(path: Path, fields: FieldsConfig | None) -> Parser:
    """What reads the lines of a file.

    Args:
        fields: None: ``source`` and ``target`` of a ``.jsonl``; of a ``.tsv`` the first column, and all further ones.

    Raises:
        DataError: the file is of another kind, or its kind has no such fields.
    """
    suffix = kind(path)
    if fields is None:
        return _columns if suffix == ".tsv" else partial(_keys, "source", "target")
    if not fields.suits(path):
        how = "the number of a column, counted from 0" if suffix == ".tsv" else "a key"
        raise DataError(
            f"{path}: data.fields are {fields.source!r} and {fields.target!r}; a field of a {suffix} is {how}"
        )
    if suffix == ".tsv":
        return partial(_chosen_columns, int(fields.source), int(fields.target))
    return partial(_keys, str(fields.source), str(fields.target))


def shown(text: str) -> str:
    """The beginning of a text, for messages."""
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


def _columns(text: str) -> tuple[str, list[str]]:
    source, *targets = text.split("\t")
    if not targets:
        raise ValueError(f"expected source and target with a tab between them, got {shown(text)}")
    return source, targets


def _chosen_columns(source: int, target: int, text: str) -> tuple[str, list[str]]:
    columns = text.split("\t")
    for name, number in (("source", source), ("target", target)):
        if not 0 <= number < len(columns):
            raise ValueError(f"data.fields.{name} is column {number}; the line has {len(columns)}, counted from 0")
    return columns[source], [columns[target]]


def _keys(source: str, target: str, text: str) -> tuple[str, list[str]]:
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON ({error}): {shown(text)}") from None
    if not isinstance(record, dict):
        raise ValueError(f'expected {{"{source}": ..., "{target}": ...}}, got {shown(text)}')
    return " ".join(_texts(record, source)), _texts(record, target)


def _texts(record: dict[str, Any], key: str) -> list[str]:
    if key not in record:
        raise ValueError(f"the key {key!r} is missing; the keys are {shown(', '.join(record))}")
    value = record[key]
    texts = value if isinstance(value, list) else [value]
    if not texts:
        raise ValueError(f"{key!r} is an empty list; expected text")
    for text in texts:
        if not isinstance(text, str):
            raise ValueError(f"{key!r} is {type(text).__name__}; expected text, or a list of texts")
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise ValueError(f"{key!r} holds half of a surrogate pair, which is no character") from None
    return texts
