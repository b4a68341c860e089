"""One matrix that multiplies many small inputs: laid out for the processor once, not at every product.

The only file that knows torch's private operators for it.
"""

from __future__ import annotations

import torch
from torch import Tensor


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
