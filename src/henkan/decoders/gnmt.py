"""GNMT (Wu et al. 2016): a deep stack whose bottom layer asks the source, and whose every layer sees the answer.

    c[t]   = attention(m1[t-1])                                        equation 4: the bottom layer's previous output
    m1[t]  = cell1([E y[t-1]; c[t]], ...)
    mk[t]  = cellk([xk-1[t]; c[t]], ...)                               x is m, plus the layer's own x below where
    xk[t]  = mk[t], or mk[t] + xk-1[t] from the residual layer on      residual connections have begun: equation 6

Only the bottom layer is a loop over the target. With ``query: same`` its output asks in the same step and its own
input has no context: then no layer waits for an attention, and every one runs by the fastest way its cell has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from henkan.config import Config
from henkan.nn.attended import Attended, Attention, AttentionState
from henkan.nn.attention import AttentionConfig
from henkan.nn.attentive import AttendedSteps, attend_then_step, gathered
from henkan.nn.bridges import Bridge, BridgeConfig, ZerosConfig
from henkan.nn.cells import Cell, CellConfig, CellState
from henkan.nn.dropout import Dropout
from henkan.nn.embeddings import TokenEmbedding
from henkan.nn.layers import Forward
from henkan.nn.recurrent import run
from henkan.tensors import Decoded, Frames, Memory, State, Tokens


@dataclass(frozen=True)
class Recurrence:
    """What changes from step to step; one row for each hypothesis."""

    layers: tuple[CellState, ...]
    attending: AttentionState


class PreviousAsks(nn.Module):
    """The bottom layer as published: its previous output asks, and it reads the context."""

    def __init__(self, cell: Cell, attention: Attention) -> None:
        super().__init__()
        self.cell = cell
        self.attention = attention

    def forward(
        self, embedded: Tensor, mask: Tensor, source: Attended, state: CellState, attending: AttentionState
    ) -> AttendedSteps:
        """See :func:`henkan.nn.attentive.attend_then_step`."""
        return attend_then_step(self.cell, self.attention, embedded, mask, source, state, attending)


class SameAsks(nn.Module):
    """The bottom layer that runs ahead: all of its outputs ask at once."""

    def __init__(self, cell: Cell, attention: Attention) -> None:
        super().__init__()
        self.cell = cell
        self.attention = attention

    def forward(
        self, embedded: Tensor, mask: Tensor, source: Attended, state: CellState, attending: AttentionState
    ) -> AttendedSteps:
        """The same arguments and results as :class:`PreviousAsks`."""
        outputs, last = run(self.cell, embedded, mask, state)
        focus = self.attention(outputs, mask, source, attending)
        return AttendedSteps(outputs, focus.contexts, gathered([focus]), last, focus.state)


class GNMTDecoder(nn.Module):
    """A bottom layer with the attention, and layers above it that all read its contexts."""

    def __init__(
        self,
        embedding: TokenEmbedding,
        bottom: PreviousAsks | SameAsks,
        upper: list[Forward],
        residual_from: int,
        bridge: Bridge,
        dropout: float,
    ) -> None:
        super().__init__()
        self.width = upper[-1].width
        self.embedding = embedding
        self.bottom = bottom
        self.upper = nn.ModuleList(upper)
        self.residual_from = residual_from
        self.bridge = bridge
        self.dropout = Dropout(dropout)

    def start(self, memory: Memory | None, rows: int, capacity: int = 0) -> State:
        """The bridge's states, keys projected once."""
        assert memory is not None, "this decoder attends to a source"
        source = self.bottom.attention.project(memory)
        return State(source, Recurrence(self.bridge(memory), self.bottom.attention.start(source)))

    def forward(self, inputs: Tokens | Frames, state: State) -> Decoded:
        """Tokens (R, T) to hidden vectors (R, T, D)."""
        assert isinstance(inputs, Tokens)
        before: Recurrence = state.moving
        embedded = self.dropout(self.embedding(inputs.ids))
        read = self.bottom(embedded, inputs.mask, state.fixed, before.layers[0], before.attending)
        vectors, after = read.outputs, [read.state]
        for height, (layer, layer_state) in enumerate(zip(self.upper, before.layers[1:], strict=True), start=2):
            entering = torch.cat([self.dropout(vectors), read.contexts], -1)
            outputs, last = layer(entering, inputs.mask, layer_state)
            vectors = vectors + outputs if height >= self.residual_from else outputs
            after.append(last)
        moved = Recurrence(tuple(after), read.attending)
        return Decoded(self.dropout(vectors), State(state.fixed, moved, state.width), read.extras)

    def attention(self, decoded: Decoded) -> Tensor:
        """The weights that were used, (R, T, S)."""
        return decoded.extras["attention"]


class GNMTDecoderConfig(Config):
    """Wu et al. (2016). The paper does not say what the decoder starts from; here it starts from zeros."""

    kind: Literal["gnmt"] = "gnmt"
    cell: CellConfig
    layers: int = Field(8, ge=2, le=100)
    residual_from: int | None = Field(3, ge=2, le=100)  # first layer, counted from 1, that adds its input
    attention: AttentionConfig
    query: Literal["previous", "same"] = "previous"  # step of the bottom layer whose output asks
    bridge: BridgeConfig = ZerosConfig()
    dropout: float = Field(0.0, ge=0.0, lt=1.0)

    @property
    def output_width(self) -> int:
        """D of the hidden vectors."""
        return self.cell.size

    @property
    def attends(self) -> bool:
        """Whether it looks at the source while it decodes."""
        return True

    def check(self, encoder_sizes: tuple[int, ...]) -> None:
        """ValueError where this decoder cannot follow an encoder whose layers have these widths."""
        self.bridge.check(encoder_sizes, self.cell.size, self.layers)
        self.attention.check(self.cell.size, encoder_sizes[-1])

    def build(self, embedding: TokenEmbedding, encoder_sizes: tuple[int, ...]) -> GNMTDecoder:
        """The decoder after an encoder whose layers have these widths."""
        size, source_width = self.cell.size, encoder_sizes[-1]
        attention = self.attention.build(size, source_width)
        bottom: PreviousAsks | SameAsks
        if self.query == "previous":
            bottom = PreviousAsks(self.cell.build(embedding.width + source_width), attention)
        else:
            bottom = SameAsks(self.cell.build(embedding.width), attention)
        upper = [Forward(self.cell.build(size + source_width)) for _ in range(self.layers - 1)]
        bridge = self.bridge.build(encoder_sizes, [bottom.cell, *(layer.cell for layer in upper)])
        return GNMTDecoder(embedding, bottom, upper, self.residual_from or self.layers + 1, bridge, self.dropout)
