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
from henkan.nn.attention import Attended, SoftAttention
from henkan.nn.bridges import Bridge, BridgeConfig, LastStatesConfig
from henkan.nn.cells import CellConfig, CellState
from henkan.nn.dropout import Dropout
from henkan.nn.embeddings import TokenEmbedding
from henkan.nn.init import glorot_uniform
from henkan.nn.layers import Forward
from henkan.nn.recurrent import last_real
from henkan.nn.scores import GeneralScoresConfig, ScoresConfig
from henkan.tensors import Decoded, Frames, Memory, State, Tokens


class AttentionalVector(nn.Module):
    """tanh(W [c; h]), equation 5."""

    def __init__(self, context_width: int, hidden_width: int) -> None:
        super().__init__()
        self.mix = nn.Linear(context_width + hidden_width, hidden_width, bias=False)
        glorot_uniform(self.mix.weight)

    def forward(self, context: Tensor, hidden: Tensor) -> Tensor:
        """(..., C) and (..., D) to (..., D)."""
        return torch.tanh(self.mix(torch.cat([context, hidden], -1)))


@dataclass(frozen=True)
class Recurrence:
    """What changes from step to step; one row for each hypothesis."""

    layers: tuple[CellState, ...]
    fed: Tensor  # (R, D) the previous attentional vector


class LuongDecoder(nn.Module):
    """Recurrent layers, attention above them."""

    def __init__(
        self,
        embedding: TokenEmbedding,
        layers: list[Forward],
        attention: SoftAttention,
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
        self.soft_attention = attention
        self.attentional = AttentionalVector(context_width, self.width)
        self.bridge = bridge
        self.input_feeding = input_feeding
        self.dropout = Dropout(dropout)

    def start(self, memory: Memory | None, rows: int, capacity: int = 0) -> State:
        """The encoder's last states, keys projected once, and a zero vector fed to the first step."""
        assert memory is not None, "this decoder attends to a source"
        layers = self.bridge(memory)
        return State(self.soft_attention.project(memory), Recurrence(layers, torch.zeros_like(layers[-1][0])))

    def forward(self, inputs: Tokens | Frames, state: State) -> Decoded:
        """Tokens (R, T) to attentional vectors (R, T, D)."""
        assert isinstance(inputs, Tokens)
        embedded = self.dropout(self.embedding(inputs.ids))
        read = self._read_feeding if self.input_feeding else self._read
        hidden, weights, moved = read(embedded, inputs.mask, state.fixed, state.moving)
        return Decoded(self.dropout(hidden), State(state.fixed, moved, state.width), {"attention": weights})

    def _read(
        self, vectors: Tensor, mask: Tensor, source: Attended, before: Recurrence
    ) -> tuple[Tensor, Tensor, Recurrence]:
        after = []
        for layer, layer_state in zip(self.layers, before.layers, strict=True):
            vectors, last = layer(vectors, mask, layer_state)
            vectors = self.dropout(vectors)
            after.append(last)
        contexts, weights = self.soft_attention(vectors, source)
        return self.attentional(contexts, vectors), weights, Recurrence(tuple(after), before.fed)

    def _read_feeding(
        self, embedded: Tensor, mask: Tensor, source: Attended, before: Recurrence
    ) -> tuple[Tensor, Tensor, Recurrence]:
        first, *upper = self._cells
        projected = first.project(embedded)  # the embedding's share of the first layer's gates, for all steps
        layers, fed = before.layers, before.fed
        steps: list[tuple[tuple[CellState, ...], Tensor, Tensor]] = []
        for position in range(embedded.shape[1]):
            gates = projected[:, position] + first.project(fed, first=embedded.shape[2])
            states = [first.advance(gates, layers[0])]
            top = self.dropout(states[0][0])
            for cell, layer_state in zip(upper, layers[1:], strict=True):
                states.append(cell(top, layer_state))
                top = self.dropout(states[-1][0])
            context, weights = self.soft_attention(top[:, None], source)
            layers, fed = tuple(states), self.attentional(context[:, 0], top)
            steps.append((layers, fed, weights[:, 0]))
        hidden = torch.stack([step[1] for step in steps], 1)
        moved = Recurrence(
            tuple(
                tuple(
                    last_real(torch.stack([step[0][height][part] for step in steps], 1), mask, old)
                    for part, old in enumerate(layer_state)
                )
                for height, layer_state in enumerate(before.layers)
            ),
            last_real(hidden, mask, before.fed),
        )
        return hidden, torch.stack([step[2] for step in steps], 1), moved

    def attention(self, decoded: Decoded) -> Tensor:
        """The weights that were used, (R, T, S)."""
        return decoded.extras["attention"]


class LuongDecoderConfig(Config):
    """Luong et al. (2015): global attention, input feeding as published."""

    kind: Literal["luong"] = "luong"
    cell: CellConfig
    layers: int = Field(1, ge=1, le=100)
    scores: ScoresConfig = GeneralScoresConfig()
    input_feeding: bool = True
    bridge: BridgeConfig = LastStatesConfig()
    dropout: float = Field(0.0, ge=0.0, lt=1.0)

    @property
    def output_width(self) -> int:
        """D of the hidden vectors."""
        return self.cell.size

    def check(self, encoder_sizes: tuple[int, ...]) -> None:
        """ValueError where this decoder cannot follow an encoder whose layers have these widths."""
        self.bridge.check(encoder_sizes, self.cell.size, self.layers)
        self.scores.check(self.cell.size, encoder_sizes[-1])

    def build(self, embedding: TokenEmbedding, encoder_sizes: tuple[int, ...]) -> LuongDecoder:
        """The decoder after an encoder whose layers have these widths."""
        size = self.cell.size
        fed = size if self.input_feeding else 0
        layers = [Forward(self.cell.build(embedding.width + fed))]
        layers += [Forward(self.cell.build(size)) for _ in range(self.layers - 1)]
        return LuongDecoder(
            embedding,
            layers,
            SoftAttention(self.scores.build(size, encoder_sizes[-1])),
            self.bridge.build(encoder_sizes, [layer.cell for layer in layers]),
            encoder_sizes[-1],
            self.input_feeding,
            self.dropout,
        )
