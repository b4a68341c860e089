"""A stack of recurrent layers over the target, started by the source and otherwise alone (Sutskever et al. 2014)."""

from __future__ import annotations

from typing import Literal

from torch import nn

from henkan.nn.bridges import Bridge, BridgeConfig, LastStatesConfig
from henkan.nn.embeddings import TokenEmbedding
from henkan.nn.layers import Layer
from henkan.nn.stacks import StackConfig
from henkan.tensors import Decoded, Frames, Memory, State, Tokens


class RecurrentDecoder(nn.Module):
    """No attention: all that it knows of the source is in its first state. No step waits for another layer's step."""

    def __init__(self, embedding: TokenEmbedding, layers: list[Layer], bridge: Bridge, dropout: nn.Module) -> None:
        super().__init__()
        self.width = layers[-1].width
        self.embedding = embedding
        self.layers = nn.ModuleList(layers)
        self.bridge = bridge
        self.dropout = dropout

    def start(self, memory: Memory | None, rows: int, capacity: int = 0) -> State:
        """States of (N, D) for each layer; nothing needs a cache."""
        assert memory is not None, "this decoder starts from a source"
        return State(None, self.bridge(memory))

    def forward(self, inputs: Tokens | Frames, state: State) -> Decoded:
        """Tokens (R, T) to hidden vectors (R, T, D)."""
        assert isinstance(inputs, Tokens)
        vectors = self.embedding(inputs.ids)
        after = []
        for layer, before in zip(self.layers, state.moving, strict=True):
            vectors, last = layer(vectors, inputs.mask, before)
            after.append(last)
        return Decoded(self.dropout(vectors), State(None, tuple(after), state.width))

    def attention(self, decoded: Decoded) -> None:
        """There is none."""
        return


class RecurrentDecoderConfig(StackConfig):
    """Sutskever et al. (2014)."""

    kind: Literal["recurrent"] = "recurrent"
    bridge: BridgeConfig = LastStatesConfig()

    @property
    def attends(self) -> bool:
        """Whether it looks at the source while it decodes."""
        return False

    @property
    def output_width(self) -> int:
        """D of the hidden vectors."""
        return self.cell.size

    def check(self, encoder_sizes: tuple[int, ...]) -> None:
        """ValueError where this decoder cannot follow an encoder whose layers have these widths."""
        self.bridge.check(encoder_sizes, self.cell.size, self.layers)

    def build(self, embedding: TokenEmbedding, encoder_sizes: tuple[int, ...]) -> RecurrentDecoder:
        """The decoder after an encoder whose layers have these widths."""
        widths = [embedding.width] + [self.cell.size] * (self.layers - 1)
        layers = [self.forward_layer(width) for width in widths]
        bridge = self.bridge.build(encoder_sizes, [layer.cell for layer in layers])
        stacked = [self.around(layer, height) for height, layer in enumerate(layers, start=1)]
        return RecurrentDecoder(embedding, stacked, bridge, self.new_dropout())
