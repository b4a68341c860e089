"""Questions with several choices of which one is right, from JSON Lines; every complaint names its line.

``{"question": ..., "choices": [...], "label": 2}``; or ``choice0``, ``choice1``, ... in place of the list, as in
JCommonsenseQA. Choices count from 0. Other keys are left alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, takewhile
from pathlib import Path
from typing import Any

from henkan.data.readers import read_lines
from henkan.errors import DataError


@dataclass(frozen=True, slots=True)
class ChoiceQuestion:
    """A question, its choices, the place of the right one, and its line, counted from 1."""

    question: str
    choices: tuple[str, ...]
    label: int | None  # None where nobody said
    line: int


def read_choices(path: Path) -> Iterator[ChoiceQuestion]:
    """One question for each line, each with its right choice.

    Raises:
        DataError: as :func:`henkan.data.readers.read_lines`; a line is not JSON of this form, or its label is none of
            its choices.
    """
    for number, text in enumerate(read_lines(path), start=1):
        where = f"line {number} of {path}"
        try:
            found = parse_choices(text, number)
        except ValueError as error:
            raise DataError(f"{where}: {error}") from None
        if found.label is None:
            raise DataError(f"{where}: there is no label; expected the place of the right choice, counted from 0")
        yield found


def parse_choices(text: str, line: int) -> ChoiceQuestion:
    """A question from its line; ValueError says what is wrong with it."""
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON ({error})") from None
    if not isinstance(record, dict):
        raise ValueError(f"expected an object {{...}}, got {type(record).__name__}")
    choices = record.get("choices")
    if choices is None:
        choices = [record[key] for key in takewhile(record.__contains__, (f"choice{place}" for place in count()))]
    if not isinstance(choices, list) or len(choices) < 2:
        raise ValueError("expected a list of at least two texts under 'choices', or keys choice0, choice1, ...")
    label: Any = record.get("label")
    if label is not None and (isinstance(label, bool) or not isinstance(label, int) or not 0 <= label < len(choices)):
        raise ValueError(f"label {label!r}: expected a number from 0 to {len(choices) - 1}")
    texts = [record.get("question"), *choices]
    if wrong := [text for text in texts if not isinstance(text, str) or not text.strip()]:
        raise ValueError(f"{wrong[0]!r}: expected a text as question and as each choice")
    return ChoiceQuestion(texts[0], tuple(choices), label, line)
