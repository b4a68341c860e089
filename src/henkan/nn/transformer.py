"""The numbers that a Transformer's encoder and decoder share, and the parts that follow from them.

Every family of the line is a choice among these fields.
"""

from __future__ import annotations

from functools import partial
from typing import Self

from pydantic import Field, model_validator
from torch import Tensor, nn

from henkan.config import Config
from henkan.nn.disentangled import DisentangledAttention, Distances
from henkan.nn.feedforward import Activation, FeedForward
from henkan.nn.gated import GatedFeedForward
from henkan.nn.grouped import GroupedAttention, GroupedSourceAttention
from henkan.nn.multihead import SelfAttention, SourceAttention
from henkan.nn.norms import Normalisation, norm
from henkan.nn.places import PositionsConfig, SinusoidalConfig
from henkan.nn.residual import Norm, Residual
from henkan.nn.rotary import Rotation
from henkan.nn.varlen import Within

Bias = Tensor | Within | Rotation | Distances
"""What a self-attention takes beside vectors; a part that makes another kind comes with an attention that takes it."""


class TransformerSizes(Config):
    """Defaults are the base model of Vaswani et al. (2017); pre-norm is the option of Xiong et al. (2020)."""

    width: int = Field(512, ge=2, le=65536)
    heads: int = Field(8, ge=1, le=1024)
    feed_forward: int = Field(2048, ge=1, le=1 << 20)
    layers: int = Field(6, ge=1, le=1000)
    norm: Norm = "post"
    activation: Activation = "relu"
    dropout: float = Field(0.1, ge=0.0, lt=1.0)
    attention_dropout: float = Field(0.0, ge=0.0, lt=1.0)
    inner_dropout: float = Field(0.0, ge=0.0, lt=1.0)  # within the feed-forward network
    last_dropout: float = Field(0.0, ge=0.0, lt=1.0)  # after the last layer and its norm
    positions: PositionsConfig = SinusoidalConfig()
    embedding_norm: bool = False  # of the sum of all embeddings
    normalisation: Normalisation = "layer"
    epsilon: float = Field(1e-5, gt=0.0, le=0.1)  # of the norms
    gated: bool = False  # the feed-forward network has a gate
    biased: bool = True  # products of layers have biases
    scaled: bool = True  # scores are divided by the root of the head's width
    head_width: int | None = Field(None, ge=1, le=65536)  # None: width / heads
    key_heads: int | None = Field(None, ge=1, le=1024)  # heads of keys and values, shared by heads; None: as heads

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        if self.head_width is None and self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        if self.key_heads is not None and self.heads % self.key_heads:
            raise ValueError(f"heads {self.heads} is not a multiple of key_heads {self.key_heads}")
        if self.positions.kind == "rotary" and self._head_width % 2:
            raise ValueError(f"rotary positions turn pairs of numbers: a head of width {self._head_width} is odd")
        if self.positions.kind == "disentangled" and self._general:
            raise ValueError("disentangled positions need biased and scaled products and no head_width or key_heads")
        return self

    @property
    def _head_width(self) -> int:
        return self.width // self.heads if self.head_width is None else self.head_width

    @property
    def _general(self) -> bool:
        """Whether an attention needs more than ``nn/multihead.py`` has."""
        return not (self.biased and self.scaled) or self.head_width is not None or self.key_heads is not None

    def self_attention(self) -> SelfAttention | GroupedAttention | DisentangledAttention:
        """A new self-attention of these sizes."""
        if self.positions.kind == "disentangled":
            return DisentangledAttention(
                self.width,
                self.heads,
                self.attention_dropout,
                content_to_position=self.positions.content_to_position,
                position_to_content=self.positions.position_to_content,
            )
        if not self._general and self.positions.kind in ("sinusoidal", "learned", "none"):
            return SelfAttention(self.width, self.heads, self.attention_dropout)
        return GroupedAttention(
            self.width,
            self.heads,
            self.attention_dropout,
            key_heads=self.key_heads or self.heads,
            head_width=self._head_width,
            scaled=self.scaled,
            bias=self.biased,
        )

    def source_attention(self, source_width: int) -> SourceAttention | GroupedSourceAttention:
        """A new attention of these sizes over a source."""
        if not self._general:
            return SourceAttention(self.width, self.heads, source_width, self.attention_dropout)
        return GroupedSourceAttention(
            self.width,
            self.heads,
            source_width,
            self.attention_dropout,
            key_heads=self.key_heads or self.heads,
            head_width=self._head_width,
            scaled=self.scaled,
            bias=self.biased,
        )

    def inner_network(self) -> FeedForward | GatedFeedForward:
        """A new feed-forward network of these sizes."""
        kind = GatedFeedForward if self.gated else FeedForward
        return kind(self.width, self.feed_forward, self.activation, self.inner_dropout, bias=self.biased)

    def residual(self) -> Residual:
        """A new residual connection of these sizes."""
        return Residual(self.width, self.norm, self.dropout, partial(norm, self.normalisation, epsilon=self.epsilon))

    def check_one_sided(self) -> None:
        """ValueError for what only an encoder can have."""
        if self.positions.kind == "disentangled":
            raise ValueError("disentangled positions see both sides of a token; a decoder cannot have them")

    def last_norm(self) -> nn.Module:
        """What follows the last layer: pre-norm layers leave their sum without a norm."""
        return self._new_norm() if self.norm == "pre" else nn.Identity()

    def first_norm(self) -> nn.Module:
        """What the sum of all embeddings goes through."""
        return self._new_norm() if self.embedding_norm else nn.Identity()

    def input_positions(self) -> nn.Module:
        """What adds places to the vectors of tokens."""
        return self.positions.inputs(self.width)

    def score_terms(self, *, two_sided: bool) -> nn.Module:
        """What makes of a mask's bias what these attentions take; ``two_sided`` where keys after the query are seen."""
        return self.positions.terms(self.width, self.heads, self._head_width, two_sided)

    def _new_norm(self) -> nn.Module:
        return norm(self.normalisation, self.width, self.epsilon)
