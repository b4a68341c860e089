"""What a run tells: events.jsonl for programs and reports, the console for people. Only rank 0 has either.

events.jsonl has one JSON object a line, whose key "event" is start, update, validation, checkpoint, resume or end.
A run that was stopped and resumed reads as one run: what came after the resumed checkpoint is dropped from the file.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from rich.console import Console

from henkan.progress import Bar
from henkan.training.checkpoint import storage


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
        self._bar = Bar(self._console)

    def event(self, name: str, values: Mapping[str, Any]) -> None:
        """One line, on its way to the disk when this returns; numbers that JSON lacks become null."""
        line = json.dumps(_plain({"event": name, **values}), ensure_ascii=False, allow_nan=False)
        with storage(self._path):
            self._stream.write(line + "\n")
            self._stream.flush()

    def progress(self, share: float, text: str) -> None:
        """Move the bar."""
        self._bar.show(share, text)

    def say(self, text: str) -> None:
        """A line that stays."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def __enter__(self) -> Self:
        self._bar.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.__exit__(kind, error, trace)
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


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value
