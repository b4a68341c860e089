"""An objective is a function of outputs and labels that returns sums; whoever divides knows all the counts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

from torch import Tensor, nn

from henkan.objectives.feeding import Feeding, TeacherForcing
from henkan.tensors import Batch, Output


class Objective(nn.Module, ABC):
    """All its mappings have the same keys, one for each sum."""

    @abstractmethod
    def weights(self, step: int) -> dict[str, float]:
        """How much each sum counts at this update."""

    @abstractmethod
    def units(self, batch: Batch) -> dict[str, int]:
        """How many terms are in each sum over a batch: one of ``batch.units``, so the device is not asked."""

    @abstractmethod
    def forward(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """Differentiable sums over the batch."""

    @abstractmethod
    def update(self, sums: Mapping[str, Tensor], units: Mapping[str, int]) -> None:
        """After the update, the sums and counts of all ranks: the only place where an objective may change itself."""


class Learner(nn.Module):
    """Model and objective as one module, so that whatever wraps it has the loss inside."""

    def __init__(self, model: Callable[[Batch], Output], objective: Objective, feeding: Feeding | None = None) -> None:
        super().__init__()
        self.model = model
        self.objective = objective
        self.feeding = feeding or TeacherForcing()

    def forward(self, batch: Batch, weights: Mapping[str, float], update: int = 0) -> tuple[Tensor, dict[str, Tensor]]:
        """Batch to the weighted sum to send backward, and each detached sum by name; ``update`` counts from 0."""
        sums = self.objective(self.feeding(self.model, batch, update), batch)
        total = sum(weights[name] * value for name, value in sums.items())
        assert isinstance(total, Tensor)
        return total, {name: value.detach() for name, value in sums.items()}
