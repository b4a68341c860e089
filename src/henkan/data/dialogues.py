"""Dialogues as pairs: what was said last, and the reply.

A file is JSON Lines, a dialogue each: ``{"turns": [{"speaker": "U", "text": "..."}, ...]}``; the keys may be others.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from henkan.data.example import Pair
from henkan.data.readers import read_lines
from henkan.errors import DataError


@dataclass(frozen=True)
class Keys:
    """What things are called in a file of dialogues."""

    turns: str = "turns"
    speaker: str = "speaker"
    text: str = "text"


@dataclass(frozen=True, slots=True)
class Turn:
    """Who said what."""

    speaker: str
    text: str


def read_dialogues(path: Path, keys: Keys = Keys()) -> Iterator[list[Turn]]:
    """The turns of each dialogue, those without words left out; runs of white space become one space.

    Raises:
        DataError: as :func:`henkan.data.readers.read_lines`, and for a line that is no dialogue.
    """
    for number, line in enumerate(read_lines(path), start=1):
        try:
            yield [turn for turn in _turns(line, keys) if turn.text]
        except ValueError as error:
            raise DataError(f"line {number} of {path}: {error}") from None


def replies(dialogues: Iterable[list[Turn]], context: int, speaker: str | None = None) -> Iterator[Pair]:
    """Each turn as the reply to those before it: ``U: i need a table S: for how many people?`` and ``two``.

    A reply has no mark of its own, as it is the other speaker's turn. The line of a pair is that of its dialogue.

    Args:
        context: at most so many turns before a reply.
        speaker: only replies of this one, such as the system; None: of all.
    """
    for number, turns in enumerate(dialogues, start=1):
        before: deque[str] = deque(maxlen=context)
        for turn in turns:
            if before and speaker in (None, turn.speaker):
                yield Pair(" ".join(before), turn.text, number)
            before.append(f"{turn.speaker}: {turn.text}")


def _turns(line: str, keys: Keys) -> Iterator[Turn]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON ({error})") from None
    turns = record.get(keys.turns) if isinstance(record, dict) else None
    if not isinstance(turns, list):
        raise ValueError(f"expected a list of turns under {keys.turns!r}")
    for turn in turns:
        found = [turn.get(key) if isinstance(turn, dict) else None for key in (keys.speaker, keys.text)]
        speaker, text = (" ".join(value.split()) if isinstance(value, str) else None for value in found)
        if speaker is None or text is None:
            raise ValueError(f"expected each turn to have texts under {keys.speaker!r} and {keys.text!r}")
        yield Turn(speaker, text)
