"""Hard attention: one source position is drawn, and its state is the context (Xu et al. 2015, section 4.1).

The draw has no gradient, so the weights learn through ``extras["log_probability"]``: an objective multiplies it with
what the choice was worth, see :mod:`henkan.objectives.reinforce`.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from henkan.config import Config
from henkan.nn.attended import Attended, AttentionState, Focus, attended, fold, seen
from henkan.nn.scores import Scorer, ScoresConfig
from henkan.tensors import Memory


class LearntBaseline(nn.Module):
    """What a target token is expected to score from here on, in nats: linear in the query (Mnih & Gregor 2014).

    The query is cut off: a baseline must not change what it is a baseline for.
    """

    def __init__(self, query_width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(query_width, 1)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, queries: Tensor) -> dict[str, Tensor]:
        """(R, T, D) to ``"baseline"`` (R, T)."""
        return {"baseline": self.linear(queries.detach())[..., 0]}


class NoBaseline(nn.Module):
    """Nothing: the objective keeps a moving average."""

    def forward(self, queries: Tensor) -> dict[str, Tensor]:
        """Nothing."""
        return {}


class HardAttention(nn.Module):
    """While training a sentence either draws all its positions or, with probability ``expected``, none.

    Then it sees the expectation, as with soft attention, which makes the gradient less noisy. In evaluation nothing is
    drawn: the most probable position is taken, or the expectation.

    Extras, (R, T) each: ``"log_probability"`` of the position that was taken, 0 where it was the expectation;
    ``"entropy"`` of the weights in nats; and what the baseline says.
    """

    def __init__(self, scorer: Scorer, baseline: nn.Module, expected: float, argmax: bool) -> None:
        super().__init__()
        self.scorer = scorer
        self.baseline = baseline
        self.expected = expected
        self.argmax = argmax

    def project(self, memory: Memory) -> Attended:
        """Done once for each source."""
        return attended(self.scorer, memory)

    def start(self, source: Attended) -> AttentionState:
        """Does this sentence take one position at a time, (sources,) bool?"""
        rows, device = len(source.values), source.values.device
        if self.training:
            return (torch.rand(rows, device=device) >= self.expected,)
        return (torch.full((rows,), self.argmax, device=device),)

    def forward(self, queries: Tensor, mask: Tensor, source: Attended, state: AttentionState) -> Focus:
        """Queries (R, T, D)."""
        rows, length, _ = queries.shape
        logits = self.scorer(fold(queries, source), source.keys) + source.bias
        precise = torch.promote_types(logits.dtype, torch.float32)
        log_weights = torch.log_softmax(logits, -1, dtype=precise).view(rows, length, -1)
        weights = log_weights.exp()
        taken = self._take(weights.detach())
        one = functional.one_hot(taken, weights.shape[2]).to(weights.dtype)
        single = state[0][:, None]
        used = torch.where(single[..., None], one, weights).to(logits.dtype)
        chosen = log_weights.gather(2, taken[..., None])[..., 0]
        extras = {
            "log_probability": torch.where(single, chosen, torch.zeros_like(chosen)),
            "entropy": -(weights * log_weights).sum(-1),
            **self.baseline(queries),
        }
        return Focus(*seen(fold(used, source), source, rows), state, extras)

    def _take(self, weights: Tensor) -> Tensor:
        """(R, T) positions: drawn while training, otherwise the most probable ones."""
        if not self.training:
            return weights.argmax(-1)
        return torch.multinomial(weights.flatten(0, 1), 1).view(weights.shape[:2])


class HardAttentionConfig(Config):
    """Xu et al. (2015), stochastic attention; goes with ``objective: {kind: reinforce}``."""

    kind: Literal["hard"] = "hard"
    scores: ScoresConfig
    expected: float = Field(0.5, ge=0.0, le=1.0)  # share of the sentences that train with the expectation
    evaluation: Literal["argmax", "expectation"] = "argmax"
    baseline: Literal["moving", "learnt"] = "moving"

    def check(self, query_width: int, key_width: int) -> None:
        """ValueError where the scores cannot compare these widths."""
        self.scores.check(query_width, key_width)

    def build(self, query_width: int, key_width: int) -> HardAttention:
        """For queries and source states of these widths."""
        baseline = LearntBaseline(query_width) if self.baseline == "learnt" else NoBaseline()
        scorer = self.scores.build(query_width, key_width)
        return HardAttention(scorer, baseline, self.expected, self.evaluation == "argmax")
