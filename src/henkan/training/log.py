"""What a run tells: events.jsonl for programs and reports, the console for people. Only rank 0 has either.

events.jsonl has one JSON object a line, whose key "event" is start, update, validation, checkpoint, resume or end.
A run that was stopped and resumed reads as one run: what came after the resumed checkpoint is dropped from the file.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from henkan.training.checkpoint import storage

LINE_SECONDS = 10.0
"""Where there is no terminal, a line of progress is printed so often."""


class Log(Protocol):
    """Where a run reports to."""

    def event(self, name: str, values: Mapping[str, Any]) -> None:
        """Something for events.jsonl."""
        ...

    def progress(self, share: float, text: str) -> None:
        """How far the run is; shown, not kept."""
        ...

    def say(self, text: str) -> None:
        """A line for people."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class SilentLog:
    """The log of every rank but the first."""

    def event(self, name: str, values: Mapping[str, Any]) -> None:
        """Nothing."""

    def progress(self, share: float, text: str) -> None:
        """Nothing."""

    def say(self, text: str) -> None:
        """Nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class RunLog:
    """Appends to events.jsonl and keeps a console up to date: one moving line on a terminal, else one now and then.

    Args:
        path: events.jsonl; what it holds of updates after ``update`` is dropped, and a line that a kill tore off.
        update: where the run goes on; 0 starts a new file.
    """

    def __init__(self, path: Path, update: int, console: Console | None) -> None:
        with storage(path):
            trim(path, update)
            self._stream = path.open("a", encoding="utf-8")
        self._path = path
        self._console = console or Console(quiet=True)
        self._bar = Progress(
            BarColumn(24),
            TextColumn("{task.percentage:>3.0f}% {task.description}"),
            console=self._console,
            refresh_per_second=4,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("", total=1.0)
        self._next_line = 0.0

    def event(self, name: str, values: Mapping[str, Any]) -> None:
        """One line, on its way to the disk when this returns; numbers that JSON lacks become null."""
        line = json.dumps(_plain({"event": name, **values}), ensure_ascii=False, allow_nan=False)
        with storage(self._path):
            self._stream.write(line + "\n")
            self._stream.flush()

    def progress(self, share: float, text: str) -> None:
        """Move the bar; without a terminal print a line if the last one is some seconds old."""
        self._bar.update(self._task, completed=share, description=text)
        if not self._console.is_terminal and time.monotonic() >= self._next_line:
            self.say(f"{share:4.0%} {text}")
            self._next_line = time.monotonic() + LINE_SECONDS

    def say(self, text: str) -> None:
        """A line that stays."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
        self._stream.close()


def trim(path: Path, update: int) -> None:
    """Keep of an events file only whole lines of updates up to ``update``; with 0, nothing."""
    if not path.exists():
        return
    partial = path.with_name(f".partial-{path.name}")
    with partial.open("w", encoding="utf-8") as stream:
        for event in read_events(path) if update else ():
            if event.get("update", 0) <= update and event["event"] != "end":
                stream.write(json.dumps(event, ensure_ascii=False) + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(partial, path)


def read_events(path: Path) -> Iterator[dict[str, Any]]:
    """The events of a file in order, up to the first line that is torn."""
    with path.open(encoding="utf-8", errors="replace") as stream:
        for line in stream:
            try:
                event = json.loads(line)
            except ValueError:
                return
            if not (line.endswith("\n") and isinstance(event, dict) and "event" in event):
                return
            yield event


def describe(seconds: float) -> str:
    """A duration for people: 45 s, 3:05, 1:02:03."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value
