"""How good a model is while it trains, and which of two validations is better."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from henkan.data.plan import Plan
from henkan.errors import ConfigError
from henkan.objectives.base import Learner
from henkan.tasks.base import AnsweringTask
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

        The ranks share the batches. Scores are read off the outputs that the loss is made of, where the task can; for
        others the network runs again, on rank 0 alone, while the other ranks wait.
        """
        learner.eval()
        try:
            with torch.no_grad():
                loss, answers = self._read(learner, update)
                scores = self._scores(learner, dict(answers))
        finally:
            learner.train()
        return Best(update, loss, distributed.broadcast_object({name: float(scores[name]) for name in scores}))

    def _read(self, learner: Learner, update: int) -> tuple[float, list[tuple[int, Any]]]:
        """The loss, and what the task reads off the outputs: an answer for each example, by its place in the split.

        The loss is in nats per unit: each sum over the whole split, divided by its count, then weighted as in training.
        """
        weights = self.task.objective.weights(update)
        names = sorted(weights)
        answering = self.task if isinstance(self.task, AnsweringTask) else None
        answers: list[tuple[int, Any]] = []
        sums = torch.zeros(len(names), dtype=torch.float64, device=self.device)
        units = torch.zeros(len(names), dtype=torch.float64)
        for places in self._mine():
            examples = [
                self.task.example(SPLIT, int(index), np.random.default_rng([self.seed, int(index)])) for index in places
            ]
            batch = self.task.collate(examples)
            counted = self.task.objective.units(batch)
            there = batch.to(self.device)
            output = learner.feeding(learner.model, there, 0)
            found = learner.objective(output, there)
            if answering is not None:
                answers += zip(batch.index.tolist(), answering.answers(output, batch, SPLIT), strict=True)
            sums += torch.stack([found[name].double() for name in names])
            units += torch.tensor([counted[name] for name in names], dtype=torch.float64)
        means = distributed.all_reduce_(sums).cpu() / distributed.all_reduce_(units).clamp_(min=1)
        loss = sum(weights[name] * float(mean) for name, mean in zip(names, means, strict=True))
        return loss, [answer for each in distributed.gather_objects(answers) for answer in each]

    def _scores(self, learner: Learner, answers: Mapping[int, Any]) -> dict[str, float]:
        """On rank 0; elsewhere nothing."""
        if distributed.rank() > 0:
            return {}
        if isinstance(self.task, AnsweringTask):
            return self.task.judge([answers[index] for index in range(len(answers))], SPLIT)
        assert isinstance(learner.model, nn.Module)
        return self.task.evaluate(learner.model, SPLIT)

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
