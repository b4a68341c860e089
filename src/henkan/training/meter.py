"""Losses and speed since the last report, gathered without waiting for the device."""

from __future__ import annotations

import time
from typing import Any

from torch import Tensor

from henkan.training.update import Outcome

REPORT_SECONDS = 1.0
"""Numbers are fetched from the device, written and shown so often."""


class Meter:
    """Adds up outcomes until somebody asks."""

    def __init__(self) -> None:
        self._due = 0.0
        self.rest()

    def rest(self) -> None:
        """Start again from nothing, so that what is not training does not count as slow training."""
        self._sums: dict[str, Tensor] = {}
        self._units: dict[str, int] = {}
        self._tokens = 0
        self._since = time.perf_counter()

    def add(self, outcome: Outcome) -> None:
        """One more update."""
        self._last = outcome
        self._tokens += outcome.tokens
        for name, value in outcome.sums.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value
            self._units[name] = self._units.get(name, 0) + outcome.units[name]

    def due(self) -> bool:
        """Is it time for a report?"""
        return bool(self._units) and time.perf_counter() >= self._due

    def report(self) -> dict[str, Any]:
        """Mean loss in nats per unit, gradient norm, learning rate and speed; waits for the device, starts again."""
        loss = sum(
            weight * float(self._sums[name]) / max(self._units[name], 1) for name, weight in self._last.weights.items()
        )
        norm = float(self._last.norm)
        now = time.perf_counter()
        values = {
            "loss": loss,
            "learning_rate": self._last.learning_rate,
            "gradient_norm": norm,
            "tokens_per_second": self._tokens / max(now - self._since, 1e-9),
        }
        self.rest()
        self._due = now + REPORT_SECONDS
        return values
