"""A stack of recurrent layers over the source."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, model_validator
from torch import nn

from henkan.nn.embeddings import TokenEmbedding
from henkan.nn.layers import Layer, Merge, merged_width
from henkan.nn.stacks import StackConfig
from henkan.tensors import Features, Memory, Tokens, check_padded


class RecurrentEncoder(nn.Module):
    """Layers one upon another."""

    def __init__(self, embedding: TokenEmbedding, layers: list[Layer], dropout: nn.Module) -> None:
        super().__init__()
        self.embedding = embedding
        self.layers = nn.ModuleList(layers)
        self.dropout = dropout
        self.sizes = tuple(layer.width for layer in layers)

    def forward(self, source: Features) -> Memory:
        """Tokens (N, S) to a Memory of (N, S, D) whose ``final`` has the last state of each layer."""
        assert isinstance(source, Tokens)
        check_padded(source, "a recurrent encoder")
        vectors = self.embedding(source.ids)
        final = []
        for layer in self.layers:
            vectors, state = layer(vectors, source.mask)
            final.append(state)
        return Memory(self.dropout(vectors), source.mask, tuple(final))


def _directions(said: object) -> object:
    """True and False are said of all layers."""
    return {True: "all", False: "none"}[said] if isinstance(said, bool) else said


class RecurrentEncoderConfig(StackConfig):
    """Any number of layers of one cell; those that read both ways have twice its width, unless merged otherwise."""

    kind: Literal["recurrent"] = "recurrent"
    bidirectional: Annotated[Literal["none", "all", "first"], BeforeValidator(_directions)] = "none"  # which layers
    merge: Merge = "concatenation"  # of the two directions

    @model_validator(mode="after")
    def _residuals_keep_their_width(self) -> Self:
        if self.residual_from is not None and self.residual_from <= self.layers:
            below, own = self.sizes[self.residual_from - 2 : self.residual_from]
            if below != own:
                raise ValueError(
                    f"residual_from {self.residual_from}: that layer reads {below} and returns {own}; "
                    f"begin with layer {self.residual_from + 1}, or merge the directions by sum or mean"
                )
        return self

    @property
    def sizes(self) -> tuple[int, ...]:
        """The width of each layer's outputs; the last is the width of the Memory."""
        both = merged_width(self.cell.size, self.merge)
        return tuple(both if self._reads_both_ways(height) else self.cell.size for height in range(1, self.layers + 1))

    @property
    def has_backward_half(self) -> bool:
        """The last layer's state is that of two directions side by side, backward second."""
        return self._reads_both_ways(self.layers) and self.merge == "concatenation"

    def _reads_both_ways(self, height: int) -> bool:
        return self.bidirectional == "all" or (self.bidirectional == "first" and height == 1)

    def build(self, embedding: TokenEmbedding) -> RecurrentEncoder:
        """The encoder over this embedding."""
        layers: list[Layer] = []
        for height, width in enumerate((embedding.width, *self.sizes[:-1]), start=1):
            if self._reads_both_ways(height):
                layers.append(self.around(self.bidirectional_layer(width, self.merge), height))
            else:
                layers.append(self.around(self.forward_layer(width), height))
        return RecurrentEncoder(embedding, layers, self.new_dropout())
