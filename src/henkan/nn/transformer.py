"""The numbers that a Transformer's encoder and decoder share, and the parts that follow from them."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator
from torch import nn

from henkan.config import Config
from henkan.nn.feedforward import Activation, FeedForward
from henkan.nn.multihead import SelfAttention
from henkan.nn.residual import Norm, Residual


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

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        return self

    def self_attention(self) -> SelfAttention:
        """A new self-attention of these sizes."""
        return SelfAttention(self.width, self.heads, self.attention_dropout)

    def inner_network(self) -> FeedForward:
        """A new feed-forward network of these sizes."""
        return FeedForward(self.width, self.feed_forward, self.activation)

    def residual(self) -> Residual:
        """A new residual connection of these sizes."""
        return Residual(self.width, self.norm, self.dropout)

    def last_norm(self) -> nn.Module:
        """What follows the last layer: pre-norm layers leave their sum without a norm."""
        return nn.LayerNorm(self.width) if self.norm == "pre" else nn.Identity()
