"""A stream of lines through a model: in windows, in order, nothing cut.

Windows of 2,000 lines let inputs be sorted by length; a pipe that falls idle is served at once with what it has.
"""

from __future__ import annotations

import json
import queue
import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from io import BufferedReader
from pathlib import Path
from typing import Any

from henkan.data.readers import read_lines, read_stream
from henkan.errors import ConfigError, DataError
from henkan.model import TextModel
from henkan.tasks.translator import Prediction
from henkan.text.normalise import normalise

WINDOW = 2000
"""Lines that are sorted and translated together."""

_UNITS = (re.compile(r"(?s).+?(?:[.!?…](?=\s)|[。！？]|$)\s*"), re.compile(r"\s*\S+\s*"))
"""Sentences, words: either end with the spaces behind them, so that joined they are the line again."""


def windows(file: Path) -> Iterator[tuple[int, list[str]]]:
    """The lines of a file, or of standard input for ``-``, with the number of each window's first line."""
    if str(file) != "-":
        yield from _in_windows(read_lines(file))
        return
    stream = sys.stdin.buffer
    assert isinstance(stream, BufferedReader)
    yield from _as_they_come(read_stream(stream, "standard input"))


def _in_windows(lines: Iterator[str]) -> Iterator[tuple[int, list[str]]]:
    window: list[str] = []
    first = 1
    for line in lines:
        window.append(line)
        if len(window) == WINDOW:
            yield first, window
            first, window = first + WINDOW, []
    if window:
        yield first, window


def _as_they_come(lines: Iterator[str]) -> Iterator[tuple[int, list[str]]]:
    """A thread reads; whenever the model is free it gets what has come, at most a window."""
    waiting: queue.Queue[str | BaseException | None] = queue.Queue(2 * WINDOW)

    def read() -> None:
        try:
            for line in lines:
                waiting.put(line)
            waiting.put(None)
        except BaseException as error:  # raised again by the consumer, in its turn
            waiting.put(error)

    threading.Thread(target=read, daemon=True).start()
    first = 1
    while True:
        window: list[str] = []
        item = waiting.get()
        while isinstance(item, str):
            window.append(item)
            if len(window) == WINDOW:
                break
            try:
                item = waiting.get(timeout=0.05)  # a busy pipe fills the window; an idle one is served
            except queue.Empty:
                break
        if window:
            yield first, window
            first += len(window)
        if isinstance(item, BaseException):
            raise item
        if item is None:
            return


class Predictor:
    """Turns windows of lines into rows of output.

    Args:
        model: what predicts.
        changes: search options that differ from the model's own.
        align: ask for alignments.
        longest: inputs of more tokens are split, or refused.
        may_split: split them at sentence ends, failing that at spaces, failing that anywhere.
    """

    def __init__(
        self, model: TextModel, changes: Mapping[str, Any], align: bool, longest: int, may_split: bool
    ) -> None:
        self.model = model
        self.options = model.searching(changes, "command line")
        self.align = align
        self.longest = longest
        self.may_split = may_split
        self.split = 0  # inputs that were predicted in parts
        self.cut = 0  # outputs that reached their largest length before they ended

    def rows(self, lines: Sequence[str], first: int, output_format: str) -> Iterator[str]:
        """One row for each line and each of its n best outputs; ``first`` is the number of the first line."""
        parts = [self._parts(line, first + place) for place, line in enumerate(lines)]
        found = iter(self.model.explain([part for line in parts for part in line], self.options, align=self.align))
        for place, line in enumerate(parts):
            pieces = [next(found) for _ in line]
            for prediction in pieces[0] if len(pieces) == 1 else [joined([piece[0] for piece in pieces])]:
                if self.align and prediction.alignment is None:
                    raise ConfigError("--align: this model has no attention over its source; leave --align out")
                self.cut += not prediction.finished
                yield _row(first + place, lines[place], prediction, output_format)

    def _parts(self, line: str, number: int) -> list[str]:
        tokenizer = self.model.tokenizers[0]
        count = len(tokenizer.encode([normalise(line)])[0])
        if count <= self.longest:
            return [line]
        if not self.may_split:
            raise DataError(
                f"line {number}: {count:,} tokens, expected at most {self.longest}; "
                "raise --longest, or let it be split with --long-lines split"
            )
        self.split += 1
        return split_line(line, lambda text: len(tokenizer.encode([normalise(text)])[0]) <= self.longest)


def split_line(line: str, fits: Callable[[str], bool]) -> list[str]:
    """A long line in as few parts as fit, cut at sentence ends, failing that at spaces, failing that in the middle.

    Nothing is lost but the spaces where it was cut.
    """
    return [part for part in map(str.strip, _cut(line, fits)) if part] or [""]


def _cut(line: str, fits: Callable[[str], bool]) -> list[str]:
    """The parts of a line that does not fit, with all spaces."""
    for unit in _UNITS:
        units = unit.findall(line)
        if len(units) > 1:
            break
    else:
        middle = len(line) // 2
        units = [line[:middle], line[middle:]]
    parts: list[str] = []
    for unit in units:
        if parts and fits(parts[-1] + unit):
            parts[-1] += unit
        else:
            parts.extend([unit] if fits(unit) else _cut(unit, fits))
    return parts


def joined(parts: Sequence[Prediction]) -> Prediction:
    """The predictions for the parts of one line as one; scores are summed, places move along."""
    alignment: list[int] | None = []
    offset = 0
    for part in parts:
        alignment = (
            None
            if alignment is None or part.alignment is None
            else [*alignment, *(offset + place for place in part.alignment)]
        )
        offset += len(part.source_pieces)
    return Prediction(
        " ".join(part.text for part in parts if part.text),
        sum(part.score for part in parts),
        sum(part.log_prob for part in parts),
        [piece for part in parts for piece in part.pieces],
        [piece for part in parts for piece in part.source_pieces],
        alignment,
        all(part.finished for part in parts),
    )


def _row(number: int, line: str, prediction: Prediction, output_format: str) -> str:
    if output_format == "text":
        return prediction.text
    if output_format == "tsv":
        cells = [str(number), f"{prediction.score:.4f}", prediction.text]
        if prediction.alignment is not None:
            cells.append(" ".join(f"{place}-{looked}" for place, looked in enumerate(prediction.alignment)))
        return "\t".join(cell.replace("\t", " ") for cell in cells)
    row: dict[str, Any] = {
        "line": number,
        "source": line,
        "output": prediction.text,
        "score": round(prediction.score, 6),
        "log_prob": round(prediction.log_prob, 6),
    }
    if prediction.alignment is not None:
        row |= {
            "pieces": prediction.pieces,
            "source_pieces": prediction.source_pieces,
            "alignment": prediction.alignment,
        }
    return json.dumps(row, ensure_ascii=False)
