"""How far something is, for people: one moving line on a terminal, elsewhere a line now and then."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

LINE_SECONDS = 10.0
"""Where there is no terminal, a line is printed so often."""


class Bar:
    """A share of the whole and a text that goes with it; to be shown inside its context.

    Args:
        quiet: seconds without a line, where there is no terminal.
    """

    def __init__(self, console: Console, quiet: float = 0.0) -> None:
        self._console = console
        self._bar = Progress(
            BarColumn(24),
            TextColumn("{task.percentage:>3.0f}% {task.description}"),
            console=console,
            refresh_per_second=4,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("", total=1.0)
        self._next_line = time.monotonic() + quiet

    def show(self, share: float, text: str) -> None:
        """Move the bar; without a terminal print a line if the last one is some seconds old."""
        self._bar.update(self._task, completed=share, description=text)
        if not self._console.is_terminal and time.monotonic() >= self._next_line:
            self._console.print(f"{share:4.0%} {text}", highlight=False, markup=False, soft_wrap=True)
            self._next_line = time.monotonic() + LINE_SECONDS

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()


class Pace:
    """What a bar says of things that are gone through one by one: how many, how fast, how long still."""

    def __init__(self, bar: Bar, things: str) -> None:
        self._bar = bar
        self._things = things
        self._began = 0.0

    def __call__(self, doing: str, done: int, total: int) -> None:
        """Show how far it is.

        Args:
            doing: what is done with them.
            done: so many of them; with 0 the clock starts.
            total: how many there are; 0 where nobody knows.
        """
        if not done:
            self._began = time.monotonic()
            return
        rate = done / max(time.monotonic() - self._began, 1e-3)
        text = f"{doing}: {done:,}{f' of {total:,}' if total else ''} {self._things}, {rate:,.0f} a second"
        if total:
            text += f", {describe((total - done) / rate)} left"
        self._bar.show(done / total if total else 0.0, text)


def describe(seconds: float) -> str:
    """A duration for people: 45 s, 3:05, 1:02:03."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
