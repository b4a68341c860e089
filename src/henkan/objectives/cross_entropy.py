"""Maximum likelihood of the target, with label smoothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field
from torch import Tensor

from henkan.config import Config
from henkan.objectives.base import Objective
from henkan.tensors import Batch, Output


class CrossEntropy(Objective):
    """Sum over the target of (1 - s) * -log p(token) + s * mean over V of -log p (Szegedy et al. 2016, section 7).

    In evaluation mode nothing is smoothed: a validation loss is nats per token, and its exponential a perplexity.
    """

    def __init__(self, smoothing: float = 0.0) -> None:
        super().__init__()
        self.smoothing = smoothing

    def weights(self, step: int) -> dict[str, float]:
        """One term."""
        return {"tokens": 1.0}

    def units(self, batch: Batch) -> dict[str, int]:
        """Target tokens."""
        return {"tokens": batch.units["tokens"]}

    def forward(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """The head "tokens" against the labels "tokens"."""
        scores = output.heads["tokens"]
        assert not isinstance(scores, Tensor)
        loss, _ = scores.loss(batch.labels["tokens"], self.smoothing if self.training else 0.0)
        return {"tokens": loss}

    def update(self, sums: Mapping[str, Tensor], units: Mapping[str, int]) -> None:
        """Nothing to remember."""


class CrossEntropyConfig(Config):
    """Maximum likelihood."""

    kind: Literal["cross_entropy"] = "cross_entropy"
    smoothing: float = Field(0.1, ge=0.0, lt=1.0)

    def build(self) -> CrossEntropy:
        """The objective."""
        return CrossEntropy(self.smoothing)
