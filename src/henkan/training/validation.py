"""How good a model is while it trains, and which of two validations is better."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from henkan.data.plan import Plan
from henkan.errors import ConfigError
from henkan.objectives.base import Learner
from henkan.training import distributed
from henkan.training.state import Best

if TYPE_CHECKING:
    from henkan.tasks.base import Task

SPLIT = "valid"

LOWER_IS_BETTER = ("loss", "perplexity", "error-rate", "error-share")
"""Scores whose names end so, and TER, fall as a model gets better; all others rise."""


@dataclass(frozen=True)
class Validator:
    """The validation split, in batches that never change."""

    task: Task
    plan: Plan
    seed: int
    device: torch.device

    def measure(self, learner: Learner, update: int) -> Best:
        """Loss and scores of the weights that the learner now computes with, the same on every rank.

        The ranks share the loss, batch by batch; rank 0 alone asks the task for its scores, while the others wait.
        """
        learner.eval()
        try:
            with torch.no_grad():
                loss = self._loss(learner, update)
                assert isinstance(learner.model, nn.Module)
                scores = self.task.evaluate(learner.model, SPLIT) if distributed.rank() == 0 else {}
        finally:
            learner.train()
        return Best(update, loss, distributed.broadcast_object({name: float(scores[name]) for name in scores}))

    def _loss(self, learner: Learner, update: int) -> float:
        """Nats per unit: each sum over the whole split, divided by its count, then weighted as in training."""
        weights = self.task.objective.weights(update)
        names = sorted(weights)
        sums = torch.zeros(len(names), dtype=torch.float64, device=self.device)
        units = torch.zeros(len(names), dtype=torch.float64)
        for places in self._mine():
            examples = [
                self.task.example(SPLIT, int(index), np.random.default_rng([self.seed, int(index)])) for index in places
            ]
            batch = self.task.collate(examples)
            counted = self.task.objective.units(batch)
            _, found = learner(batch.to(self.device), weights)
            sums += torch.stack([found[name].double() for name in names])
            units += torch.tensor([counted[name] for name in names], dtype=torch.float64)
        means = distributed.all_reduce_(sums).cpu() / distributed.all_reduce_(units).clamp_(min=1)
        return sum(weights[name] * float(mean) for name, mean in zip(names, means, strict=True))

    def _mine(self) -> Iterator[np.ndarray]:
        """The examples of this rank, batch by batch."""
        for window in range(self.plan.windows):
            for number in range(distributed.rank(), self.plan.updates(0, window), distributed.world()):
                yield self.plan.update(0, window, number).places


def value_by(name: str, validation: Best) -> float:
    """The number that ``validate_by`` names, turned so that higher is better.

    Raises:
        ConfigError: the task gives no such score.
    """
    values: Mapping[str, float] = {**validation.scores, "loss": validation.loss}
    if name not in values:
        raise ConfigError(f"validate_by {name!r}: this task gives {', '.join(sorted(values))}; choose one of them")
    return -values[name] if name.endswith(LOWER_IS_BETTER) or name == "ter" else values[name]


def is_better(name: str, validation: Best, best: Best | None) -> bool:
    """Strictly better than the best so far, or the first; a NaN is never better.

    Of two that score alike the one of lower loss is better: while a model learns, few exact matches stay few for long.
    """
    value = value_by(name, validation)
    if best is None:
        return True
    before = value_by(name, best)
    if value == before:
        return validation.loss < best.loss
    return value > before or (math.isnan(before) and not math.isnan(value))
