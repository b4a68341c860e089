"""All that a search may know of a model: something that scores the next token.

The scores themselves are a :class:`henkan.tensors.StepScores`; :class:`LogProbs` is the plain one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from henkan.tensors import Features, State, StepScores, Tokens


class Stepper(Protocol):
    """Scores of the next token, one step after the other. Several searches may use one stepper at once."""

    @property
    def vocabulary_size(self) -> int:
        """V, special tokens included."""
        ...

    def start(self, source: Features | None, rows: int, capacity: int) -> State:
        """The state before the first token, of width 1, with room for ``capacity`` positions (prefix included)."""
        ...

    def step(self, inputs: Tokens, state: State) -> tuple[StepScores, State]:
        """Read ``inputs`` (N, T); scores of what follows the last real token of each row. ``state`` is spent."""
        ...


class StepModel(Protocol):
    """What :class:`ModelStepper` needs of a model; every model with a token head has it."""

    training: bool

    def start(self, source: Features | None, rows: int, capacity: int) -> State:
        """See :meth:`Stepper.start`."""
        ...

    def step(self, inputs: Tokens, state: State) -> tuple[StepScores, State]:
        """See :meth:`Stepper.step`."""
        ...


class ModelStepper:
    """One model in evaluation mode, without gradients."""

    def __init__(self, model: StepModel, vocabulary_size: int) -> None:
        self.model = model
        self.vocabulary_size = vocabulary_size

    @torch.inference_mode()
    def start(self, source: Features | None, rows: int, capacity: int) -> State:
        """Encode the source; ValueError for a model in training mode, whose dropout would garble the output."""
        if self.model.training:
            raise ValueError("decoding needs the model in evaluation mode: call model.eval() first")
        return self.model.start(source, rows, capacity)

    @torch.inference_mode()
    def step(self, inputs: Tokens, state: State) -> tuple[StepScores, State]:
        """See :meth:`Stepper.step`."""
        return self.model.step(inputs, state)


class Ensemble:
    """Several models with one vocabulary as one: the mean of their probabilities.

    The state holds a tuple, one entry for each member.
    """

    def __init__(self, members: Sequence[Stepper]) -> None:
        sizes = [member.vocabulary_size for member in members]
        if not sizes or min(sizes) != max(sizes):
            raise ValueError(f"an ensemble needs members with one vocabulary, got vocabularies of the sizes {sizes}")
        self.members = tuple(members)
        self.vocabulary_size = sizes[0]

    def start(self, source: Features | None, rows: int, capacity: int) -> State:
        """Every member reads the same source."""
        return _join([member.start(source, rows, capacity) for member in self.members])

    def step(self, inputs: Tokens, state: State) -> tuple[StepScores, State]:
        """See :meth:`Stepper.step`."""
        steps = [member.step(inputs, own) for member, own in zip(self.members, _split(state), strict=True)]
        return MixedScores(tuple(scores for scores, _ in steps)), _join([after for _, after in steps])


def _join(states: Sequence[State]) -> State:
    return State(tuple(s.fixed for s in states), tuple(s.moving for s in states), states[0].width)


def _split(state: State) -> list[State]:
    return [State(fixed, moving, state.width) for fixed, moving in zip(state.fixed, state.moving, strict=True)]


@dataclass(frozen=True)
class LogProbs:
    """Scores that are there already: normalised log-probabilities, and attention weights if there are any."""

    values: Tensor  # (N, V) float32
    weights: Tensor | None = None  # (N, S)

    def argmax(self) -> Tensor:
        """(N,) the best token."""
        return self.values.argmax(-1)

    def top(self, k: int) -> tuple[Tensor, Tensor]:
        """Log-probabilities and ids of the best k tokens, both (N, k), best first."""
        best, ids = self.values.topk(k, -1)
        return best, ids

    def log_probs(self) -> Tensor:
        """(N, V) in float32."""
        return self.values

    def attention(self) -> Tensor | None:
        """(N, S), or None."""
        return self.weights


@dataclass(frozen=True)
class MixedScores:
    """The mean of several members' probabilities; a search asks once a step, so nothing is remembered."""

    members: tuple[StepScores, ...]

    def argmax(self) -> Tensor:
        """(N,) the best token."""
        return self.log_probs().argmax(-1)

    def top(self, k: int) -> tuple[Tensor, Tensor]:
        """Log-probabilities and ids of the best k tokens, both (N, k), best first."""
        return LogProbs(self.log_probs()).top(k)

    def log_probs(self) -> Tensor:
        """(N, V) in float32."""
        members = torch.stack([scores.log_probs() for scores in self.members])  # (members, N, V)
        return members.logsumexp(0) - math.log(len(self.members))

    def attention(self) -> Tensor | None:
        """(N, S): the mean over the members that have weights over the source, None where none has."""
        found = [weights for scores in self.members if (weights := scores.attention()) is not None]
        return torch.stack(found).mean(0) if found else None
