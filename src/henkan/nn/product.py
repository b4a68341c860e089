"""One matrix that multiplies many small inputs: laid out for the processor once, not at every product.

Products are float32, bf16 (both factors are rounded, sums are float32) or int8 (a row of either factor is whole numbers
from -127 to 127 times its largest value / 127; sums are exact). :func:`product_plain` is the specification. Where there
is a C++ compiler, ``native/product.cpp`` makes them with the instructions of this processor; otherwise torch does.

The only file that knows torch's private operators for this.
"""

from __future__ import annotations

import ctypes
import functools

import torch
from torch import Tensor
from torch.nn import functional

from henkan import native
from henkan.nn.top import MOST, SPARE, top, top_again

MANY = 16
"""From so many rows on, tiles of bf16 (AMX) are faster than what is in ``native``."""

_PANEL = 64  # rows of a weight side by side, as in native/product.h

_KINDS = {torch.float32: ("float32", 1), torch.bfloat16: ("bfloat16", 2), torch.int8: ("int8", 4)}
"""How the functions are named, and how many inputs four bytes hold."""


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


def has_tiles() -> bool:
    """Whether this processor multiplies tiles of bf16 (AMX), which torch's own products use and ours do not."""
    return _packs() and bool(getattr(torch.cpu, "_is_amx_tile_supported", bool)())


@functools.cache
def native_kinds() -> frozenset[torch.dtype]:
    """The products that ``native`` makes on this processor."""
    if native.library() is None:
        return frozenset()
    kinds = native.Function("product_kinds")()
    return frozenset([torch.float32, *[torch.bfloat16] * (kinds & 1), *[torch.int8] * (kinds >> 1 & 1)])


def name_of(dtype: torch.dtype) -> str:
    """How functions of ``native`` for products of this type end."""
    return _KINDS[dtype][0]


def product_plain(inputs: Tensor, weight: Tensor, bias: Tensor | None, dtype: torch.dtype) -> Tensor:
    """x W^T + b with products of this type: the specification.

    Args:
        inputs: (N, K).
        weight: (M, K).
        bias: (M,) or None.

    Returns:
        (N, M) of the inputs' type.
    """
    if dtype == torch.int8:
        (rows, row_scales), (columns, column_scales) = whole_numbers(inputs), whole_numbers(weight)
        sums = (rows.double() @ columns.double().t()).to(inputs.dtype)
        found = sums * row_scales[:, None] * column_scales
    else:
        found = functional.linear(inputs.to(dtype).to(inputs.dtype), weight.to(dtype).to(inputs.dtype))
    return found if bias is None else found + bias


def whole_numbers(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Rows (N, K) as whole numbers from -127 to 127, of the rows' type, and what each row is to be multiplied by."""
    largest = rows.abs().amax(1)
    scales = torch.where(largest == 0, 1.0, largest / 127)
    return (rows / scales[:, None]).round(), scales


class Matrix(ctypes.Structure):
    """``Matrix`` of native/product.h."""

    _fields_ = (
        ("inputs", ctypes.c_int64),
        ("outputs", ctypes.c_int64),
        ("words", ctypes.c_void_p),
        ("scales", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
    )


class Panels:
    """One weight in panels of rows side by side, for the functions of ``native``.

    Args:
        weight: (M, K) float32.
        bias: (M,) or None.
        dtype: one of :func:`native_kinds`.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, dtype: torch.dtype) -> None:
        self.dtype = dtype
        outputs, inputs = weight.shape
        name, depth = _KINDS[dtype]
        rows = -(-outputs // _PANEL) * _PANEL
        self._words = torch.empty(rows, -(-inputs // depth), dtype=torch.int32)
        self._scales, self._bias = torch.zeros(rows), torch.zeros(rows)
        narrow = weight.detach()
        if dtype == torch.int8:
            narrow, scales = whole_numbers(narrow)
            self._scales[:outputs] = scales
            narrow = (narrow + 128).nan_to_num().to(torch.uint8)  # a row that is no number has a scale that is none
        if bias is not None:
            self._bias[:outputs] = bias.detach()
        narrow = narrow.to(torch.uint8 if dtype == torch.int8 else dtype).contiguous()
        native.Function(f"pack_{name}")(outputs, inputs, narrow, self._words)
        pointers = (tensor.data_ptr() for tensor in (self._words, self._scales, self._bias))
        self.matrix = Matrix(inputs, outputs, *pointers)
        self._address = ctypes.addressof(self.matrix)
        self._product, self._best = native.Function(f"product_{name}"), native.Function(f"best_{name}")

    def __call__(self, inputs: Tensor) -> Tensor:
        """Float32 (..., K) to (..., M)."""
        rows = inputs.reshape(-1, inputs.shape[-1])
        if rows.stride(1) != 1:
            rows = rows.contiguous()
        found = rows.new_empty(len(rows), self.matrix.outputs)
        threads = torch.get_num_threads()
        self._product(len(rows), threads, self._address, rows, rows.stride(0), found, self.matrix.outputs)
        return found.view(*inputs.shape[:-1], -1)

    def best(
        self, inputs: Tensor, k: int, weight: Tensor | None = None, bias: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Log-probabilities float32 and ids int64 of the best k of the M, both (N, k), best first; inputs (N, K).

        With the weight, and the bias if there is one, the best few are made again in float32.
        """
        inputs = inputs.contiguous()
        best = torch.empty(len(inputs), k)
        ids = torch.empty(len(inputs), k, dtype=torch.int64)
        candidates = k if weight is None else min(k + SPARE, self.matrix.outputs)
        self._best(
            *(len(inputs), torch.get_num_threads(), self._address, inputs, k, candidates, weight, bias, best, ids)
        )
        return best, ids


class Tiles:
    """One weight laid out by torch for tiles of bf16; the results are rounded to bf16, too."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight.detach().bfloat16().contiguous(), 64)
        self._bias = None if bias is None else bias.detach().bfloat16()

    def __call__(self, inputs: Tensor) -> Tensor:
        """(..., K) to (..., M), bf16."""
        narrow = inputs.to(torch.bfloat16)
        return torch.ops.mkldnn._linear_pointwise(narrow, self._weight, self._bias, "none", [], "")


class PackedProduct:
    """x W^T + b for one W (M, K) that never changes again; inference only. Once packed, it serves any number of rows.

    Args:
        weight: (M, K) of the inputs' type.
        bias: (M,) or None.
        dtype: in which type the product is. Weights that are not float32 are multiplied as they are.

    Attributes:
        panels: for the functions of ``native``; None where they do not serve this product.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, dtype: torch.dtype) -> None:
        self.weight, self.bias = weight.detach(), None if bias is None else bias.detach()
        self.dtype = dtype if weight.dtype == torch.float32 and weight.device.type == "cpu" else weight.dtype
        self.panels = self._tiles = None
        if weight.dtype == torch.float32 and self.dtype in native_kinds():
            self.panels = Panels(weight, bias, dtype)
        if self.dtype == torch.bfloat16 and weight.device.type == "cpu" and (has_tiles() or not self.panels):
            self._tiles = Tiles(weight, bias) if _packs() else None

    def __call__(self, inputs: Tensor) -> Tensor:
        """(..., K) to (..., M), of the inputs' type."""
        if self._tiles is not None and (self.panels is None or inputs.numel() >= MANY * inputs.shape[-1]):
            return self._tiles(inputs).to(inputs.dtype)
        if self.panels is not None:
            return self.panels(inputs)
        found = product_plain(inputs.flatten(0, -2), self.weight, self.bias, self.dtype)
        return found.view(*inputs.shape[:-1], -1)

    def best(self, inputs: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """Log-probabilities (float32) and ids of the best k of the M, both (N, k), best first; inputs (N, K)."""
        if self._tiles is not None and (self.panels is None or len(inputs) >= MANY):
            return top_again(self._tiles(inputs), k, inputs, self.weight, self.bias)
        if self.panels is not None and k <= min(MOST, len(self.weight)):
            return self.panels.best(inputs, k)
        return top(self(inputs), k)


class PackedBest:
    """The best of x W^T + b for one W (M, K) that never changes again; inference only.

    Where rounded products are allowed, all M are made of whole numbers and the best few again in float32. So what is
    returned is nearer to the exact numbers than by bf16 products, and twice as fast: only the normaliser is rounded.

    Args:
        weight: (M, K) of the inputs' type.
        bias: (M,) or None.
        dtype: the least exact type that products may have.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, dtype: torch.dtype) -> None:
        self._weight, self._bias = weight.detach(), None if bias is None else bias.detach()
        self._panels = self._product = None
        rounded = dtype in (torch.bfloat16, torch.int8) and weight.dtype == torch.float32 and weight.is_contiguous()
        tiles = dtype == torch.bfloat16 and has_tiles()
        if rounded and not tiles and weight.device.type == "cpu" and torch.int8 in native_kinds():
            self._panels = Panels(weight, bias, torch.int8)
        else:
            self._product = PackedProduct(weight, bias, dtype)

    def __call__(self, inputs: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """Log-probabilities (float32) and ids of the best k of the M, both (N, k), best first; inputs (N, K)."""
        if self._panels is None:
            assert self._product is not None
            return self._product.best(inputs, k)
        if k <= min(MOST, len(self._weight)):
            return self._panels.best(inputs, k, self._weight, self._bias)
        return top_again(self._panels(inputs), k, inputs, self._weight, self._bias)
