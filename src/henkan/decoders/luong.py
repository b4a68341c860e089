"""Luong, Pham & Manning (2015): recurrent layers first, then attention, with or without input feeding.

    h[t]  = top layer after reading y[t-1] (and the previous attentional vector: input feeding)
    c[t]  = attention(h[t])
    ~h[t] = tanh(W [c[t]; h[t]])                                      equation 5

Without input feeding no step waits for an attention, so layers run by the vendor's kernel and attention is one batched
product. With it, everything is a loop over the target.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from henkan.config import Config
from henkan.nn.attended import Attended, Attention, AttentionState
from henkan.nn.attention import AttentionConfig, SoftAttentionConfig
from henkan.nn.attentive import gathered, step_then_attend
from henkan.nn.bridges import Bridge, BridgeConfig, LastStatesConfig
from henkan.nn.cells import CellConfig, CellState
from henkan.nn.dropout import Dropout
from henkan.nn.embeddings import TokenEmbedding
from henkan.nn.layers import Forward
from henkan.nn.readout import AttentionalVector
from henkan.nn.scores import GeneralScoresConfig
from henkan.tensors import Decoded, Frames, Memory, State, Tokens


@dataclass(frozen=True)
class Recurrence:
    """What changes from step to step; one row for each hypothesis."""

    layers: tuple[CellState, ...]
    fed: Tensor  # (R, D) the previous attentional vector
    attending: AttentionState


class LuongDecoder(nn.Module):
    """Recurrent layers, attention above them."""

    def __init__(
        self,
        embedding: TokenEmbedding,
        layers: list[Forward],
        attention: Attention,
        bridge: Bridge,
        context_width: int,
        input_feeding: bool,
        dropout: float,
    ) -> None:
        super().__init__()
        self.width = layers[-1].width
        self.embedding = embedding
        self.layers = nn.ModuleList(layers)
        self._cells = [layer.cell for layer in layers]
        self.source_attention = attention
        self.attentional = AttentionalVector(context_width, self.width)
        self.bridge = bridge
        self.input_feeding = input_feeding
        self.dropout = Dropout(dropout)

    def start(self, memory: Memory | None, rows: int, capacity: int = 0) -> State:
        """The encoder's last states, keys projected once, and a zero vector fed to the first step."""
        assert memory is not None, "this decoder attends to a source"
        layers, source = self.bridge(memory), self.source_attention.project(memory)
        return State(source, Recurrence(layers, torch.zeros_like(layers[-1][0]), self.source_attention.start(source)))

    def forward(self, inputs: Tokens | Frames, state: State) -> Decoded:
        """Tokens (R, T) to attentional vectors (R, T, D)."""
        assert isinstance(inputs, Tokens)
        embedded = self.dropout(self.embedding(inputs.ids))
        read = self._read_feeding if self.input_feeding else self._read
        hidden, extras, moved = read(embedded, inputs.mask, state.fixed, state.moving)
        return Decoded(self.dropout(hidden), State(state.fixed, moved, state.width), extras)

    def _read(
        self, vectors: Tensor, mask: Tensor, source: Attended, before: Recurrence
    ) -> tuple[Tensor, dict[str, Tensor], Recurrence]:
        after = []
        for layer, layer_state in zip(self.layers, before.layers, strict=True):
            vectors, last = layer(vectors, mask, layer_state)
            vectors = self.dropout(vectors)
            after.append(last)
        focus = self.source_attention(vectors, mask, source, before.attending)
        hidden = self.attentional(focus.contexts, vectors)
        return hidden, gathered([focus]), Recurrence(tuple(after), before.fed, focus.state)

    def _read_feeding(
        self, embedded: Tensor, mask: Tensor, source: Attended, before: Recurrence
    ) -> tuple[Tensor, dict[str, Tensor], Recurrence]:
        hidden, extras, layers, fed, attending = step_then_attend(
            self._cells,
            self.source_attention,
            self.attentional,
            self.dropout,
            embedded,
            mask,
            source,
            before.layers,
            before.fed,
            before.attending,
        )
        return hidden, extras, Recurrence(layers, fed, attending)

    def attention(self, decoded: Decoded) -> Tensor:
        """The weights that were used, (R, T, S)."""
        return decoded.extras["attention"]


class LuongDecoderConfig(Config):
    """Luong et al. (2015): global attention and input feeding unless told otherwise."""

    kind: Literal["luong"] = "luong"
    cell: CellConfig
    layers: int = Field(1, ge=1, le=100)
    attention: AttentionConfig = SoftAttentionConfig(scores=GeneralScoresConfig())
    input_feeding: bool = True
    bridge: BridgeConfig = LastStatesConfig()
    dropout: float = Field(0.0, ge=0.0, lt=1.0)

    @property
    def attends(self) -> bool:
        """Whether it looks at the source while it decodes."""
        return True

    @property
    def output_width(self) -> int:
        """D of the hidden vectors."""
        return self.cell.size

    def check(self, encoder_sizes: tuple[int, ...]) -> None:
        """ValueError where this decoder cannot follow an encoder whose layers have these widths."""
        self.bridge.check(encoder_sizes, self.cell.size, self.layers)
        self.attention.check(self.cell.size, encoder_sizes[-1])

    def build(self, embedding: TokenEmbedding, encoder_sizes: tuple[int, ...]) -> LuongDecoder:
        """The decoder after an encoder whose layers have these widths."""
        size = self.cell.size
        fed = size if self.input_feeding else 0
        layers = [Forward(self.cell.build(embedding.width + fed))]
        layers += [Forward(self.cell.build(size)) for _ in range(self.layers - 1)]
        return LuongDecoder(
            embedding,
            layers,
            self.attention.build(size, encoder_sizes[-1]),
            self.bridge.build(encoder_sizes, [layer.cell for layer in layers]),
            encoder_sizes[-1],
            self.input_feeding,
            self.dropout,
        )
