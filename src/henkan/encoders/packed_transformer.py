"""The Transformer's encoder for outputs alone: one call of C++ (``native/transformer.cpp``), which skips padding."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from henkan import native
from henkan.encoders.transformer import TransformerEncoder, TransformerEncoderLayer
from henkan.nn.packed_transformer import EncoderLayer, Stack, absent, feed_forward, self_attention
from henkan.nn.product import name_of
from henkan.tensors import Features, Memory, Tokens, check_padded


class PackedTransformerEncoder(nn.Module):
    """:class:`TransformerEncoder`, which is its specification, but states of padding are zero.

    Args:
        encoder: with packed parts; in float32 but for its products.
        dtype: of the products.

    Raises:
        UnknownPartError: a part is not written in C++.
    """

    def __init__(self, encoder: TransformerEncoder, dtype: torch.dtype) -> None:
        super().__init__()
        absent(encoder.segments, encoder.first_norm, encoder.terms)
        stacked = [layer for layer in encoder.layers if isinstance(layer, TransformerEncoderLayer)]
        layers = [
            EncoderLayer(
                self_attention(layer.attention, layer.around_attention),
                feed_forward(layer.feed_forward, layer.around_feed_forward),
            )
            for layer in stacked
        ]
        self.sizes = encoder.sizes
        first: Any = stacked[0].attention
        self._stack = Stack(layers, first.heads, encoder.embedding, encoder.positions, encoder.last_norm, encoder)
        self._encode = native.Function(f"encode_{name_of(dtype)}")

    def forward(self, source: Features) -> Memory:
        """Tokens (N, S) to a Memory of (N, S, D)."""
        assert isinstance(source, Tokens)
        check_padded(source, "a model for outputs")
        rows, length = source.ids.shape
        self._stack.check(source.ids)
        self._stack.reach(length)
        states = torch.empty(rows, length, self.sizes[0])
        ids, lengths = source.ids.contiguous(), source.mask.sum(1)
        self._encode(rows, torch.get_num_threads(), self._stack.address, length, ids, lengths, states)
        return Memory(states, source.mask)
