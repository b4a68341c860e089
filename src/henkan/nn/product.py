"""One matrix that multiplies many small inputs: laid out for the processor once, not at every product.

The only file that knows torch's private operators for it.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

FEW = 4
"""Below so many rows a float32 product needs no layout of its own."""


def _packs() -> bool:
    """Whether this torch has the operators and this processor the instructions."""
    if not torch.backends.mkldnn.is_available() or not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return False
    return hasattr(torch.ops.mkldnn, "_reorder_linear_weight") and hasattr(torch.ops.mkldnn, "_linear_pointwise")


class Product:
    """x W^T for one W (M, K), inference only: nothing here is recorded for autograd."""

    def __init__(self, weight: Tensor, rows: int) -> None:
        """``rows``: of the inputs to come; the layout may depend on it."""
        self._packed = None
        self._weight = weight.detach().t()
        # Packing pays from about a dozen products on; below that many rows float32 products are faster anyway.
        if weight.dtype == torch.bfloat16 and weight.device.type == "cpu" and rows >= 16 and _packs():
            self._packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous(), rows)

    def __call__(self, inputs: Tensor) -> Tensor:
        """(N, K) to (N, M), contiguous."""
        if self._packed is not None:
            return torch.ops.mkldnn._linear_pointwise(inputs, self._packed, None, "none", [], "")
        return torch.mm(inputs, self._weight)


def fast_in_bf16() -> bool:
    """Whether this processor has instructions for bf16 products, not only an emulation."""
    queries = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return _packs() and any(getattr(torch.cpu, query, bool)() for query in queries)


class PackedProduct:
    """x W^T + b for one W (M, K) that never changes again; inference only. Once packed, it serves any number of rows.

    Args:
        weight: (M, K) of the inputs' type.
        bias: (M,) or None.
        dtype: in which type the product is: bf16, which rounds both factors and the result, or the weight's own.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, dtype: torch.dtype) -> None:
        self._weight, self._bias = weight.detach(), None if bias is None else bias.detach()
        self.dtype = dtype if dtype == torch.bfloat16 and weight.dtype == torch.float32 and _packs() else weight.dtype
        self._packed = self._packed_bias = None
        able = weight.device.type == "cpu" and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
        if able and (self.dtype == torch.float32 or (self.dtype == torch.bfloat16 and _packs())):
            self._packed = torch.ops.mkldnn._reorder_linear_weight(self._weight.to(self.dtype).contiguous(), 64)
            self._packed_bias = None if self._bias is None else self._bias.to(self.dtype)

    def __call__(self, inputs: Tensor) -> Tensor:
        """(..., K) to (..., M), of the inputs' type."""
        return self.rounded(inputs).to(inputs.dtype)

    def rounded(self, inputs: Tensor) -> Tensor:
        """The same in the type that it was computed in."""
        few = self.dtype == torch.float32 and inputs.numel() < FEW * inputs.shape[-1]
        if self._packed is None or few:
            return functional.linear(inputs, self._weight, self._bias)
        narrow = inputs.to(self.dtype)
        return torch.ops.mkldnn._linear_pointwise(narrow, self._packed, self._packed_bias, "none", [], "")
