"""A stream of lines through a model: in windows, in order, nothing cut.

Windows of 2,000 lines let inputs be sorted by length; a pipe that falls idle is served at once with what it has.
While the last batches of one window are searched, those who are free take the first of the next.
"""

from __future__ import annotations

import json
import queue
import re
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BufferedReader, FileIO
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

from henkan.data.readers import read_lines, read_stream
from henkan.errors import ConfigError, DataError
from henkan.model import TextModel
from henkan.tasks.translator import Prediction
from henkan.tasks.workers import ALONE, Workers

WINDOW = 2000
"""Lines that are sorted by length together."""

AHEAD = 1
"""Windows that are begun while an earlier one is not yet out."""

_IDLE = 0.05
"""Seconds without a line after which a pipe is idle."""

_UNITS = (re.compile(r"(?s).+?(?:[.!?…](?=\s)|[。！？]|$)\s*"), re.compile(r"\s*\S+\s*"))
"""Sentences, words: either end with the spaces behind them, so that joined they are the line again."""


Window: TypeAlias = tuple[int, list[str]]
"""The number of the first line, and the lines; none where nothing has come for a while."""


def windows(file: Path) -> Iterator[Window]:
    """The lines of a file, or of standard input for ``-``."""
    if str(file) != "-":
        yield from _in_windows(read_lines(file))
        return
    # A reader of its own: a thread that waits in sys.stdin holds its lock, and at its end a process closes sys.stdin.
    stream: BufferedReader = BufferedReader(FileIO(sys.stdin.fileno(), closefd=False))
    yield from _as_they_come(read_stream(stream, "standard input"))


def _in_windows(lines: Iterator[str]) -> Iterator[Window]:
    first = 1
    while window := list(islice(lines, WINDOW)):
        yield first, window
        first += len(window)


def _as_they_come(lines: Iterator[str]) -> Iterator[Window]:
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
        try:
            item = waiting.get(timeout=_IDLE)
            while isinstance(item, str):
                window.append(item)
                if len(window) == WINDOW:
                    break
                item = waiting.get(timeout=_IDLE)  # a busy pipe fills the window; an idle one is served
        except queue.Empty:
            item = ""
        if window:
            yield first, window
            first += len(window)
        if isinstance(item, BaseException):
            raise item
        if item is None:
            return
        if len(window) < WINDOW:
            yield first, []


@dataclass
class _Pending:
    """Lines that wait for their predictions."""

    first: int
    lines: list[str]
    parts: list[int]  # how many each line was split into
    found: list[list[Prediction] | None]  # for each part
    told: int = 0  # lines that are out, and parts
    told_parts: int = 0


class Predictor:
    """Turns windows of lines into rows of output.

    Args:
        model: what predicts.
        changes: search options that differ from the model's own.
        align: ask for alignments.
        longest: inputs of more tokens are split, or refused.
        may_split: split them at sentence ends, failing that at spaces, failing that anywhere.
        workers: who does the work; what comes out does not depend on it.
    """

    def __init__(
        self,
        model: TextModel,
        changes: Mapping[str, Any],
        align: bool,
        longest: int,
        may_split: bool,
        workers: Workers = ALONE,
    ) -> None:
        self.translator = model.translator()
        self.options = model.searching(changes, "command line")
        self.align = align
        self.longest = longest
        self.may_split = may_split
        self.workers = workers
        self.split = 0  # inputs that were predicted in parts
        self.cut = 0  # outputs that reached their largest length before they ended

    def rows(self, windows: Iterable[Window], output_format: str) -> Iterator[list[str]]:
        """Rows as soon as all before them are out: one for each line and each of its n best outputs."""
        pending: deque[_Pending] = deque()
        pieces = self._pieces(windows, pending)
        answers = self.translator.answer(pieces, self.options, align=self.align, workers=self.workers)
        for (window, group), found in answers:
            for place, predictions in zip(group, found, strict=True):
                window.found[place] = predictions
            rows: list[str] = []
            while pending:
                rows += self._ready(pending[0], output_format)
                if pending[0].told < len(pending[0].lines):
                    break
                pending.popleft()
            if rows:
                yield rows

    def _pieces(
        self, windows: Iterable[Window], pending: deque[_Pending]
    ) -> Iterator[tuple[tuple[_Pending, list[int]], list[list[int]]] | None]:
        """What is searched together, longest first; the windows are noted as pending."""
        for first, lines in windows:
            while len(pending) > AHEAD:
                yield None
            if not lines:
                yield None
                continue
            parts = self._encoded(first, lines)
            sources = [source for line in parts for source in line]
            window = _Pending(first, lines, [len(line) for line in parts], [None] * len(sources))
            pending.append(window)
            for group in self.translator.batches(sources, self.options.beam):
                yield (window, group), [sources[place] for place in group]

    def _encoded(self, first: int, lines: Sequence[str]) -> list[list[list[int]]]:
        """The tokens of each line, in one part or in several; ``first`` is the number of the first line."""
        return [
            [source] if len(source) <= self.longest else self._in_parts(line, number, len(source))
            for number, (line, source) in enumerate(zip(lines, self.translator.encode(lines), strict=True), first)
        ]

    def _in_parts(self, line: str, number: int, count: int) -> list[list[int]]:
        if not self.may_split:
            raise DataError(
                f"line {number}: {count:,} tokens, expected at most {self.longest}; "
                "raise --longest, or let it be split with --long-lines split"
            )
        self.split += 1
        encode = self.translator.encode
        return encode(split_line(line, lambda text: len(encode([text])[0]) <= self.longest))

    def _ready(self, window: _Pending, output_format: str) -> Iterator[str]:
        """The rows of the next lines for which everything is there."""
        while window.told < len(window.lines):
            end = window.told_parts + window.parts[window.told]
            pieces = [found for found in window.found[window.told_parts : end] if found is not None]
            if len(pieces) < end - window.told_parts:
                return
            for prediction in pieces[0] if len(pieces) == 1 else [joined([piece[0] for piece in pieces])]:
                if self.align and prediction.alignment is None:
                    raise ConfigError("--align: this model has no attention over its source; leave --align out")
                self.cut += not prediction.finished
                yield _row(window.first + window.told, window.lines[window.told], prediction, output_format)
            window.found[window.told_parts : end] = [None] * len(pieces)
            window.told, window.told_parts = window.told + 1, end


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
