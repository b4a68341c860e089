"""Train and evaluate the runs of a comparison, one after the other.

    output/NAME-seed-1/    a run folder each (see henkan.run), with outputs.jsonl of the test set

What is done already is not done again: a finished run is not trained, an evaluated one not evaluated, and a run that
was stopped goes on. So after Ctrl-C the same command continues.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

from rich.console import Console

from henkan import run
from henkan.compare.plan import Trial, as_layer
from henkan.compare.systems import System, read_trained
from henkan.errors import FolderError, NonFiniteLoss, RunError, Stopped
from henkan.evaluation import evaluate, read_outputs, record
from henkan.model import load
from henkan.progress import describe
from henkan.tasks.workers import Workers
from henkan.training.signals import raising

Test = Sequence[tuple[str, list[str]]]
"""Sources with their references."""


@dataclass
class Bench:
    """A comparison in the making.

    Args:
        trials: what is to be trained.
        test: what every run is scored on.
        output: the folder that holds the run folders.
        console: shows where the work is, and the progress of each run.
    """

    trials: Sequence[Trial]
    test: Test
    output: Path
    console: Console
    failures: list[str] = field(default_factory=list)  # runs that came to nothing, in sentences
    _trained: list[float] = field(default_factory=list)  # seconds of each run
    _scored: list[float] = field(default_factory=list)

    def work(self) -> list[System]:
        """Do all that is not done yet, and read what came of it.

        Raises:
            ConfigError: a run that is there was made with other settings; nothing was started.
            Stopped: a signal came; all is saved, and the same call goes on.
            RunError: no run succeeded. Where some failed because their loss was not finite, ``failures`` tells.
        """
        for trial in self.trials:
            if (self._folder(trial) / "config.yaml").is_file():
                run.resumed_settings(self._folder(trial), [as_layer(trial)])
        waiting = [trial for trial in self.trials if not self._evaluated(trial)]
        for number, trial in enumerate(self.trials, start=1):
            what = f"{number} of {len(self.trials)}: {trial.name}, seed {trial.seed}"
            if trial not in waiting:
                self._say(f"{what}: done already")
                continue
            self._say(f"{what}{_size(trial)}{self._left(waiting)}")
            waiting.remove(trial)
            try:
                self._train(trial, what)
            except NonFiniteLoss as error:
                self.failures.append(f"{trial.folder} is missing: {error}")
                self._say(f"{trial.folder} failed: {error}")
            else:
                self._score(trial, what)
        return self._systems()

    def _train(self, trial: Trial, what: str) -> None:
        folder, began = self._folder(trial), time.monotonic()
        if _finished(folder):
            return
        try:
            run.train(trial.settings, output=folder, resume=True, console=self.console)
        except Stopped as stopped:
            message = f"stopped in {what}; all is saved, and the same command goes on"
            raise Stopped(message, stopped.exit_code - 128) from None
        self._trained.append(time.monotonic() - began)

    def _score(self, trial: Trial, what: str) -> None:
        began = time.monotonic()
        self._say(f"scoring {trial.name} on {len(self.test):,} sources")
        with raising(f"stopped while scoring {what}; the same command goes on"):
            sources, references = zip(*self.test, strict=True)
            scored = evaluate(load(self._folder(trial)), sources, references, workers=Workers.usual(threads=1))
            record(scored, self._folder(trial))
        self._scored.append(time.monotonic() - began)

    def _systems(self) -> list[System]:
        systems = []
        for name in dict.fromkeys(trial.name for trial in self.trials):
            mine = [trial for trial in self.trials if trial.name == name]
            runs = tuple(read_trained(self._folder(trial)) for trial in mine if self._evaluated(trial))
            if runs:
                factor = mine[0].match.factor if mine[0].match else 1.0
                systems.append(System(name, runs, mine[0].widths, factor))
        if not systems:
            raise RunError(f"no run succeeded: {'; '.join(self.failures)}")
        return systems

    def _evaluated(self, trial: Trial) -> bool:
        """Is there a model, scored on this very test set?"""
        folder = self._folder(trial)
        if not _finished(folder):
            return False
        try:
            kept = read_outputs(folder)
        except FolderError:
            return False
        return list(zip(kept.sources, kept.references, strict=True)) == list(self.test)

    def _left(self, waiting: Sequence[Trial]) -> str:
        """How long all that is left may take: budgets, or the mean so far, and the mean time of scoring."""
        untrained = [trial for trial in waiting if not _finished(self._folder(trial))]
        usual = fmean(self._trained) if self._trained else None
        lengths = [trial.config.training.budget or usual for trial in untrained]
        known = [length for length in lengths if length is not None]
        if len(known) < len(lengths):
            return ""
        scoring = fmean(self._scored) * len(waiting) if self._scored else 0.0
        return f"; about {describe(sum(known) + scoring)} left in all"

    def _folder(self, trial: Trial) -> Path:
        return self.output / trial.folder

    def _say(self, line: str) -> None:
        self.console.print(line, style="bold" if line[:1].isdigit() else None, highlight=False, markup=False)


def _size(trial: Trial) -> str:
    return "" if trial.match is None else f", {trial.match.parameters:,} parameters"


def _finished(folder: Path) -> bool:
    """Is the model written?"""
    return (folder / "model" / "manifest.json").is_file()
