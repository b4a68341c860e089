"""An objective is a function of outputs and labels that returns sums; whoever divides knows all the counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from henkan.tensors import Batch, Output


class Objective(nn.Module):
    """Abstract: implement all three methods."""

    def weights(self, step: int) -> dict[str, float]:
        """How much each sum counts at this update."""
        raise NotImplementedError

    def forward(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """Differentiable sums over the batch, with the keys of ``batch.units``."""
        raise NotImplementedError

    def update(self, sums: Mapping[str, Tensor], units: Mapping[str, int]) -> None:
        """After the update, the sums and counts of all ranks: the only place where an objective may change itself."""
        raise NotImplementedError


class Learner(nn.Module):
    """Model and objective as one module, so that whatever wraps it has the loss inside."""

    def __init__(self, model: Callable[[Batch], Output], objective: Objective) -> None:
        super().__init__()
        self.model = model
        self.objective = objective

    def forward(self, batch: Batch, weights: Mapping[str, float]) -> tuple[Tensor, dict[str, Tensor]]:
        """Batch to the weighted sum to send backward, and each detached sum by name."""
        sums = self.objective(self.model(batch), batch)
        total = sum(weights[name] * value for name, value in sums.items())
        assert isinstance(total, Tensor)
        return total, {name: value.detach() for name, value in sums.items()}
