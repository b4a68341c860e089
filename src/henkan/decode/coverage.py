"""How much attention the rows of a beam have given to each source position."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from henkan.decode.penalties import CoveragePenalty
from henkan.errors import ConfigError
from henkan.tensors import StepScores


class Coverage(Protocol):
    """Goes through a search beside its state."""

    def look(self, scores: StepScores) -> Tensor:
        """One step on: what is now added to the score of each row, (sources, rows)."""
        ...

    def follow(self, parents: Tensor) -> None:
        """Row k of each source becomes a copy of row ``parents[source, k]``; parents is (sources, width)."""
        ...

    def keep(self, sources: Tensor) -> None:
        """Only the given sources go on, (staying,) int64."""
        ...


class NoCoverage:
    """Nothing is added, and nobody is asked for attention weights."""

    def __init__(self, sources: int, device: torch.device) -> None:
        self._nothing = torch.zeros(sources, 1, device=device)

    def look(self, scores: StepScores) -> Tensor:
        """Zeros."""
        return self._nothing

    def follow(self, parents: Tensor) -> None:
        """Nothing to move."""
        self._nothing = self._nothing.expand_as(parents)

    def keep(self, sources: Tensor) -> None:
        """As many zeros as there are sources."""
        self._nothing = self._nothing[: sources.shape[0]]


class AttentionSums:
    """The attention of each row so far.

    Args:
        penalty: what the sums cost.
        real: (sources, S) bool, the positions of each source.
    """

    def __init__(self, penalty: CoveragePenalty, real: Tensor) -> None:
        self._penalty = penalty
        self._real = real[:, None]  # (sources, 1, S)
        self._sums = torch.zeros(self._real.shape, device=real.device)  # (sources, rows, S)

    def look(self, scores: StepScores) -> Tensor:
        """Add the weights of this step.

        Raises:
            ConfigError: the model has no attention.
        """
        weights = scores.attention()
        if weights is None:
            raise ConfigError(
                f"coverage {self._penalty.beta}: this model has no attention over its source; set coverage to 0"
            )
        self._sums = self._sums + weights.float().view(self._sums.shape)
        return self._penalty(self._sums, self._real.expand_as(self._sums))

    def follow(self, parents: Tensor) -> None:
        """Sums go to the children."""
        self._sums = self._sums.gather(1, parents[:, :, None].expand(-1, -1, self._sums.shape[2]))

    def keep(self, sources: Tensor) -> None:
        """Their rows only."""
        self._sums, self._real = self._sums[sources], self._real[sources]
