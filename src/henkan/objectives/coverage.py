"""Maximum likelihood, and what the attention of a whole sentence should come to.

    coverage             sum over t, j of min(a[t,j], sum over t' < t of a[t',j])        See et al. (2017), equation 12
    doubly stochastic    sum over j of (1 - sum over t of a[t,j])^2                      Xu et al. (2015), equation 14

Both need only the weights a[t,j] that the decoder used, so they go with every attention that is not a choice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from henkan.config import Config
from henkan.objectives.base import Objective
from henkan.objectives.cross_entropy import CrossEntropy
from henkan.tensors import IGNORE, Batch, Frames, Output, Tokens


class Coverage(Objective):
    """Cross-entropy and two sums over the attention weights (N, T, S) in ``Output.extras["attention"]``.

    In evaluation mode both are 0, so that a validation loss is nats per token.
    """

    def __init__(self, smoothing: float, coverage: float, doubly_stochastic: float) -> None:
        super().__init__()
        self.cross_entropy = CrossEntropy(smoothing)
        self.coverage = coverage
        self.doubly_stochastic = doubly_stochastic

    def weights(self, step: int) -> dict[str, float]:
        """As the options say."""
        return {"tokens": 1.0, "coverage": self.coverage, "doubly_stochastic": self.doubly_stochastic}

    def units(self, batch: Batch) -> dict[str, int]:
        """Everything is counted in target tokens, so the terms of a sentence relate as published."""
        return dict.fromkeys(self.weights(0), batch.units["tokens"])

    def forward(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """Target positions without a label and padding of the source are in no sum."""
        sums = self.cross_entropy(output, batch)
        nothing = sums["tokens"].new_zeros(())
        if not self.training:
            return {**sums, "coverage": nothing, "doubly_stochastic": nothing}
        assert isinstance(batch.source, (Tokens, Frames))
        real = batch.labels["tokens"] != IGNORE
        weights = output.extras["attention"].to(nothing.dtype) * real[..., None]
        so_far = weights.cumsum(1)
        uncovered = (1.0 - so_far[:, -1]).square().masked_fill(~batch.source.mask, 0.0)
        return {
            **sums,
            "coverage": torch.minimum(weights, so_far - weights).sum(),
            "doubly_stochastic": uncovered.sum(),
        }

    def update(self, sums: Mapping[str, Tensor], units: Mapping[str, int]) -> None:
        """Nothing to remember."""


class CoverageConfig(Config):
    """See et al. (2017) as it is; Xu et al. (2015) with ``coverage: 0`` and ``doubly_stochastic: 1``."""

    kind: Literal["coverage"] = "coverage"
    smoothing: float = Field(0.1, ge=0.0, lt=1.0)
    coverage: float = Field(1.0, ge=0.0)
    doubly_stochastic: float = Field(0.0, ge=0.0)

    def build(self) -> Coverage:
        """The objective."""
        return Coverage(self.smoothing, self.coverage, self.doubly_stochastic)
