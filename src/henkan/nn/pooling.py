"""One vector for a whole text."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from henkan.config import Config
from henkan.errors import ConfigError
from henkan.nn.dropout import Dropout
from henkan.nn.feedforward import ACTIVATIONS
from henkan.nn.init import glorot_uniform
from henkan.tensors import Memory


def first_vectors(memory: Memory) -> Tensor:
    """The vector at the first position of each text, (N, D); of a packed row, (sentences, D)."""
    if memory.sentences is None:
        return memory.states[:, 0]
    starts = memory.sentences.starts[:-1].long().clamp(max=memory.states.shape[1] - 1)  # the last ones may be empty
    return memory.states[0].index_select(0, starts)


def first_places(mask: Tensor) -> Tensor:
    """(N, S) bool, True at the first position of each text; ``mask`` is as large."""
    places = torch.zeros_like(mask)
    places[:, 0] = True
    return places


class FirstPooler(nn.Module):
    """The vector at the first position, where BERT has ``[CLS]``."""

    def reads(self, mask: Tensor, labels: Tensor | None) -> Tensor | None:
        """See :func:`henkan.nn.read_places.places_read`."""
        return first_places(mask)

    def forward(self, memory: Memory) -> Tensor:
        """States (N, S, D) to (N, D)."""
        return first_vectors(memory)


class DensePooler(nn.Module):
    """activation(W dropout(first) + b): tanh in BERT and RoBERTa, GELU in DeBERTa."""

    def __init__(self, width: int, activation: Literal["tanh", "gelu"], dropout: float) -> None:
        super().__init__()
        self.dense = nn.Linear(width, width)
        self.activation = torch.tanh if activation == "tanh" else ACTIVATIONS["gelu"]
        self.dropout = Dropout(dropout)
        glorot_uniform(self.dense.weight)
        nn.init.zeros_(self.dense.bias)

    def reads(self, mask: Tensor, labels: Tensor | None) -> Tensor | None:
        """See :func:`henkan.nn.read_places.places_read`."""
        return first_places(mask)

    def forward(self, memory: Memory) -> Tensor:
        """States (N, S, D) to (N, D)."""
        return self.activation(self.dense(self.dropout(first_vectors(memory))))


class MeanPooler(nn.Module):
    """The mean over real positions (Reimers & Gurevych 2019); zeros for an empty text."""

    def reads(self, mask: Tensor, labels: Tensor | None) -> Tensor | None:
        """See :func:`henkan.nn.read_places.places_read`."""
        return mask

    def forward(self, memory: Memory) -> Tensor:
        """States (N, S, D) to (N, D)."""
        if memory.sentences is not None:
            raise ConfigError("a mean needs one text a row, and this batch is packed; set training.packed: false")
        real = memory.mask.to(memory.states.dtype)
        return torch.einsum("nsd,ns->nd", memory.states, real) / real.sum(1).clamp(min=1)[:, None]


class FirstPoolerConfig(Config):
    """The vector at the first position."""

    kind: Literal["first"] = "first"

    def build(self, width: int) -> FirstPooler:
        """A new one, for states of this width."""
        return FirstPooler()


class DensePoolerConfig(Config):
    """A layer over the vector at the first position."""

    kind: Literal["dense"] = "dense"
    activation: Literal["tanh", "gelu"] = "tanh"
    dropout: float = Field(0.0, ge=0.0, lt=1.0)  # before the layer

    def build(self, width: int) -> DensePooler:
        """A new one, for states of this width."""
        return DensePooler(width, self.activation, self.dropout)


class MeanPoolerConfig(Config):
    """The mean over positions."""

    kind: Literal["mean"] = "mean"

    def build(self, width: int) -> MeanPooler:
        """A new one, for states of this width."""
        return MeanPooler()


PoolerConfig = Annotated[FirstPoolerConfig | DensePoolerConfig | MeanPoolerConfig, Field(discriminator="kind")]
