"""A model for inference alone, made from a trained one."""

from __future__ import annotations

import copy
from typing import Literal, TypeAlias, get_args

import torch
from torch import nn

from henkan.decoders.luong import LuongDecoder
from henkan.decoders.packed_luong import PackedLuongDecoder
from henkan.decoders.packed_transformer import PackedTransformerDecoder
from henkan.decoders.transformer import TransformerDecoder
from henkan.encoders.packed_transformer import PackedTransformerEncoder
from henkan.encoders.recurrent import RecurrentEncoder
from henkan.encoders.transformer import TransformerEncoder
from henkan.errors import ConfigError
from henkan.models.encoder_decoder import EncoderDecoder
from henkan.nn.packed import UnknownPartError, step_twin, twin
from henkan.nn.packed_lstm import read_by_native
from henkan.nn.product import fast_in_bf16, has_tiles, native_kinds


def for_inference(model: EncoderDecoder, products: torch.dtype = torch.float32) -> EncoderDecoder:
    """The same model for outputs alone: each part that has a twin in :mod:`henkan.nn.packed` is replaced by it.

    Args:
        model: the specification; it stays as it is, and the one returned shares its weights. When they have changed,
            make another.
        products: the type of matrix products, float32, bf16 or int8; everything else is as in the model.

    Returns:
        The model itself where it is not on a processor: the twins are for that.
    """
    if any(parameter.device.type != "cpu" for parameter in model.parameters()):
        return model
    # What the copy is told to have seen already, it takes instead: wherever a part or a weight is referred to.
    seen: dict[int, object] = {id(parameter): parameter for parameter in model.parameters()}
    cells = model.decoder.modules() if isinstance(model.decoder, nn.Module) else ()  # an encoder reads whole sequences
    twins = {id(cell): step_twin(cell, products) for cell in cells}
    twins |= {id(part): found for part in model.modules() if (found := twin(part, products)) is not None}
    seen |= {place: found.eval() for place, found in twins.items() if found is not None}
    made = copy.deepcopy(model, seen).eval()
    if products in native_kinds() and not (products == torch.bfloat16 and has_tiles()):
        _write_in_one(made, products)
    return made


def trained_for_inference(model: EncoderDecoder) -> EncoderDecoder:
    """:func:`for_inference` of a model between two updates, whose weights are as training computes with them.

    The parts that are fastest compute in float32 but for their products, so bf16 weights are copied as float32; the
    products stay bf16 where that is fast.
    """
    dtype = next(model.parameters()).dtype
    if dtype == torch.float32 or next(model.parameters()).device.type != "cpu":
        return for_inference(model)
    return for_inference(copy.deepcopy(model).float(), product_type("auto"))


def _write_in_one(model: nn.Module, products: torch.dtype) -> None:
    """Encoders and decoders that are written in C++ from end to end take the place of those that are not."""
    for parent in list(model.modules()):
        for name, part in list(parent.named_children()):
            try:
                match part:
                    case TransformerEncoder():
                        setattr(parent, name, PackedTransformerEncoder(part, products).eval())
                    case TransformerDecoder():
                        setattr(parent, name, PackedTransformerDecoder(part, products).eval())
                    case LuongDecoder():
                        setattr(parent, name, PackedLuongDecoder(part, products).eval())
                    case RecurrentEncoder():
                        read_by_native(part, products)
            except UnknownPartError:
                continue


Precision: TypeAlias = Literal["auto", "fp32", "bf16", "int8"]
"""Of matrix products on a processor."""


def product_type(precision: Precision) -> torch.dtype:
    """What a precision means on this machine.

    Raises:
        ConfigError: it is not one, or this processor has no instructions for it.
    """
    if precision not in get_args(Precision):
        raise ConfigError(f"precision {precision!r}: expected one of {', '.join(get_args(Precision))}")
    if precision == "bf16" and not fast_in_bf16():
        raise ConfigError("precision bf16: this processor has no instructions for it; expected fp32 or auto")
    if precision == "int8" and torch.int8 not in native_kinds():
        raise ConfigError(
            "precision int8: it needs a C++ compiler and a processor with instructions for it (AVX-512 VNNI); "
            "expected fp32 or auto"
        )
    if precision == "int8":
        return torch.int8
    return torch.bfloat16 if precision == "bf16" or (precision == "auto" and fast_in_bf16()) else torch.float32


class Inference:
    """:func:`for_inference`, made when it is first asked for, and again when the model's weights have changed."""

    def __init__(self) -> None:
        self._made: tuple[object, EncoderDecoder] | None = None

    def of(self, model: EncoderDecoder, precision: Precision = "auto") -> EncoderDecoder:
        """The model for outputs; with ``auto`` products are bf16 where this processor is made for it."""
        products = product_type(precision)
        weights = [(parameter.data_ptr(), parameter._version, parameter.dtype) for parameter in model.parameters()]
        if self._made is None or self._made[0] != (products, weights):
            self._made = ((products, weights), for_inference(model, products))
        return self._made[1]
