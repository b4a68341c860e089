"""What the decoder reads while it learns: the target, or now and then words of its own (Bengio et al. 2015).

The probability with which a word of the target is read falls from update to update; section 2.4 gives three ways. It
is a pure function of the update's number, so a resumed run needs no more than that. Evaluation always reads the target.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from henkan.config import Config
from henkan.tensors import Batch, Output, StepScores

Share = Annotated[float, Field(ge=0.0, le=1.0)]


class Feeding(nn.Module, ABC):
    """How a model is run over a batch."""

    @abstractmethod
    def forward(self, model: Any, batch: Batch, update: int) -> Output:
        """What the model says of the batch at this update; all chance comes from torch's default generator."""


class TeacherForcing(Feeding):
    """The decoder reads the target, whatever it would have said itself."""

    def forward(self, model: Any, batch: Batch, update: int) -> Output:
        """The whole target at once."""
        return model(batch)


class ScheduledSampling(Feeding):
    """For each position a coin decides between the target's word and the model's own.

    Args:
        decay: the probability of the target's word at each update.
        choose: the model's own word: "sample" draws it, "argmax" takes the likeliest.
    """

    def __init__(self, decay: Decay, choose: Literal["sample", "argmax"]) -> None:
        super().__init__()
        self.decay = decay
        self.choose = drawn if choose == "sample" else likeliest

    def forward(self, model: Any, batch: Batch, update: int) -> Output:
        """Word by word; at once where no coin asks for a word of the model's, and in evaluation."""
        assert batch.target is not None
        if not self.training:
            return model(batch)
        own = torch.rand(batch.target.mask.shape) >= self.decay.probability(update)  # on the processor
        own[:, :1] = False  # START
        return model.forward_by_steps(batch, own, self.choose) if own.any() else model(batch)


def drawn(scores: StepScores) -> Tensor:
    """(N,) a word drawn from the model's distribution."""
    return scores.log_probs().exp().multinomial(1)[:, 0]


def likeliest(scores: StepScores) -> Tensor:
    """(N,) the likeliest word."""
    return scores.argmax()


class LinearDecay(Config):
    """max(floor, start - slope * update)."""

    kind: Literal["linear"] = "linear"
    start: Share = 1.0
    slope: Annotated[float, Field(gt=0.0)] = 1e-4  # lost at each update
    floor: Share = 0.0

    def probability(self, update: int) -> float:
        """Of the target's word."""
        return max(self.floor, self.start - self.slope * update)


class ExponentialDecay(Config):
    """base ** update."""

    kind: Literal["exponential"] = "exponential"
    base: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.9998

    def probability(self, update: int) -> float:
        """Of the target's word."""
        return self.base**update


class InverseSigmoidDecay(Config):
    """k / (k + exp(update / k)): near 1 at first, one half at update k log(k), then falling fast."""

    kind: Literal["inverse_sigmoid"] = "inverse_sigmoid"
    k: Annotated[float, Field(ge=1.0)] = 500.0

    def probability(self, update: int) -> float:
        """Of the target's word."""
        return 0.5 * (1.0 - math.tanh(0.5 * (update / self.k - math.log(self.k))))  # the same, without overflow


Decay = Annotated[LinearDecay | ExponentialDecay | InverseSigmoidDecay, Field(discriminator="kind")]


class ScheduledSamplingConfig(Config):
    """Bengio et al. (2015). Targets are read word by word as soon as the model's own are among them: slower."""

    decay: Decay = InverseSigmoidDecay()
    choose: Literal["sample", "argmax"] = "sample"

    def build(self) -> ScheduledSampling:
        """The way of feeding."""
        return ScheduledSampling(self.decay, self.choose)
