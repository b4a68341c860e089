"""A model for inference alone, made from a trained one."""

from __future__ import annotations

import copy

import torch
from torch import nn

from henkan.models.encoder_decoder import EncoderDecoder
from henkan.nn.packed import step_twin, twin
from henkan.nn.product import fast_in_bf16


def for_inference(model: EncoderDecoder, products: torch.dtype = torch.float32) -> EncoderDecoder:
    """The same model for outputs alone: each part that has a twin in :mod:`henkan.nn.packed` is replaced by it.

    Args:
        model: the specification; it stays as it is, and the one returned shares its weights. When they have changed,
            make another.
        products: the type of matrix products, float32 or bf16; everything else is as in the model.

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
    return copy.deepcopy(model, seen).eval()


class Inference:
    """:func:`for_inference`, made when it is first asked for, and again when the model's weights have changed."""

    def __init__(self) -> None:
        self._made: tuple[object, EncoderDecoder] | None = None

    def of(self, model: EncoderDecoder) -> EncoderDecoder:
        """The model for outputs; products are bf16 where this processor is made for it."""
        products = torch.bfloat16 if fast_in_bf16() else torch.float32
        weights = [(parameter.data_ptr(), parameter._version, parameter.dtype) for parameter in model.parameters()]
        if self._made is None or self._made[0] != (products, weights):
            self._made = ((products, weights), for_inference(model, products))
        return self._made[1]
