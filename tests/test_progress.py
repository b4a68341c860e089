"""Progress on a terminal and elsewhere."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from henkan import progress
from henkan.progress import Bar, Pace


class Time:
    """A clock that a test moves."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    found = Time()
    monkeypatch.setattr(progress, "time", found)
    return found


def test_lines_come_now_and_then(time: Time) -> None:
    screen = io.StringIO()
    with Bar(Console(file=screen, width=40), quiet=10.0) as bar:
        pace = Pace(bar, "pairs")
        for seconds, done in enumerate(range(0, 25_000, 1000)):
            time.now = 100.0 + seconds
            pace("encoding [all]", done, 100_000)
        pace("counting", 0, 0)
        time.now += 12
        pace("counting", 600, 0)
    assert screen.getvalue().splitlines() == [
        " 10% encoding [all]: 10,000 of 100,000 pairs, 1,000 a second, 1:30 left",
        " 20% encoding [all]: 20,000 of 100,000 pairs, 1,000 a second, 1:20 left",
        "  0% counting: 600 pairs, 50 a second",
    ]


def test_a_terminal_has_a_bar(time: Time) -> None:
    screen = io.StringIO()
    with Bar(Console(file=screen, width=100, force_terminal=True, color_system=None)) as bar:
        pace = Pace(bar, "pairs")
        pace("encoding", 0, 10)
        time.now += 1
        pace("encoding", 5, 10)
    assert "50% encoding: 5 of 10 pairs, 5 a second, 1 s left" in screen.getvalue()
