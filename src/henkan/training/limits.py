"""How long a run is: in updates, in epochs, or in seconds; and when it validates.

A budget is a promise: training, validation, averaging, saving and whatever the caller does afterwards end inside it.
What the end of the run will take is estimated from what the same things took before.
"""

from __future__ import annotations

import time
from typing import Protocol

from henkan.training.options import TrainingConfig
from henkan.training.state import TrainingState

VALIDATIONS = 15
"""How often a run validates unless told otherwise."""

VALIDATION_SHARE = 0.08
"""The most of a budget that validating and saving on the way may take."""

CAUTION = 1.25
"""Factor on measured durations: machines drift."""


class Clock:
    """Seconds of a run: those of its earlier processes, and those since this one started."""

    def __init__(self, started: float | None, before: float) -> None:
        self._zero = (time.monotonic() if started is None else started) - before

    def elapsed(self) -> float:
        """Seconds by now."""
        return time.monotonic() - self._zero


class Limit(Protocol):
    """How long a run is."""

    def progress(self, state: TrainingState) -> float:
        """The share of the run that is over; at 1 it ends."""
        ...

    def validation_due(self, state: TrainingState) -> bool:
        """Is it time to validate, after the update just done?"""
        ...


class StepsLimit:
    """So many updates."""

    def __init__(self, steps: int, validate_every: int | None) -> None:
        self._steps = steps
        self._every = validate_every or max(1, round(steps / VALIDATIONS))
        self._first = 0 if validate_every else steps % self._every  # so that the last one is at the end

    def progress(self, state: TrainingState) -> float:
        """Updates done over updates asked for."""
        return min(1.0, state.update / self._steps)

    def validation_due(self, state: TrainingState) -> bool:
        """Every so many updates."""
        return state.update % self._every == self._first


class EpochsLimit:
    """So many times through the data."""

    def __init__(self, epochs: int, updates_each: int, validate_every: int | None) -> None:
        self._epochs = epochs
        self._every = validate_every or max(1, round(epochs * updates_each / VALIDATIONS))

    def progress(self, state: TrainingState) -> float:
        """Epochs done over epochs asked for."""
        return min(1.0, state.moment.epoch / self._epochs)

    def validation_due(self, state: TrainingState) -> bool:
        """At multiples of a number of updates."""
        return state.update % self._every == 0


class BudgetLimit:
    """So many seconds on the run's clock, of which ``reserve`` belong to the caller once training has returned."""

    def __init__(self, options: TrainingConfig, reserve: float) -> None:
        assert options.budget is not None
        self._budget = options.budget
        self._reserve = reserve
        self._averages = 1 if options.average else 0
        self._every = None if options.validate_every == "auto" else options.validate_every
        self._seen = (0, 0.0)  # update and time at the last call
        self._longest_update = 0.0

    def end(self, state: TrainingState) -> float:
        """The second at which training should end, so that all that follows fits."""
        validation = max(state.validation_seconds, default=0.04 * self._budget)
        saving = max(state.saving_seconds, default=0.01 * self._budget)
        last_things = validation * (1 + self._averages) + saving * (2 + self._averages) + 2 * self._longest_update
        return self._budget - self._reserve - CAUTION * last_things

    def progress(self, state: TrainingState) -> float:
        """Seconds of training over seconds that training may take; never falls when estimates change."""
        self._watch(state)
        span = self.end(state) - state.begun
        return max(state.progress, min(1.0, (state.elapsed - state.begun) / span) if span > 0 else 1.0)

    def validation_due(self, state: TrainingState) -> bool:
        """Often enough to choose among, but seldom enough to cost little; not just before the end, which validates."""
        if self._every is not None:
            return state.update % self._every == 0
        end = self.end(state)
        cost = sum(times[-1] for times in (state.validation_seconds, state.saving_seconds) if times)
        interval = max((end - state.begun) / VALIDATIONS, cost / VALIDATION_SHARE)
        return state.elapsed - state.validated_at >= interval and end - state.elapsed > interval / 2

    def _watch(self, state: TrainingState) -> None:
        """Learn how long an update takes at most, from pairs of calls with one update and no validation between."""
        update, elapsed = self._seen
        if state.update == update + 1 and state.validated_at <= elapsed:
            self._longest_update = max(0.9 * self._longest_update, state.elapsed - elapsed)
        self._seen = (state.update, state.elapsed)
