"""Bahdanau, Cho & Bengio (2015): attention inside the recurrence.

    c[i] = attention(s[i-1])
    s[i] = cell([E y[i-1]; c[i]], s[i-1])
    t[i] = maxout(U s[i] + V E y[i-1] + C c[i])                        appendix A.2.2

The appendix writes s[i-1] in the last line, the text p(y[i] | s[i], y[i-1], c[i]); this follows the text.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from henkan.config import Config
from henkan.nn.attended import Attention
from henkan.nn.attention import AttentionConfig
from henkan.nn.attentive import attend_then_step
from henkan.nn.bridges import Bridge, BridgeConfig, ProjectedBackwardConfig
from henkan.nn.cells import Cell, CellConfig
from henkan.nn.dropout import Dropout
from henkan.nn.embeddings import TokenEmbedding
from henkan.nn.readout import DeepOutput
from henkan.tensors import Decoded, Frames, Memory, State, Tokens


class BahdanauDecoder(nn.Module):
    """One cell that reads the previous word and the context which the previous state asked for."""

    def __init__(
        self,
        embedding: TokenEmbedding,
        cell: Cell,
        attention: Attention,
        bridge: Bridge,
        readout: DeepOutput,
        dropout: float,
    ) -> None:
        super().__init__()
        self.width = readout.width
        self.embedding = embedding
        self.cell = cell
        self.source_attention = attention
        self.bridge = bridge
        self.readout = readout
        self.dropout = Dropout(dropout)

    def start(self, memory: Memory | None, rows: int, capacity: int = 0) -> State:
        """The first state from the source, keys projected once."""
        assert memory is not None, "this decoder attends to a source"
        source = self.source_attention.project(memory)
        return State(source, (self.bridge(memory)[0], self.source_attention.start(source)))

    def forward(self, inputs: Tokens | Frames, state: State) -> Decoded:
        """Tokens (R, T) to the deep output's vectors (R, T, D)."""
        assert isinstance(inputs, Tokens)
        embedded = self.dropout(self.embedding(inputs.ids))
        outputs, contexts, extras, *after = attend_then_step(
            self.cell, self.source_attention, embedded, inputs.mask, state.fixed, *state.moving
        )
        hidden = self.readout(self.dropout(outputs), embedded, contexts)
        return Decoded(self.dropout(hidden), State(state.fixed, tuple(after), state.width), extras)

    def attention(self, decoded: Decoded) -> Tensor:
        """The weights that were used, (R, T, S)."""
        return decoded.extras["attention"]


class BahdanauDecoderConfig(Config):
    """Bahdanau et al. (2015)."""

    kind: Literal["bahdanau"] = "bahdanau"
    cell: CellConfig
    attention: AttentionConfig
    maxout: int = Field(500, ge=1, le=65536)
    bridge: BridgeConfig = ProjectedBackwardConfig()
    dropout: float = Field(0.0, ge=0.0, lt=1.0)

    @property
    def attends(self) -> bool:
        """Whether it looks at the source while it decodes."""
        return True

    @property
    def output_width(self) -> int:
        """D of the hidden vectors."""
        return self.maxout

    def check(self, encoder_sizes: tuple[int, ...]) -> None:
        """ValueError where this decoder cannot follow an encoder whose layers have these widths."""
        self.bridge.check(encoder_sizes, self.cell.size, 1)
        self.attention.check(self.cell.size, encoder_sizes[-1])

    def build(self, embedding: TokenEmbedding, encoder_sizes: tuple[int, ...]) -> BahdanauDecoder:
        """The decoder after an encoder whose layers have these widths."""
        source_width = encoder_sizes[-1]
        cell = self.cell.build(embedding.width + source_width)
        return BahdanauDecoder(
            embedding,
            cell,
            self.attention.build(cell.size, source_width),
            self.bridge.build(encoder_sizes, [cell]),
            DeepOutput(cell.size, embedding.width, source_width, self.maxout),
            self.dropout,
        )
