"""Luong's decoder with LSTMs for outputs alone: a step is one call of C++ (``native/luong.cpp``)."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from henkan import native
from henkan.decoders.luong import LuongDecoder
from henkan.nn.attended import Attended
from henkan.nn.attention import SoftAttention
from henkan.nn.embeddings import TokenEmbedding
from henkan.nn.layers import Forward
from henkan.nn.packed import PackedGeneralScores, UnknownPartError, check_tokens, matrix_of
from henkan.nn.packed_lstm import CellOfNative, PackedWeights
from henkan.nn.product import Matrix, name_of
from henkan.nn.scores import DotScores
from henkan.tensors import Decoded, Frames, Memory, State, Tokens, check_padded


@dataclass(frozen=True)
class Block:
    """What rows carry; it stays where it is when rows are chosen, so rows that branch share it."""

    rows: Tensor  # (rows of some step, (1 + 2 * layers) * D): attentional vector, outputs, carousels

    def select(self, rows: Tensor) -> Block:
        """Itself."""
        return self


@dataclass(frozen=True)
class Carried:
    """What changes from step to step."""

    places: Tensor  # (R,) int64: the row of the block that belongs to each hypothesis
    block: Block


class _Decoder(ctypes.Structure):
    """``LuongDecoder`` of native/luong.cpp."""

    _fields_ = (
        ("width", ctypes.c_int64),
        ("count", ctypes.c_int64),
        ("cells", ctypes.c_void_p),
        ("mix", Matrix),
        ("embedded", ctypes.c_int64),
        ("embedding", ctypes.c_void_p),
        ("scale", ctypes.c_double),
    )


class PackedLuongDecoder(nn.Module):
    """:class:`LuongDecoder`, which is its specification.

    Args:
        decoder: with packed parts; in float32 but for its products.
        dtype: of the products.

    Raises:
        UnknownPartError: a part is not written in C++.
    """

    def __init__(self, decoder: LuongDecoder, dtype: torch.dtype) -> None:
        super().__init__()
        attention, embedding = decoder.source_attention, decoder.embedding
        if type(attention) is not SoftAttention or type(attention.scorer) not in (DotScores, PackedGeneralScores):
            raise UnknownPartError
        table = embedding.weight.detach()
        if type(embedding) is not TokenEmbedding or table.dtype != torch.float32 or not table.is_contiguous():
            raise UnknownPartError
        self.width, self.embedding, self.bridge = decoder.width, embedding, decoder.bridge
        self.source_attention, self.attentional = attention, decoder.attentional
        layers = [layer for layer in decoder.layers if isinstance(layer, Forward)]
        below = [embedding.width, *(self.width for _ in layers[1:])]
        self._weights = [PackedWeights(layer.cell, dtype, read) for layer, read in zip(layers, below, strict=True)]
        self._cells = (CellOfNative * len(layers))(*(weights.structure for weights in self._weights))
        self._table = table
        self._decoder = _Decoder(
            *(self.width, len(layers), ctypes.addressof(self._cells), matrix_of(decoder.attentional.mix)),
            *(embedding.width, table.data_ptr(), embedding.scale),
        )
        self._step = native.Function(f"luong_step_{name_of(dtype)}")

    def start(self, memory: Memory | None, rows: int, capacity: int = 0) -> State:
        """The encoder's last states, keys projected once, and a zero vector fed to the first step."""
        assert memory is not None, "this decoder attends to a source"
        outputs, carousels = zip(*self.bridge(memory), strict=True)
        block = torch.cat([torch.zeros_like(outputs[0]), *outputs, *carousels], 1)
        source = self.source_attention.project(replace(memory, states=memory.states.contiguous()))
        return State(source, Carried(torch.arange(len(block)), Block(block)))

    def forward(self, inputs: Tokens | Frames, state: State) -> Decoded:
        """Tokens (R, T) after what the state has read, to attentional vectors (R, T, D)."""
        assert isinstance(inputs, Tokens)
        check_padded(inputs, "a model for outputs")
        check_tokens(inputs.ids, len(self._table))
        carried, blocks = state.moving, []
        for position in range(inputs.ids.shape[1]):
            carried = self._read(inputs, position, state.fixed, carried)
            blocks.append(carried.block.rows)
        steps = torch.stack(blocks, 1) if len(blocks) > 1 else blocks[0][:, None]
        top = len(self._weights) * self.width
        asking = steps[..., top : top + self.width]
        return Decoded(steps[..., : self.width], State(state.fixed, carried, state.width), {"asking": asking})

    def _read(self, inputs: Tokens, position: int, source: Attended, before: Carried) -> Carried:
        ids, real = inputs.ids[:, position].contiguous(), inputs.mask[:, position].contiguous()
        rows, block = len(ids), before.block.rows
        after = block.new_empty(rows, block.shape[1])
        sources, length, contexts = source.values.shape
        self._step(
            *(rows, torch.get_num_threads(), ctypes.addressof(self._decoder), ids, real, block, before.places),
            *(source.keys, source.values, source.bias, length, contexts, rows // sources, after),
        )
        return Carried(torch.arange(rows), Block(after))

    def attention(self, decoded: Decoded) -> Tensor:
        """Weights over the source, (R, T, S), computed only when asked for."""
        asking = decoded.extras["asking"]
        real = torch.ones(asking.shape[:2], dtype=torch.bool)
        return self.source_attention(asking, real, decoded.state.fixed, ()).weights
