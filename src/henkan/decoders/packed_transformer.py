"""The Transformer's decoder for outputs alone: a step is one call of C++ (``native/transformer.cpp``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from henkan import native
from henkan.decoders.transformer import TransformerDecoder, TransformerDecoderLayer
from henkan.nn.cache import Entries
from henkan.nn.multihead import SourceKeys, score_bias
from henkan.nn.packed_transformer import (
    DecoderLayer,
    Stack,
    absent,
    feed_forward,
    joined,
    self_attention,
    source_attention,
)
from henkan.nn.product import name_of
from henkan.tensors import Decoded, Frames, Memory, State, Tokens, check_padded


@dataclass(frozen=True)
class PackedSource:
    """What does not change while decoding; one row for each source."""

    bias: Tensor  # (sources, 1, 1, S): 0 where there is something
    entries: Tensor  # (sources, S, layers, 2, D): keys and values


@dataclass(frozen=True)
class Read:
    """What changes; one row for each hypothesis."""

    count: Tensor  # (R,) int64: real tokens read so far
    entries: Entries  # (layers, 2, D) each: keys and values


class PackedTransformerDecoder(nn.Module):
    """:class:`TransformerDecoder`, which is its specification.

    Args:
        decoder: with packed parts; in float32 but for its products.
        dtype: of the products.

    Raises:
        UnknownPartError: a part is not written in C++.
    """

    def __init__(self, decoder: TransformerDecoder, dtype: torch.dtype) -> None:
        super().__init__()
        absent(decoder.first_norm, decoder.terms)
        stacked = [layer for layer in decoder.layers if isinstance(layer, TransformerDecoderLayer)]
        layers = [
            DecoderLayer(
                self_attention(layer.attention, layer.around_attention),
                source_attention(layer.source_attention, layer.around_source_attention),
                feed_forward(layer.feed_forward, layer.around_feed_forward),
            )
            for layer in stacked
        ]
        self.width, self.embedding, self.aligning = decoder.width, decoder.embedding, decoder.aligning
        attentions: list[Any] = [layer.source_attention for layer in stacked]
        heads, self._shape = attentions[0].heads, (len(layers), 2, decoder.width)
        self._pairs = joined([attention.pairs for attention in attentions], dtype)
        self._aligning_attention: Any = attentions[self.aligning]
        self._stack = Stack(layers, heads, decoder.embedding, decoder.positions, decoder.last_norm, decoder)
        self._step = native.Function(f"step_{name_of(dtype)}")

    def start(self, memory: Memory | None, rows: int, capacity: int = 0) -> State:
        """The state before the first token; keys and values of the source are projected here, once."""
        assert memory is not None, "this decoder attends to a source"
        source = PackedSource(
            score_bias(memory.mask[:, None], memory.states.dtype), self._pairs(memory.states).unflatten(2, self._shape)
        )
        return State(source, Read(torch.zeros(rows, dtype=torch.int64), Entries.empty(rows)))

    def forward(self, inputs: Tokens | Frames, state: State) -> Decoded:
        """Tokens (R, T) after what the state has read, to hidden vectors (R, T, D)."""
        assert isinstance(inputs, Tokens)
        check_padded(inputs, "a model for outputs")
        rows, length = inputs.ids.shape
        self._stack.check(inputs.ids)
        self._stack.reach(state.moving.entries.slots + length)
        hidden, asking = torch.empty(length, rows, self.width), torch.empty(length, rows, self.width)
        read = state.moving
        for position in range(length):
            read = self._read(inputs, position, state.fixed, read, hidden[position], asking[position])
        return Decoded(
            hidden.transpose(0, 1), State(state.fixed, read, state.width), {"asking": asking.transpose(0, 1)}
        )

    def _read(
        self, inputs: Tokens, position: int, source: PackedSource, before: Read, hidden: Tensor, asking: Tensor
    ) -> Read:
        ids, real = inputs.ids[:, position].contiguous(), inputs.mask[:, position].contiguous()
        entries = before.entries.with_slot(self._shape)
        sources, length = source.entries.shape[:2]
        self._step(
            *(len(ids), torch.get_num_threads(), self._stack.address, ids, before.count, real),
            *(entries.blocks[-1], entries.table, entries.table.shape[1], before.entries.slots),
            *(source.entries, source.bias, length, len(ids) // sources, hidden, asking, self.aligning),
        )
        return Read(before.count + real, entries)

    def attention(self, decoded: Decoded) -> Tensor:
        """Weights over the source, (R, T, S): the mean over the heads of one layer, computed only when asked for."""
        source, part = decoded.state.fixed, self._aligning_attention
        pairs = source.entries[:, :, self.aligning].unflatten(3, (part.heads, -1)).permute(2, 0, 3, 1, 4)
        keys, values = pairs.unbind(0)  # (sources, H, S, E)
        return part.weights(decoded.extras["asking"], SourceKeys(keys, values), source.bias)
