"""The kinds of positions by name: what each adds to the vectors of tokens, and what to the scores of attention."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from torch import nn

from henkan.config import Config
from henkan.nn.biases import LinearBias, MaskAlone, T5Bias
from henkan.nn.disentangled import DistanceTerms
from henkan.nn.positions import LearnedPositions, NoPositions, SinusoidalPositions, sinusoids, stacked_sinusoids
from henkan.nn.rotary import RotaryTerms


class _Positions(Config):
    @property
    def room(self) -> int | None:
        """Places that a text has at most; None: as many as it wants."""
        return None


class SinusoidalConfig(_Positions):
    """Sinusoids (Vaswani et al. 2017)."""

    kind: Literal["sinusoidal"] = "sinusoidal"
    stacked: bool = False  # all sines before all cosines, as Marian has them

    def inputs(self, width: int) -> nn.Module:
        """What adds to the vectors of tokens."""
        return SinusoidalPositions(width, stacked_sinusoids if self.stacked else sinusoids)

    def terms(self, width: int, heads: int, head_width: int, two_sided: bool) -> nn.Module:
        """What makes of a mask's bias what attention takes."""
        return MaskAlone()


class LearnedConfig(_Positions):
    """A learnt vector for each place (Gehring et al. 2017)."""

    kind: Literal["learned"] = "learned"
    limit: int = Field(512, ge=1, le=1 << 20)  # places there are
    offset: int = Field(0, ge=0, le=16)  # unread rows before the first; 2 in RoBERTa and BART

    @property
    def room(self) -> int | None:
        """One for each vector."""
        return self.limit

    def inputs(self, width: int) -> nn.Module:
        """What adds to the vectors of tokens."""
        return LearnedPositions(width, self.limit, self.offset)

    def terms(self, width: int, heads: int, head_width: int, two_sided: bool) -> nn.Module:
        """What makes of a mask's bias what attention takes."""
        return MaskAlone()


class RotaryConfig(_Positions):
    """Queries and keys turned by their places (Su et al. 2021)."""

    kind: Literal["rotary"] = "rotary"
    base: float = Field(10000.0, gt=1.0, le=1e9)

    def inputs(self, width: int) -> nn.Module:
        """What adds to the vectors of tokens."""
        return NoPositions()

    def terms(self, width: int, heads: int, head_width: int, two_sided: bool) -> nn.Module:
        """What makes of a mask's bias what attention takes."""
        return RotaryTerms(head_width, self.base)


class T5PositionsConfig(_Positions):
    """A learnt number for each head and bucket of distances (Raffel et al. 2020)."""

    kind: Literal["t5"] = "t5"
    buckets: int = Field(32, ge=4, le=4096, multiple_of=2)
    limit: int = Field(128, ge=4, le=1 << 20)  # the distance beyond which all share a bucket

    @model_validator(mode="after")
    def _buckets_reach_so_far(self) -> Self:
        if self.limit <= self.buckets // 2:
            raise ValueError(
                f"limit {self.limit}: the first {self.buckets // 2} of {self.buckets} buckets hold one distance each; "
                f"set it to {self.buckets // 2 + 1} or more"
            )
        return self

    def inputs(self, width: int) -> nn.Module:
        """What adds to the vectors of tokens."""
        return NoPositions()

    def terms(self, width: int, heads: int, head_width: int, two_sided: bool) -> nn.Module:
        """What makes of a mask's bias what attention takes."""
        return T5Bias(heads, self.buckets, self.limit, two_sided=two_sided)


class LinearConfig(_Positions):
    """ALiBi (Press et al. 2022): scores fall with the distance, at a slope that each head has."""

    kind: Literal["linear"] = "linear"

    def inputs(self, width: int) -> nn.Module:
        """What adds to the vectors of tokens."""
        return NoPositions()

    def terms(self, width: int, heads: int, head_width: int, two_sided: bool) -> nn.Module:
        """What makes of a mask's bias what attention takes."""
        return LinearBias(heads)


class DisentangledConfig(_Positions):
    """DeBERTa's distances (He et al. 2021); defaults are version 3's."""

    kind: Literal["disentangled"] = "disentangled"
    span: int = Field(256, ge=2, le=4096)  # buckets on each side
    limit: int = Field(512, ge=0, le=1 << 20)  # distance of the last logarithmic bucket; 0: a bucket for each distance
    content_to_position: bool = True
    position_to_content: bool = True
    normalised: bool = True  # the vectors of distances go through a norm
    epsilon: float = Field(1e-7, gt=0.0, le=0.1)  # of that norm
    learned: int = Field(0, ge=0, le=1 << 20)  # places that have a learnt vector beside; 0: none

    @model_validator(mode="after")
    def _buckets_reach_so_far(self) -> Self:
        exact = self.span // 2
        if self.limit and self.limit - 1 <= exact:
            raise ValueError(
                f"limit {self.limit}: the first {exact} of {self.span} buckets hold one distance each; "
                f"set it to {exact + 2} or more, or to 0 for a bucket for each distance"
            )
        return self

    @property
    def room(self) -> int | None:
        """One for each vector."""
        return self.learned or None

    def inputs(self, width: int) -> nn.Module:
        """What adds to the vectors of tokens."""
        return LearnedPositions(width, self.learned) if self.learned else NoPositions()

    def terms(self, width: int, heads: int, head_width: int, two_sided: bool) -> nn.Module:
        """What makes of a mask's bias what attention takes."""
        norm = nn.LayerNorm(width, self.epsilon) if self.normalised else nn.Identity()
        return DistanceTerms(width, self.span, self.limit, norm)


class NoPositionsConfig(_Positions):
    """Nothing says where a token stands; a causal model finds out nevertheless (Haviv et al. 2022)."""

    kind: Literal["none"] = "none"

    def inputs(self, width: int) -> nn.Module:
        """What adds to the vectors of tokens."""
        return NoPositions()

    def terms(self, width: int, heads: int, head_width: int, two_sided: bool) -> nn.Module:
        """What makes of a mask's bias what attention takes."""
        return MaskAlone()


PositionsConfig = Annotated[
    SinusoidalConfig
    | LearnedConfig
    | RotaryConfig
    | T5PositionsConfig
    | LinearConfig
    | DisentangledConfig
    | NoPositionsConfig,
    Field(discriminator="kind"),
]
