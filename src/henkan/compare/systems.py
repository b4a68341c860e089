"""What is compared: systems, each with the runs that were trained of it, as their folders tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from henkan.errors import ConfigError, FolderError
from henkan.evaluation import Scored, read_outputs
from henkan.folder import read_json
from henkan.report.history import Run, number, read_run
from henkan.settings import read_layer


@dataclass(frozen=True)
class TrainedRun:
    """One run folder that was evaluated."""

    folder: Path
    preset: str
    size: str
    scores: tuple[str, ...]  # that its recipe names
    vocabularies: tuple[int, int] | None  # source and target, as far as the folder tells
    history: Run
    scored: Scored

    @property
    def parameters(self) -> int | None:
        """How many the network has."""
        return _whole(number(self.history.start, "parameters"))

    @property
    def seed(self) -> int | None:
        """Of the training."""
        return _whole(number(self.history.start, "seed"))

    @property
    def speed(self) -> float | None:
        """Target tokens a second while training, the median of what was logged."""
        logged = [value for _, value in self.history.update_points("tokens_per_second")]
        return median(logged) if logged else None

    @property
    def updates(self) -> int | None:
        """Done in all."""
        last = number(self.history.end, "update")
        logged = [number(event, "update") or 0.0 for event in self.history.updates]
        return _whole(max(logged, default=None) if last is None else last)

    @property
    def seconds(self) -> float | None:
        """From the start of the run to the end of its training, preparation included."""
        return number(self.history.end, "elapsed")

    @property
    def loss(self) -> float | None:
        """Validation loss of the weights that were kept, nats per target token."""
        return number(self.history.best, "loss")

    def by_time(self, name: str) -> list[tuple[float, float]]:
        """(minutes, value) of the loss or a score at each validation."""
        elapsed = dict(self.history.validation_points("elapsed"))
        told = self.history.validation_points(name)
        return [(elapsed[update] / 60, value) for update, value in told if update in elapsed]


@dataclass(frozen=True)
class System:
    """One row of the table: runs that differ in nothing but the seed.

    Attributes:
        name: unique among the systems that are compared.
        runs: at least one.
        widths: how its widths were changed to match another's size; empty where they were not.
        factor: of the widths.
    """

    name: str
    runs: tuple[TrainedRun, ...]
    widths: tuple[str, ...] = ()
    factor: float = 1.0

    def mean(self, name: str) -> float | None:
        """The mean over runs of a number of :class:`TrainedRun`; None if a run lacks it."""
        values = [getattr(run, name) for run in self.runs]
        return None if any(value is None for value in values) else sum(values) / len(values)


def read_trained(folder: Path) -> TrainedRun:
    """A run folder with its last evaluation.

    Raises:
        FolderError: no run folder, or one that was not evaluated, or damaged.
    """
    if not folder.is_dir():
        raise FolderError(f"{folder}: no such folder; expected a run folder, as `henkan train` makes it")
    scored, history = read_outputs(folder), read_run(folder)
    try:
        settings = read_layer(folder / "config.yaml").values
    except ConfigError as error:
        raise FolderError(str(error)) from error
    scores = settings.get("scores")
    return TrainedRun(
        folder,
        str(settings.get("preset", "–")),
        str(settings.get("size", "–")),
        tuple(map(str, scores)) if isinstance(scores, list) else (),
        _vocabularies(folder / "prepared" / "report.json"),
        history,
        scored,
    )


def systems_of(folders: Sequence[Path]) -> list[System]:
    """Each run folder as a system of its own, named after the folder; by the whole path where names are not unique."""
    runs = [read_trained(folder) for folder in folders]
    names = [folder.resolve().name for folder in folders]
    if len(set(names)) < len(names):
        names = [str(folder) for folder in folders]
    if len(set(names)) < len(names):
        raise ConfigError(f"{', '.join(names)}: a run is there twice; name each once")
    return [System(name, (run,)) for name, run in zip(names, runs, strict=True)]


def check_same_test(systems: Sequence[System]) -> None:
    """FolderError unless all runs were scored on the same sources with the same references, in the same order."""
    runs = [run for system in systems for run in system.runs]
    for first, other in pairwise(runs):
        place = f"{other.folder}: scored on another test set than {first.folder}"
        cure = "evaluate both on one test set with `henkan evaluate`"
        counts = len(first.scored.sources), len(other.scored.sources)
        if counts[0] != counts[1]:
            raise FolderError(f"{place} ({counts[1]:,} segments, not {counts[0]:,}); {cure}")
        for what in ("sources", "references"):
            told = zip(getattr(first.scored, what), getattr(other.scored, what), strict=True)
            for line, (wanted, found) in enumerate(told, start=1):
                if wanted != found:
                    raise FolderError(f"{place} ({what} differ at segment {line}: {found!r}, not {wanted!r}); {cure}")


def _vocabularies(path: Path) -> tuple[int, int] | None:
    if not path.is_file():
        return None
    told: Any = read_json(path)
    try:
        return int(told["vocabulary"]["source"]), int(told["vocabulary"]["target"])
    except (KeyError, TypeError, ValueError):
        return None


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)
