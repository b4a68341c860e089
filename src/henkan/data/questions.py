"""Questions about passages, with answers that are stretches of them: SQuAD 1.1 and 2.0, JaQuAD, JSON Lines.

The official files are one JSON object: ``{"data": [{"title", "paragraphs": [{"context", "qas": [{"id", "question",
"answers": [{"text", "answer_start"}], "is_impossible"}]}]}]}``. In JSON Lines each line is one of those paragraphs.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from henkan.data.readers import read_lines
from henkan.errors import DataError

LARGEST = 1 << 30
"""Bytes of an official file, unpacked, at most."""


@dataclass(frozen=True, slots=True)
class Question:
    """One question.

    Attributes:
        answers: text and the place of its first character in the context; none where there is no answer.
    """

    name: str
    question: str
    context: str
    answers: tuple[tuple[str, int], ...]

    @property
    def references(self) -> list[str]:
        """Right answers as text; the empty one where there is no answer."""
        return [text for text, _ in self.answers] or [""]


def read_questions(path: Path) -> Iterator[Question]:
    """All questions of a file, paragraph after paragraph.

    Raises:
        DataError: the file is missing, damaged, or not of this form; an answer does not stand where it is said to.
    """
    if path.name.removesuffix(".gz").endswith(".jsonl"):
        for number, line in enumerate(read_lines(path), start=1):
            where = f"line {number} of {path}"
            yield from _paragraph(_parsed(line, where), where)
        return
    whole = _parsed(_content(path), str(path))
    for number, article in enumerate(_list(whole, "data", str(path)), start=1):
        for place, paragraph in enumerate(_list(article, "paragraphs", f"{path}: article {number}"), start=1):
            yield from _paragraph(paragraph, f"{path}: article {number}, paragraph {place}")


def _paragraph(paragraph: Any, where: str) -> Iterator[Question]:
    context = _string(paragraph, "context", where)
    for entry in _list(paragraph, "qas", where):
        name = str(entry.get("id", "")) if isinstance(entry, dict) else ""
        here = f"{where}, question {name}"
        question = _string(entry, "question", here)
        answers = []
        for answer in [] if entry.get("is_impossible") else _list(entry, "answers", here):
            text, start = _string(answer, "text", here), answer.get("answer_start")
            if not isinstance(start, int) or start < 0 or context[start : start + len(text)] != text:
                raise DataError(f"{here}: answer {text[:60]!r} does not stand at character {start} of its context")
            answers.append((text, start))
        yield Question(name, question, context, tuple(answers))


def _content(path: Path) -> str:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except (OSError, EOFError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
    if len(content) > LARGEST:
        raise DataError(f"{path}: over {LARGEST >> 20} MiB; give it as JSON Lines, a paragraph a line")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 (byte {error.start}); save the file as UTF-8") from None


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: not JSON ({error})") from None


def _list(record: Any, key: str, where: str) -> list[Any]:
    value = record.get(key) if isinstance(record, dict) else None
    if not isinstance(value, list):
        raise DataError(f"{where}: expected a list under {key!r}")
    return value


def _string(record: Any, key: str, where: str) -> str:
    value = record.get(key) if isinstance(record, dict) else None
    if not isinstance(value, str):
        raise DataError(f"{where}: expected a text under {key!r}")
    return value
