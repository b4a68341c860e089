"""What a search hands back, and which tokens it may hold.

END closes an output. PAD and START are never produced, whatever the scores say: they are not text, and an untrained
or smoothed model gives them some probability all the same (it stays lost: the others are not renormalised, so a
hypothesis has the score that forced decoding gives it). UNKNOWN is a token like any other: training data may hold it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from henkan.tensors import Tokens
from henkan.text.tokenizer import PAD, START


@dataclass(frozen=True)
class Hypothesis:
    """One output of a search."""

    tokens: list[int]  # without the prefix and without END
    score: float  # what hypotheses are ranked by: log_prob, divided by the length penalty
    log_prob: float  # natural logarithm; END's is included if finished. Both are NaN where no scores were asked for
    finished: bool  # False: cut at its limit before END came
    alignment: list[int] | None = None  # for each token the source position with the largest attention weight


def forbidden_tokens(vocabulary_size: int, device: torch.device) -> Tensor:
    """(V,) to be added to log-probabilities: minus infinity for what is never produced, otherwise zero."""
    bias = torch.zeros(vocabulary_size, device=device)
    bias[[PAD, START]] = -torch.inf
    return bias


def next_inputs(tokens: Tensor) -> Tokens:
    """One real token for each row."""
    ids = tokens.reshape(-1, 1)
    return Tokens(ids, torch.ones_like(ids, dtype=torch.bool))


def check_limits(limits: Tensor, sources: int) -> list[int]:
    """The limits as plain numbers; ValueError unless there is one of at least 1 for each source."""
    found: list[int] = limits.tolist()
    if len(found) != sources or min(found, default=1) < 1:
        raise ValueError(f"limits {found}: expected {sources} numbers of tokens, each at least 1")
    return found
