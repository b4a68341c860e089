"""Soft attention over a source, plain and gated, and the union of all kinds of attention."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from henkan.config import Config
from henkan.nn.attended import Attended, AttentionState, Focus, attended, fold, seen
from henkan.nn.coverage import CoverageAttentionConfig
from henkan.nn.hard_attention import HardAttentionConfig
from henkan.nn.init import glorot_uniform
from henkan.nn.local_attention import LocalAttentionConfig
from henkan.nn.scores import Scorer, ScoresConfig
from henkan.tensors import Memory


class SoftAttention(nn.Module):
    """softmax(scores) over the source, and the expected state (Bahdanau et al. 2015, equations 5 and 6)."""

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


class GatedAttention(nn.Module):
    """Contexts times s(v . query + b): how much the source matters for this step (Xu et al. 2015, section 4.2.1).

    One number for each query, as published; weights, state and extras are those of the attention inside.
    """

    def __init__(self, attention: SoftAttention, query_width: int) -> None:
        super().__init__()
        self.attention = attention
        self.gate = nn.Linear(query_width, 1)
        glorot_uniform(self.gate.weight)
        nn.init.zeros_(self.gate.bias)

    def project(self, memory: Memory) -> Attended:
        """Done once for each source."""
        return self.attention.project(memory)

    def start(self, source: Attended) -> AttentionState:
        """As the attention inside."""
        return self.attention.start(source)

    def forward(self, queries: Tensor, mask: Tensor, source: Attended, state: AttentionState) -> Focus:
        """Queries (R, T, D)."""
        focus = self.attention(queries, mask, source, state)
        return replace(focus, contexts=torch.sigmoid(self.gate(queries)) * focus.contexts)


class SoftAttentionConfig(Config):
    """Bahdanau et al. (2015); "global" in Luong et al. (2015); with a gate, Xu et al. (2015)."""

    kind: Literal["soft"] = "soft"
    scores: ScoresConfig
    gate: bool = False  # contexts times a logistic function of the query; there is no fast path for it

    def check(self, query_width: int, key_width: int) -> None:
        """ValueError where the scores cannot compare these widths."""
        self.scores.check(query_width, key_width)

    def build(self, query_width: int, key_width: int) -> SoftAttention | GatedAttention:
        """For queries and source states of these widths."""
        attention = SoftAttention(self.scores.build(query_width, key_width))
        return GatedAttention(attention, query_width) if self.gate else attention


AttentionConfig = Annotated[
    SoftAttentionConfig | CoverageAttentionConfig | LocalAttentionConfig | HardAttentionConfig,
    Field(discriminator="kind"),
]
