"""Soft attention over a source, and the union of all kinds of attention."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from henkan.config import Config
from henkan.nn.attended import Attended, AttentionState, Focus, attended, fold, seen
from henkan.nn.coverage import CoverageAttentionConfig
from henkan.nn.hard_attention import HardAttentionConfig
from henkan.nn.local_attention import LocalAttentionConfig
from henkan.nn.scores import Scorer, ScoresConfig
from henkan.tensors import Memory


class SoftAttention(nn.Module):
    """softmax(scores) over the source, and the expected state (Bahdanau et al. 2015, equations 5 and 6)."""

    sequential = False

    def __init__(self, scorer: Scorer) -> None:
        super().__init__()
        self.scorer = scorer

    def project(self, memory: Memory) -> Attended:
        """Done once for each source."""
        return attended(self.scorer, memory)

    def start(self, source: Attended) -> AttentionState:
        """Nothing moves."""
        return ()

    def forward(self, queries: Tensor, mask: Tensor, source: Attended, state: AttentionState) -> Focus:
        """Queries (R, T, D)."""
        weights = torch.softmax(self.scorer(fold(queries, source), source.keys) + source.bias, -1)
        return Focus(*seen(weights, source, queries.shape[0]), state)


class SoftAttentionConfig(Config):
    """Bahdanau et al. (2015); "global" in Luong et al. (2015)."""

    kind: Literal["soft"] = "soft"
    scores: ScoresConfig

    def check(self, query_width: int, key_width: int) -> None:
        """ValueError where the scores cannot compare these widths."""
        self.scores.check(query_width, key_width)

    def build(self, query_width: int, key_width: int) -> SoftAttention:
        """For queries and source states of these widths."""
        return SoftAttention(self.scores.build(query_width, key_width))


AttentionConfig = Annotated[
    SoftAttentionConfig | CoverageAttentionConfig | LocalAttentionConfig | HardAttentionConfig,
    Field(discriminator="kind"),
]
