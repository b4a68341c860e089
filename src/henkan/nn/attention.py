"""Single-head attention over a source: scores, then the expectation of its states."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from henkan.nn.multihead import score_bias
from henkan.nn.scores import Scorer
from henkan.tensors import Memory


@dataclass(frozen=True)
class Attended:
    """What attention keeps of a source; one row for each source."""

    keys: Tensor  # (sources, S, D') as the scorer projected them
    values: Tensor  # (sources, S, D)
    bias: Tensor  # (sources, 1, S): 0, or a large negative number at padding


class SoftAttention(nn.Module):
    """softmax(scores) over the source, and the expected state (Bahdanau et al. 2015, equations 5 and 6)."""

    def __init__(self, scorer: Scorer) -> None:
        super().__init__()
        self.scorer = scorer

    def project(self, memory: Memory) -> Attended:
        """Done once for each source."""
        bias = score_bias(memory.mask[:, None], memory.states.dtype)[:, 0]
        return Attended(self.scorer.project(memory.states), memory.states, bias)

    def forward(self, queries: Tensor, source: Attended) -> tuple[Tensor, Tensor]:
        """Contexts and weights.

        Args:
            queries: (sources * width, T, D); the beams of a source are folded into its query axis here.
            source: from :meth:`project`.

        Returns:
            (sources * width, T, D) contexts and (sources * width, T, S) weights.
        """
        rows, length, width = queries.shape
        sources, positions, _ = source.values.shape
        folded = queries.reshape(sources, rows // sources * length, width)
        weights = torch.softmax(self.scorer(folded, source.keys) + source.bias, -1)
        contexts = torch.bmm(weights, source.values)
        return contexts.view(rows, length, -1), weights.view(rows, length, positions)
