"""What is said of a text that was read: of all of it, of each token, of a span, of several texts at once.

Every head gets the Memory and one vector for each text, and takes what it needs.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from henkan.config import Config
from henkan.nn.dropout import Dropout
from henkan.nn.feedforward import Activation
from henkan.nn.init import glorot_uniform
from henkan.nn.mask_decoder import DecodingHead, MaskDecoder
from henkan.nn.masked_head import MaskedHead
from henkan.nn.norms import norm
from henkan.tensors import Memory


def _new(width: int, outputs: int) -> nn.Linear:
    linear = nn.Linear(width, outputs)
    glorot_uniform(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear


class TextHead(nn.Module):
    """Some numbers for each text: logits of classes, or values."""

    def __init__(self, width: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.dropout = Dropout(dropout)
        self.output = _new(width, outputs)

    def reads(self, mask: Tensor, labels: Tensor | None) -> Tensor | None:
        """See :func:`henkan.nn.read_places.places_read`; of states it reads none."""
        return torch.zeros_like(mask)

    def forward(self, memory: Memory, pooled: Tensor) -> Tensor:
        """Pooled (N, D) to (N, outputs)."""
        return self.output(self.dropout(pooled))


class PositionHead(nn.Module):
    """Some numbers for each token: logits of labels; or two, where a span begins and where it ends."""

    def __init__(self, width: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.dropout = Dropout(dropout)
        self.output = _new(width, outputs)

    def reads(self, mask: Tensor, labels: Tensor | None) -> Tensor | None:
        """See :func:`henkan.nn.read_places.places_read`."""
        return None

    def forward(self, memory: Memory, pooled: Tensor) -> Tensor:
        """States (N, S, D) to (N, S, outputs); what stands at padding means nothing."""
        return self.output(self.dropout(memory.states))


class ChoiceHead(nn.Module):
    """One number for each text, of several that answer one question: the largest is the choice.

    The texts of a question are consecutive rows; whoever knows how many they are views the numbers as questions.
    """

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.dropout = Dropout(dropout)
        self.output = _new(width, 1)

    def reads(self, mask: Tensor, labels: Tensor | None) -> Tensor | None:
        """See :func:`henkan.nn.read_places.places_read`; of states it reads none."""
        return torch.zeros_like(mask)

    def forward(self, memory: Memory, pooled: Tensor) -> Tensor:
        """Pooled (N, D) to (N,)."""
        return self.output(self.dropout(pooled))[:, 0]


class MaskDecoderConfig(Config):
    """DeBERTa's enhanced mask decoder (He et al. 2021); see ``nn/mask_decoder.py``."""

    limit: int = Field(512, ge=1, le=1 << 20)  # places that have a vector
    passes: int = Field(2, ge=1, le=64)  # of the encoder's last layer


class MaskedHeadConfig(Config):
    """Tokens under masks (Devlin et al. 2019)."""

    kind: Literal["masked"] = "masked"
    activation: Activation = "gelu"
    epsilon: float = Field(1e-5, gt=0.0, le=0.1)  # of the norm
    tied: bool = True
    decoder: MaskDecoderConfig | None = None  # over distances; None: the head reads what the encoder returns

    def build(self, width: int, embedding: nn.Parameter) -> MaskedHead:
        """A new one, for states of this width and a vocabulary with this (V, width) table."""
        tied = embedding if self.tied else None
        made = norm("layer", width, self.epsilon)
        vocabulary = embedding.shape[0]
        if self.decoder is None:
            return MaskedHead(width, vocabulary, made, activation=self.activation, tied=tied)
        decoder = MaskDecoder(width, self.decoder.limit, self.decoder.passes)
        return DecodingHead(width, vocabulary, made, decoder, activation=self.activation, tied=tied)


class ClassHeadConfig(Config):
    """Logits of classes for each text."""

    kind: Literal["class"] = "class"
    classes: int = Field(ge=2, le=1_000_000)
    dropout: float = Field(0.1, ge=0.0, lt=1.0)

    def build(self, width: int, embedding: nn.Parameter) -> TextHead:
        """A new one, for texts' vectors of this width."""
        return TextHead(width, self.classes, self.dropout)


class ValueHeadConfig(Config):
    """Regression: real numbers for each text."""

    kind: Literal["value"] = "value"
    size: int = Field(1, ge=1, le=1_000_000)
    dropout: float = Field(0.1, ge=0.0, lt=1.0)

    def build(self, width: int, embedding: nn.Parameter) -> TextHead:
        """A new one, for texts' vectors of this width."""
        return TextHead(width, self.size, self.dropout)


class LabelHeadConfig(Config):
    """Logits of labels for each token."""

    kind: Literal["label"] = "label"
    labels: int = Field(ge=2, le=1_000_000)
    dropout: float = Field(0.1, ge=0.0, lt=1.0)

    def build(self, width: int, embedding: nn.Parameter) -> PositionHead:
        """A new one, for states of this width."""
        return PositionHead(width, self.labels, self.dropout)


class SpanHeadConfig(Config):
    """Where an answer begins and ends: (N, S, 2) logits over positions (Devlin et al. 2019)."""

    kind: Literal["span"] = "span"

    def build(self, width: int, embedding: nn.Parameter) -> PositionHead:
        """A new one, for states of this width."""
        return PositionHead(width, 2, 0.0)


class ChoiceHeadConfig(Config):
    """Which of several texts."""

    kind: Literal["choice"] = "choice"
    dropout: float = Field(0.1, ge=0.0, lt=1.0)

    def build(self, width: int, embedding: nn.Parameter) -> ChoiceHead:
        """A new one, for texts' vectors of this width."""
        return ChoiceHead(width, self.dropout)


HeadConfig = Annotated[
    MaskedHeadConfig | ClassHeadConfig | ValueHeadConfig | LabelHeadConfig | SpanHeadConfig | ChoiceHeadConfig,
    Field(discriminator="kind"),
]
