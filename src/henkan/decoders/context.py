"""Cho et al. (2014): one vector for the whole source, seen at every step.

    c    = tanh(V h[S])
    s[0] = tanh(V' c)
    s[i] = cell([E y[i-1]; c], s[i-1])
    t[i] = maxout(O_h s[i] + O_y E y[i-1] + O_c c)                     appendix A.1.2

In the appendix the decoder's reset gate also acts upon the context's share of the candidate; here the context is an
input like any other, as in equation 5 of the text, so that any cell will do and nothing waits for a step but the state.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from henkan.config import Config
from henkan.nn.bridges import Bridge, ProjectedConfig
from henkan.nn.cells import CellConfig
from henkan.nn.dropout import Dropout
from henkan.nn.embeddings import TokenEmbedding
from henkan.nn.init import glorot_uniform
from henkan.nn.layers import Forward
from henkan.nn.readout import DeepOutput
from henkan.tensors import Decoded, Frames, Memory, State, Tokens


class Summary(nn.Module):
    """A source as one vector, c = tanh(V h[S]): a Memory of one position."""

    def __init__(self, source_width: int, size: int) -> None:
        super().__init__()
        self.mix = nn.Linear(source_width, size)
        glorot_uniform(self.mix.weight)
        nn.init.zeros_(self.mix.bias)

    def forward(self, memory: Memory) -> Memory:
        """The topmost layer's last state (N, D) to states (N, 1, C)."""
        assert memory.final is not None
        context = torch.tanh(self.mix(memory.final[-1][0]))
        there = torch.ones(context.shape[0], 1, dtype=torch.bool, device=context.device)
        return Memory(context[:, None], there, ((context,),))


class ContextDecoder(nn.Module):
    """One recurrent layer that reads the previous word and the context, which also reaches the output directly."""

    def __init__(
        self,
        embedding: TokenEmbedding,
        layer: Forward,
        summary: Summary,
        bridge: Bridge,
        readout: DeepOutput,
        dropout: float,
    ) -> None:
        super().__init__()
        self.width = readout.width
        self.embedding = embedding
        self.layer = layer
        self.summary = summary
        self.bridge = bridge
        self.readout = readout
        self.dropout = Dropout(dropout)

    def start(self, memory: Memory | None, rows: int, capacity: int = 0) -> State:
        """The context, (sources, 1, C), and the first state that follows from it."""
        assert memory is not None, "this decoder starts from a source"
        context = self.summary(memory)
        return State(context.states, self.bridge(context)[0])

    def forward(self, inputs: Tokens | Frames, state: State) -> Decoded:
        """Tokens (R, T) to the deep output's vectors (R, T, D)."""
        assert isinstance(inputs, Tokens)
        embedded = self.dropout(self.embedding(inputs.ids))
        context: Tensor = state.fixed.repeat_interleave(state.width, 0)  # (R, 1, C)
        everywhere = context.expand(-1, embedded.shape[1], -1)
        outputs, last = self.layer(torch.cat([embedded, everywhere], -1), inputs.mask, state.moving)
        hidden = self.readout(self.dropout(outputs), embedded, context)
        return Decoded(self.dropout(hidden), State(state.fixed, last, state.width))

    def attention(self, decoded: Decoded) -> None:
        """There is none: every position of the source has become part of one vector."""
        return


class ContextDecoderConfig(Config):
    """Cho et al. (2014)."""

    kind: Literal["context"] = "context"
    cell: CellConfig
    context: int = Field(ge=1, le=65536)  # width of c
    maxout: int = Field(500, ge=1, le=65536)
    bridge: ProjectedConfig = ProjectedConfig()
    dropout: float = Field(0.0, ge=0.0, lt=1.0)

    @property
    def output_width(self) -> int:
        """D of the hidden vectors."""
        return self.maxout

    @property
    def attends(self) -> bool:
        """Whether it looks at the source while it decodes."""
        return False

    def check(self, encoder_sizes: tuple[int, ...]) -> None:
        """Any recurrent encoder will do."""

    def build(self, embedding: TokenEmbedding, encoder_sizes: tuple[int, ...]) -> ContextDecoder:
        """The decoder after an encoder whose layers have these widths."""
        cell = self.cell.build(embedding.width + self.context)
        return ContextDecoder(
            embedding,
            Forward(cell),
            Summary(encoder_sizes[-1], self.context),
            self.bridge.build((self.context,), [cell]),
            DeepOutput(cell.size, embedding.width, self.context, self.maxout),
            self.dropout,
        )
