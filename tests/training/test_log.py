"""events.jsonl and the console."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from henkan.errors import StorageError
from henkan.progress import describe
from henkan.training.log import RunLog, read_events


def write(path: Path, *events: dict) -> None:
    with RunLog(path, 0, None) as log:
        for event in events:
            log.event(event["event"], event)


def test_one_object_a_line(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    write(
        file,
        {"event": "start", "world": 1},
        {"event": "update", "update": 1, "loss": float("nan"), "scores": {"ä": 1.5}},
    )
    lines = file.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [
        {"event": "start", "world": 1},
        {"event": "update", "update": 1, "loss": None, "scores": {"ä": 1.5}},
    ]


def test_an_event_is_there_at_once(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    with RunLog(file, 0, None) as log:
        log.event("start", {})
        assert list(read_events(file)) == [{"event": "start"}]


def test_a_resumed_run_reads_as_one(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    kept = [{"event": "start", "world": 1}, {"event": "update", "update": 10}, {"event": "checkpoint", "update": 10}]
    write(file, *kept, {"event": "update", "update": 11}, {"event": "end", "update": 10, "reason": "stopped"})
    with file.open("a") as stream:
        stream.write('{"event": "update", "upda')  # a kill while writing
    with RunLog(file, 10, None) as log:
        log.event("resume", {"update": 10})
    assert list(read_events(file)) == [*kept, {"event": "resume", "update": 10}]


def test_a_new_run_starts_a_new_file(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    write(file, {"event": "update", "update": 1})
    write(file, {"event": "start"})
    assert list(read_events(file)) == [{"event": "start"}]


def test_a_folder_that_is_missing_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"events\.jsonl"):
        RunLog(tmp_path / "missing" / "events.jsonl", 0, None)


def test_without_a_terminal_lines_are_rare(tmp_path: Path) -> None:
    screen = io.StringIO()
    with RunLog(tmp_path / "events.jsonl", 0, Console(file=screen, width=40)) as log:
        for step in range(5):
            log.progress(step / 5, f"update {step}, [brackets] are text, and long lines are not folded")
        log.say("validation")
    assert screen.getvalue().splitlines() == [
        "  0% update 0, [brackets] are text, and long lines are not folded",
        "validation",
    ]


def test_a_terminal_has_one_moving_line(tmp_path: Path) -> None:
    screen = io.StringIO()
    console = Console(file=screen, width=80, force_terminal=True, color_system=None)
    with RunLog(tmp_path / "events.jsonl", 0, console) as log:
        log.progress(0.5, "update 5, loss [2.0]")
        log.say("validation")
    assert "50% update 5, loss [2.0]" in screen.getvalue()
    assert "validation" in screen.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59, "59 s"), (60, "1:00"), (185, "3:05"), (3599.7, "1:00:00"), (3723, "1:02:03")],
)
def test_durations_for_people(seconds: float, text: str) -> None:
    assert describe(seconds) == text
