"""The layers of a Transformer as ``native/transformer.h`` reads them: its structs, filled in from packed parts.

Only Transformers as they were published are known there; of anything else :class:`UnknownPartError` is raised.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from henkan.nn.biases import MaskAlone
from henkan.nn.embeddings import TokenEmbedding
from henkan.nn.feedforward import ACTIVATIONS
from henkan.nn.multihead import SelfAttention, SourceAttention
from henkan.nn.packed import PackedFeedForward, PackedLinear, UnknownPartError, check_tokens, matrix_of
from henkan.nn.positions import SinusoidalPositions
from henkan.nn.product import Matrix, PackedProduct
from henkan.nn.residual import Residual
from henkan.nn.segments import NoSegments


class _Norm(ctypes.Structure):
    _fields_ = (("weight", ctypes.c_void_p), ("bias", ctypes.c_void_p), ("epsilon", ctypes.c_double))


class _Residual(ctypes.Structure):
    _fields_ = (("before", _Norm), ("after", _Norm))


class _SelfAttention(ctypes.Structure):
    _fields_ = (("around", _Residual), ("inputs", Matrix), ("output", Matrix))


class _SourceAttention(ctypes.Structure):
    _fields_ = (("around", _Residual), ("query", Matrix), ("output", Matrix))


class _FeedForward(ctypes.Structure):
    _fields_ = (("around", _Residual), ("inner", Matrix), ("outer", Matrix), ("activation", ctypes.c_int64))


class DecoderLayer(ctypes.Structure):
    """Of native/transformer.cpp."""

    _fields_ = (("self", _SelfAttention), ("source", _SourceAttention), ("feed_forward", _FeedForward))


class EncoderLayer(ctypes.Structure):
    """Of native/transformer.cpp."""

    _fields_ = (("self", _SelfAttention), ("feed_forward", _FeedForward))


class _Stack(ctypes.Structure):
    _fields_ = (
        ("width", ctypes.c_int64),
        ("heads", ctypes.c_int64),
        ("count", ctypes.c_int64),
        ("layers", ctypes.c_void_p),
        ("last", _Norm),
        ("embedding", ctypes.c_void_p),
        ("scale", ctypes.c_double),
        ("positions", ctypes.c_void_p),
    )


class Stack:
    """All layers of an encoder or a decoder, with what stands before and behind them.

    Args:
        layers: of one kind of struct, made by the functions below.
        heads: of every attention.
        parts: the modules that the layers were made from; they own the memory that is pointed at.
    """

    def __init__(
        self,
        layers: Sequence[ctypes.Structure],
        heads: int,
        embedding: TokenEmbedding,
        positions: nn.Module,
        last: nn.Module,
        parts: nn.Module,
    ) -> None:
        if type(embedding) is not TokenEmbedding or type(positions) is not SinusoidalPositions:
            raise UnknownPartError
        self._table = embedding.weight.detach()
        if self._table.dtype != torch.float32 or not self._table.is_contiguous():
            raise UnknownPartError
        self._positions, self._own = positions, parts
        self._layers = (type(layers[0]) * len(layers))(*layers)
        self._stack = _Stack(
            *(embedding.width, heads, len(layers), ctypes.addressof(self._layers), norm(last)),
            *(self._table.data_ptr(), embedding.scale, None),
        )
        self.address = ctypes.addressof(self._stack)

    def reach(self, positions: int) -> None:
        """Make sure that so many positions are known."""
        self._sinusoids = self._positions.table(positions, self._table)
        self._stack.positions = self._sinusoids.data_ptr()

    def check(self, ids: Tensor) -> None:
        """IndexError unless all ids are in the vocabulary."""
        check_tokens(ids, len(self._table))


def absent(*parts: nn.Module) -> None:
    """UnknownPartError unless none of these does anything."""
    if any(type(part) not in (nn.Identity, MaskAlone, NoSegments) for part in parts):
        raise UnknownPartError


def norm(module: nn.Module) -> _Norm:
    """A layer norm, or nothing."""
    if type(module) is nn.Identity:
        return _Norm(None, None, 0.0)
    if type(module) is not nn.LayerNorm or module.bias is None or module.weight.dtype != torch.float32:
        raise UnknownPartError
    return _Norm(module.weight.data_ptr(), module.bias.data_ptr(), module.eps)


def residual(module: nn.Module) -> _Residual:
    """A residual connection."""
    if type(module) is not Residual:
        raise UnknownPartError
    return _Residual(norm(module.before), norm(module.after))


def self_attention(module: nn.Module, around: nn.Module) -> _SelfAttention:
    """An attention over oneself, whose products are packed."""
    if type(module) is not SelfAttention:
        raise UnknownPartError
    return _SelfAttention(residual(around), matrix_of(module.inputs), matrix_of(module.output))


def source_attention(module: nn.Module, around: nn.Module) -> _SourceAttention:
    """An attention over a source, whose products are packed."""
    if type(module) is not SourceAttention:
        raise UnknownPartError
    return _SourceAttention(residual(around), matrix_of(module.query), matrix_of(module.output))


def feed_forward(module: nn.Module, around: nn.Module) -> _FeedForward:
    """A feed-forward network, whose products are packed."""
    known = [ACTIVATIONS[name] for name in ("relu", "gelu", "silu")]
    if type(module) is not PackedFeedForward or module.activation not in known:
        raise UnknownPartError
    return _FeedForward(
        residual(around), matrix_of(module.inner), matrix_of(module.outer), known.index(module.activation)
    )


def joined(parts: Sequence[nn.Module], dtype: torch.dtype) -> PackedProduct:
    """Several packed linear parts over one input as one product, their outputs side by side."""
    products = [part.product for part in parts if isinstance(part, PackedLinear)]
    biases = [product.bias for product in products if product.bias is not None]
    if len(biases) != len(parts):
        raise UnknownPartError
    return PackedProduct(torch.cat([product.weight for product in products]), torch.cat(biases), dtype)
