"""A member of an ensemble that reads its source back to front, while the others do not."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from henkan.decode.stepper import Stepper
from henkan.tensors import Features, State, StepScores, Tokens


class ReversedSource:
    """A stepper behind a turned source; its attention weights are turned back."""

    def __init__(self, stepper: Stepper) -> None:
        self.stepper = stepper
        self.vocabulary_size = stepper.vocabulary_size

    def start(self, source: Features | None, rows: int, capacity: int) -> State:
        """The words of each source the other way round; the last one, END, stays."""
        assert isinstance(source, Tokens), "only tokens are read back to front"
        order = turned(source.mask)
        return _with(self.stepper.start(Tokens(source.ids.gather(1, order), source.mask), rows, capacity), order)

    def step(self, inputs: Tokens, state: State) -> tuple[StepScores, State]:
        """See :meth:`henkan.decode.stepper.Stepper.step`."""
        inside, order = state.fixed
        scores, after = self.stepper.step(inputs, State(inside, state.moving, state.width))
        return TurnedScores(scores, order.repeat_interleave(state.width, 0)), _with(after, order)


@dataclass(frozen=True)
class TurnedScores:
    """The scores of one step, with attention weights in another order; see :class:`henkan.tensors.StepScores`."""

    scores: StepScores
    order: Tensor  # (N, S)

    def argmax(self) -> Tensor:
        """(N,) the best token."""
        return self.scores.argmax()

    def top(self, k: int) -> tuple[Tensor, Tensor]:
        """Log-probabilities and ids of the best k tokens, both (N, k), best first."""
        return self.scores.top(k)

    def log_probs(self) -> Tensor:
        """(N, V) in float32."""
        return self.scores.log_probs()

    def attention(self) -> Tensor | None:
        """(N, S) weights over the source as it is given, or None."""
        weights = self.scores.attention()
        return None if weights is None else weights.gather(1, self.order)


def turned(mask: Tensor) -> Tensor:
    """Where each position of a source goes when all but its last real one change places; its own inverse.

    Args:
        mask: (N, S) bool.

    Returns:
        (N, S) int64.
    """
    places = torch.arange(mask.shape[1], device=mask.device).expand(mask.shape)
    last = mask.sum(1, keepdim=True) - 1
    return torch.where(places < last, last - 1 - places, places)


def _with(state: State, order: Tensor) -> State:
    return State((state.fixed, order), state.moving, state.width)
