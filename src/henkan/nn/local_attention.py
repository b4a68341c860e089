"""Local attention: soft within a window of the source (Luong et al. 2015, section 3.2).

    local-m    p[t] = t
    local-p    p[t] = S s(v . tanh(W h[t]));  weights times exp(-(j - p[t])^2 / (2 (D / 2)^2))     equations 9 and 10

Source positions j count from 1 to S, target positions t from 1; the window is p - D to p + D, and what of it lies
outside the source is ignored. A target longer than its source stays at the source's end.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from henkan.config import Config
from henkan.nn.attended import Attended, AttentionState, Focus, attended, fold, seen
from henkan.nn.init import glorot_uniform
from henkan.nn.multihead import score_bias
from henkan.nn.scores import Scorer, ScoresConfig
from henkan.tensors import Memory


def distances(centres: Tensor, source: Attended) -> Tensor:
    """j - p: folded centres (sources, width * T) to (sources, width * T, S), in the type of the centres."""
    places = torch.arange(1, source.values.shape[1] + 1, device=centres.device, dtype=centres.dtype)
    return places - centres[..., None]


def window_weights(scores: Tensor, away: Tensor, window: int, source: Attended) -> Tensor:
    """Softmax over the real positions no further than ``window``; 0 outside. All are (sources, width * T, S)."""
    outside = score_bias(away.abs() <= window, scores.dtype)[:, 0]
    return torch.softmax(scores + torch.minimum(source.bias, outside), -1)


class MonotonicAttention(nn.Module):
    """local-m: the window moves on by one source position with each target position."""

    def __init__(self, scorer: Scorer, window: int) -> None:
        super().__init__()
        self.scorer = scorer
        self.window = window

    def project(self, memory: Memory) -> Attended:
        """Done once for each source."""
        return attended(self.scorer, memory)

    def start(self, source: Attended) -> AttentionState:
        """Target positions read so far, (sources,) int64."""
        return (torch.zeros_like(source.lengths[:, 0]),)

    def forward(self, queries: Tensor, mask: Tensor, source: Attended, state: AttentionState) -> Focus:
        """Queries (R, T, D)."""
        read = state[0][:, None] + mask.cumsum(1)
        centres = torch.minimum(fold(read, source), source.lengths)
        scores = self.scorer(fold(queries, source), source.keys)
        weights = window_weights(scores, distances(centres, source), self.window, source)
        return Focus(*seen(weights, source, queries.shape[0]), (read[:, -1],))


class PredictiveAttention(nn.Module):
    """local-p: the query predicts where in the source the window is; a Gaussian favours its middle."""

    def __init__(self, scorer: Scorer, window: int, query_width: int) -> None:
        super().__init__()
        self.scorer = scorer
        self.window = window
        self.position_weight = nn.Parameter(torch.empty(query_width, query_width))
        self.position_vector = nn.Parameter(torch.empty(query_width))
        glorot_uniform(self.position_weight)
        nn.init.normal_(self.position_vector, std=query_width**-0.5)

    def project(self, memory: Memory) -> Attended:
        """Done once for each source."""
        return attended(self.scorer, memory)

    def start(self, source: Attended) -> AttentionState:
        """Nothing moves."""
        return ()

    def forward(self, queries: Tensor, mask: Tensor, source: Attended, state: AttentionState) -> Focus:
        """Queries (R, T, D); the weights of a window add up to less than 1."""
        asking = fold(queries, source)
        share = torch.tanh(functional.linear(asking, self.position_weight)) @ self.position_vector
        precise = torch.promote_types(share.dtype, torch.float32)  # bf16 cannot tell positions above 256 apart
        centres = source.lengths * torch.sigmoid(share.to(precise))
        away = distances(centres, source)
        weights = window_weights(self.scorer(asking, source.keys), away, self.window, source)
        near = torch.exp(away.square() * (-2.0 / self.window**2))  # the deviation is half the window
        return Focus(*seen(weights * near.to(weights.dtype), source, queries.shape[0]), state)


class LocalAttentionConfig(Config):
    """Luong et al. (2015): local-m is monotonic, local-p is predictive."""

    kind: Literal["local"] = "local"
    centre: Literal["monotonic", "predictive"] = "predictive"
    window: int = Field(10, ge=1, le=65536)  # source positions on each side of the centre
    scores: ScoresConfig

    def check(self, query_width: int, key_width: int) -> None:
        """ValueError where the scores cannot compare these widths."""
        self.scores.check(query_width, key_width)

    def build(self, query_width: int, key_width: int) -> MonotonicAttention | PredictiveAttention:
        """For queries and source states of these widths."""
        scorer = self.scores.build(query_width, key_width)
        if self.centre == "monotonic":
            return MonotonicAttention(scorer, self.window)
        return PredictiveAttention(scorer, self.window, query_width)
