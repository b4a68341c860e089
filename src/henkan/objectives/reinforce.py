"""Maximum likelihood where positions of the source are drawn on the way (Xu et al. 2015, section 4.1).

The gradient to follow is that of log p(y | s) and, because a draw s[t] passes no gradient on,

    policy * sum over t of (R[t] - B[t]) grad log p(s[t])  +  entropy * grad H[s[t]]

The paper's R is log p of the whole sentence. Here R[t] is that of the tokens from t on: those before do not depend on
s[t], so the expectation is the same and the noise is less. B[t] is a baseline for each of these tokens, either the
paper's moving average of log p or what the attention has learnt to expect.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from henkan.config import Config
from henkan.objectives.base import Objective
from henkan.tensors import IGNORE, Batch, Output

MOMENTUM = 0.9
"""Of the moving average, as published."""


class Reinforce(Objective):
    """Four sums to make small, and the log-likelihood that the moving average is made of.

    Reads ``"log_probability"`` and ``"entropy"``, and ``"baseline"`` where it is learnt, (N, T) each, of
    ``Output.extras``. In evaluation mode only "tokens" is not 0, and nothing is smoothed.
    """

    average: Tensor
    gathered: Tensor

    def __init__(self, smoothing: float, policy: float, entropy: float) -> None:
        super().__init__()
        self.smoothing = smoothing
        self.policy = policy
        self.entropy = entropy
        self.register_buffer("average", torch.zeros(()))  # starts from 0, so it is short of the mean at first
        self.register_buffer("gathered", torch.zeros(()))  # the weight it has gathered, which becomes 1

    def weights(self, step: int) -> dict[str, float]:
        """The log-likelihood is reported, not learnt from: "tokens" has it, smoothed."""
        return {"tokens": 1.0, "policy": self.policy, "entropy": self.entropy, "baseline": 1.0, "log_likelihood": 0.0}

    def units(self, batch: Batch) -> dict[str, int]:
        """Everything is counted in target tokens."""
        return dict.fromkeys(self.weights(0), batch.units["tokens"])

    def forward(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """Sums over the tokens that are to be learnt.

        ``"policy"`` has the value 0: its gradient is all there is to it.
        """
        labels = batch.labels["tokens"]
        scores = output.heads["tokens"]
        assert not isinstance(scores, Tensor)
        loss, log_probs = scores.loss(labels, self.smoothing if self.training else 0.0)
        real = labels != IGNORE
        rewards = log_probs.masked_fill(~real, 0.0)
        sums = dict.fromkeys(self.weights(0), loss.new_zeros(())) | {"tokens": loss, "log_likelihood": rewards.sum()}
        if not self.training:
            return sums
        log_probability, entropy = (output.extras[name].to(loss.dtype) for name in ("log_probability", "entropy"))
        to_come, left = from_here_on(rewards), from_here_on(real.to(loss.dtype))
        expected: Tensor = self.average / self.gathered.clamp(min=1.0 - MOMENTUM)
        if "baseline" in output.extras:
            expected = output.extras["baseline"].to(loss.dtype)
            errors = (to_come / left.clamp(min=1.0) - expected).square()
            sums["baseline"] = errors.masked_fill(~real, 0.0).sum()
        advantage = to_come - left * expected.detach()  # 0 where nothing is real from here on
        sums["policy"] = -(advantage * (log_probability - log_probability.detach())).sum()
        sums["entropy"] = -entropy.masked_fill(~real, 0.0).sum()
        return sums

    def update(self, sums: Mapping[str, Tensor], units: Mapping[str, int]) -> None:
        """The moving average takes in the mean log-likelihood of a token in this update."""
        mean = sums["log_likelihood"] / max(units["log_likelihood"], 1)
        self.average.mul_(MOMENTUM).add_(mean, alpha=1.0 - MOMENTUM)
        self.gathered.mul_(MOMENTUM).add_(1.0 - MOMENTUM)


def from_here_on(terms: Tensor) -> Tensor:
    """Sums over t and all that follows: (N, T) to (N, T)."""
    return terms.flip(1).cumsum(1).flip(1)


class ReinforceConfig(Config):
    """Xu et al. (2015); needs ``model.decoder.attention: {kind: hard}``."""

    kind: Literal["reinforce"] = "reinforce"
    smoothing: float = Field(0.1, ge=0.0, lt=1.0)
    policy: float = Field(1.0, ge=0.0)  # lambda_r; at 1 the gradient is that of the expected log-likelihood
    entropy: float = Field(0.002, ge=0.0)  # lambda_e

    def build(self) -> Reinforce:
        """The objective."""
        return Reinforce(self.smoothing, self.policy, self.entropy)
