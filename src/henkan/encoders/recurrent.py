"""A stack of recurrent layers over the source."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import nn

from henkan.config import Config
from henkan.nn.cells import CellConfig
from henkan.nn.dropout import Dropout
from henkan.nn.embeddings import TokenEmbedding
from henkan.nn.layers import Bidirectional, Forward
from henkan.tensors import Features, Memory, Tokens


class RecurrentEncoder(nn.Module):
    """Layers one upon another, with dropout on what enters each of them and on what leaves the last."""

    def __init__(self, embedding: TokenEmbedding, layers: list[Forward | Bidirectional], dropout: float) -> None:
        super().__init__()
        self.embedding = embedding
        self.layers = nn.ModuleList(layers)
        self.dropout = Dropout(dropout)
        self.sizes = tuple(layer.width for layer in layers)

    def forward(self, source: Features) -> Memory:
        """Tokens (N, S) to a Memory of (N, S, D) whose ``final`` has the last state of each layer."""
        assert isinstance(source, Tokens)
        vectors = self.dropout(self.embedding(source.ids))
        final = []
        for layer in self.layers:
            vectors, state = layer(vectors, source.mask)
            vectors = self.dropout(vectors)
            final.append(state)
        return Memory(vectors, source.mask, tuple(final))


class RecurrentEncoderConfig(Config):
    """Any number of layers of one cell; bidirectional layers have twice its width."""

    kind: Literal["recurrent"] = "recurrent"
    cell: CellConfig
    layers: int = Field(1, ge=1, le=100)
    bidirectional: bool = False
    dropout: float = Field(0.0, ge=0.0, lt=1.0)

    @property
    def sizes(self) -> tuple[int, ...]:
        """The width of each layer's outputs; the last is the width of the Memory."""
        return (self.cell.size * (2 if self.bidirectional else 1),) * self.layers

    def build(self, embedding: TokenEmbedding) -> RecurrentEncoder:
        """The encoder over this embedding."""
        layers: list[Forward | Bidirectional] = []
        width = embedding.width
        for _ in range(self.layers):
            if self.bidirectional:
                layers.append(Bidirectional(self.cell.build(width), self.cell.build(width)))
            else:
                layers.append(Forward(self.cell.build(width)))
            width = layers[-1].width
        return RecurrentEncoder(embedding, layers, self.dropout)
