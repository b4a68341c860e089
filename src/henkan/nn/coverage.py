"""Attention that knows what it has attended to (Tu et al. 2016; See et al. 2017)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from henkan.config import Config
from henkan.nn.attended import Attended, AttentionState, Focus, attended, fold, seen
from henkan.nn.scores import AdditiveScoresConfig, CoveredScores
from henkan.tensors import Memory


class CoverageAttention(nn.Module):
    """Soft attention whose scores see the coverage: the sum of all weights so far (See et al. 2017, equation 10)."""

    def __init__(self, scorer: CoveredScores) -> None:
        super().__init__()
        self.scorer = scorer

    def project(self, memory: Memory) -> Attended:
        """Done once for each source."""
        return attended(self.scorer, memory)

    def start(self, source: Attended) -> AttentionState:
        """Nothing is covered: (sources, S), in float32 at least, as bf16 would stop counting soon after 1."""
        bias = source.bias[:, 0]
        return (torch.zeros_like(bias, dtype=torch.promote_types(bias.dtype, torch.float32)),)

    def forward(self, queries: Tensor, mask: Tensor, source: Attended, state: AttentionState) -> Focus:
        """Queries (R, T, D), one after the other."""
        (coverage,) = state
        rows, length, _ = queries.shape
        every = []
        for position in range(length):
            covered = fold(coverage[:, None], source).to(queries.dtype)
            scores = self.scorer(fold(queries[:, position, None], source), source.keys, covered)
            weights = torch.softmax(scores + source.bias, -1).view(rows, -1)
            coverage = coverage + weights * mask[:, position, None]
            every.append(weights)
        return Focus(*seen(fold(torch.stack(every, 1), source), source, rows), (coverage,))


class CoverageAttentionConfig(Config):
    """Tu et al. (2016), See et al. (2017)."""

    kind: Literal["coverage"] = "coverage"
    scores: AdditiveScoresConfig

    def check(self, query_width: int, key_width: int) -> None:
        """Any widths will do."""

    def build(self, query_width: int, key_width: int) -> CoverageAttention:
        """For queries and source states of these widths."""
        return CoverageAttention(CoveredScores(self.scores.build(query_width, key_width)))
