"""What a run folder tells: events, test scores, settings.

``metrics.json``::

    {"scores": [Score, …],
     "by_length": [{"shortest": 1, "longest": 8, "score": Score}, …], "length_unit": "words of the source",
     "samples": [{"source": "…", "reference": "…" or ["…", …], "output": "…"}, …],
     "data": ["a fact about the data that were scored", …]}

All keys but ``scores`` may be missing; Score and bands are what ``to_json`` of :mod:`henkan.metrics.score` gives.

``events.jsonl`` has an event a line (see :mod:`henkan.training.log`). A run that was killed may have a torn last line,
and a resumed run repeats the updates after its last checkpoint; the later telling counts.

``prepared/report.json`` tells what was left out of the training pairs: ``{"kept": 9, "dropped": {reason: count},
"samples": {reason: [{"line": 7, "source": "…", "target": "…"}, …]}}``; other keys are left alone.
"""

import json
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from henkan.errors import FolderError, InputError
from henkan.metrics.score import LengthBand, Score
from henkan.pages.charts import Point

MAX_FILE = 1 << 30
"""Bytes of events.jsonl: some five million updates."""
MAX_TEXT = 1 << 24
"""Bytes of metrics.json and config.yaml."""


def number(event: dict[str, Any], key: str) -> float | None:
    """A finite number of an event; None if it is missing, null or NaN."""
    value = event.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


@dataclass(frozen=True)
class Sample:
    """An output of the model beside its source and the right answers."""

    source: str
    references: list[str]
    output: str


@dataclass(frozen=True)
class Filtered:
    """What became of the training pairs: how many were kept, and for each reason how many were not, with examples."""

    kept: int
    dropped: dict[str, int]
    samples: dict[str, list[str]]


@dataclass
class Run:
    """A run folder as read.

    Attributes:
        name: of the folder.
        start, end: the events of these names, empty if there were none.
        updates, validations: events in order of ``update``, each update once.
        filtered: of prepared/report.json; None if there is none.
        resumes: how often the run went on after a break.
        unreadable: lines of events.jsonl that are none, a torn last one apart.
        scores, bands, length_unit, samples, facts: of metrics.json.
        config: text of config.yaml.
    """

    name: str
    start: dict[str, Any] = field(default_factory=dict)
    end: dict[str, Any] = field(default_factory=dict)
    updates: list[dict[str, Any]] = field(default_factory=list)
    validations: list[dict[str, Any]] = field(default_factory=list)
    filtered: Filtered | None = None
    resumes: int = 0
    unreadable: int = 0
    scores: list[Score] = field(default_factory=list)
    bands: list[LengthBand] = field(default_factory=list)
    length_unit: str = "length"
    samples: list[Sample] = field(default_factory=list)
    facts: list[str] = field(default_factory=list)
    config: str = ""

    @property
    def best(self) -> dict[str, Any]:
        """The validation whose weights were kept; empty if there was none."""
        return next((event for event in reversed(self.validations) if event.get("best") is True), {})

    @property
    def validation_scores(self) -> list[str]:
        """Names of the scores that have a finite value at some validation."""
        told = [event["scores"] for event in self.validations if isinstance(event.get("scores"), dict)]
        return list(dict.fromkeys(name for scores in told for name in scores if number(scores, name) is not None))

    def update_points(self, key: str) -> list[Point]:
        """(update, value) of a number of the update events, where it is finite."""
        return _points((event, event.get(key)) for event in self.updates)

    def validation_points(self, name: str) -> list[Point]:
        """(update, value) of a number or of a score of the validations, where it is finite."""
        told = [(event, event.get("scores")) for event in self.validations]
        named = [(event, scores[name]) for event, scores in told if isinstance(scores, dict) and name in scores]
        return _points(named or ((event, event.get(name)) for event in self.validations))

    def best_of(self, points: Iterable[Point]) -> Point | None:
        """The point at the update whose weights were kept."""
        return next((point for point in points if point[0] == number(self.best, "update")), None)


def read_run(folder: Path) -> Run:
    """Everything the report shows.

    Raises:
        FolderError: neither ``events.jsonl`` nor ``metrics.json`` is there, or one is too large or no JSON.
    """
    events, metrics, config, prepared = (
        folder / name for name in ("events.jsonl", "metrics.json", "config.yaml", "prepared/report.json")
    )
    if not events.is_file() and not metrics.is_file():
        raise FolderError(f"{folder}: no events.jsonl and no metrics.json; expected a run folder")
    run = Run(folder.resolve().name)
    if events.is_file():
        _read_events(events, run)
    if metrics.is_file():
        _read_metrics(metrics, run)
    if prepared.is_file():
        _read_filtered(prepared, run)
    if config.is_file():
        run.config = _read_text(config)
    return run


def _points(told: Iterable[tuple[dict[str, Any], Any]]) -> list[Point]:
    numbers = [(number(event, "update"), number({"value": value}, "value")) for event, value in told]
    return [(x, y) for x, y in numbers if x is not None and y is not None]


def _read_events(path: Path, run: Run) -> None:
    updates: dict[float, dict[str, Any]] = {}
    validations: dict[float, dict[str, Any]] = {}
    for event in _lines(path, run):
        kind, update = event.get("event"), number(event, "update")
        if kind == "start":
            run.start = run.start or event
        elif kind == "resume":
            run.resumes += 1
            run.end = {}
            if update is not None:
                updates = {at: told for at, told in updates.items() if at <= update}
                validations = {at: told for at, told in validations.items() if at <= update}
        elif kind == "update" and update is not None:
            updates[update] = event
        elif kind == "validation" and update is not None:
            # the mean of the last checkpoints is judged at the last update too, and counts only if it is better
            if event.get("best") is True or validations.get(update, {}).get("best") is not True:
                validations[update] = event
        elif kind == "end":
            run.end = event
    run.updates = [updates[at] for at in sorted(updates)]
    run.validations = [validations[at] for at in sorted(validations)]


def _lines(path: Path, run: Run) -> Iterator[dict[str, Any]]:
    if path.stat().st_size > MAX_FILE:
        raise FolderError(f"{path}: {path.stat().st_size:,} bytes; expected at most {MAX_FILE:,}")
    with path.open("rb") as file:
        for line in file:
            try:
                event = json.loads(line)
            except (ValueError, RecursionError):
                # A last line without its end is what a killed run leaves behind.
                run.unreadable += line.endswith(b"\n")
                continue
            if isinstance(event, dict):
                yield event
            else:
                run.unreadable += 1


def _read_metrics(path: Path, run: Run) -> None:
    with _foreign(path, "evaluate the model again"):
        told = json.loads(_read_text(path))
        run.scores = [Score.from_json(score) for score in told.get("scores", [])]
        run.bands = [
            LengthBand(int(band["shortest"]), int(band["longest"]), Score.from_json(band["score"]))
            for band in told.get("by_length", [])
        ]
        run.length_unit = str(told.get("length_unit", run.length_unit))
        run.facts = [str(fact) for fact in told.get("data", [])]
        run.samples = [_sample(sample) for sample in told.get("samples", [])]


def _sample(sample: dict[str, Any]) -> Sample:
    reference = sample["reference"]
    references = [reference] if isinstance(reference, str) else [str(text) for text in reference]
    return Sample(str(sample["source"]), references, str(sample["output"]))


def _read_filtered(path: Path, run: Run) -> None:
    with _foreign(path, "prepare the data again"):
        told = json.loads(_read_text(path))
        samples = {
            str(reason): [f"line {int(pair['line'])}: {pair['source']} → {pair['target']}" for pair in pairs]
            for reason, pairs in dict(told.get("samples", {})).items()
        }
        dropped = {str(reason): int(count) for reason, count in dict(told["dropped"]).items()}
        run.filtered = Filtered(int(told["kept"]), dropped, samples)


@contextmanager
def _foreign(path: Path, cure: str) -> Iterator[None]:
    """Anything that does not look like our JSON becomes one error."""
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, InputError) as error:
        if isinstance(error, FolderError):
            raise
        raise FolderError(f"{path}: not what Henkan writes ({type(error).__name__}: {error}); {cure}") from error


def _read_text(path: Path) -> str:
    if path.stat().st_size > MAX_TEXT:
        raise FolderError(f"{path}: {path.stat().st_size:,} bytes; expected at most {MAX_TEXT:,}")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise FolderError(f"{path}: not UTF-8 (byte {error.start}); restore the file") from error
