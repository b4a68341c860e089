"""Multi-head attention of a step of decoding: one query a row, over what is remembered.

Each function is written twice: plainly in torch, which is the specification, and in C++ (``native/decoding.cpp``) for
float32 and bf16 on a processor, where keys and values are read where they lie: nothing is gathered or transposed.

Shapes: R rows, H heads, E width of one head, S source positions, ``sources * width`` = R.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from henkan import native
from henkan.nn.cache import PreallocatedCache

_ATTEND = native.Call("attend")


def attend_past_plain(queries: Tensor, past: PreallocatedCache, bias: Tensor) -> Tensor:
    """Contexts of what each row has read.

    Args:
        queries: (R, H, E).
        past: of (R, slots, 2, H, E) keys and values.
        bias: (R or 1, slots), added to the scores.

    Returns:
        (R, H * E).
    """
    keys, values = past.filled.transpose(1, 3).unbind(2)  # (R, H, slots, E) each
    context = functional.scaled_dot_product_attention(queries[:, :, None], keys, values, bias[:, None, None])
    return context.flatten(1)


def attend_past(queries: Tensor, past: PreallocatedCache, bias: Tensor) -> Tensor:
    """:func:`attend_past_plain`, by the fastest way there is."""
    rows, heads, size = queries.shape
    buffer, table = past.buffer, past.table
    if buffer is None or not native.runs(queries) or not _in_line(queries, bias):
        return attend_past_plain(queries, past, bias)
    contexts = queries.new_empty(rows, heads * size)
    slot, row, kind, head, _ = buffer.stride()
    _ATTEND(
        *(queries.dtype, rows, size, None, heads, past.slots, queries, queries.stride(0), buffer),
        *(buffer.data_ptr() + kind * buffer.element_size(), row, head, slot),
        *(table, past.slots, 1, bias, _pace(bias), 1, contexts),
    )
    return contexts


def attend_source_plain(queries: Tensor, keys: Tensor, values: Tensor, bias: Tensor) -> Tensor:
    """Contexts of the source of each row.

    Args:
        queries: (R, H, E), the rows of a source side by side.
        keys, values: (sources, H, S, E).
        bias: (sources, S), added to the scores.

    Returns:
        (R, H * E).
    """
    rows, heads, size = queries.shape
    folded = queries.view(len(keys), rows // len(keys), heads, size).transpose(1, 2)
    context = functional.scaled_dot_product_attention(folded, keys, values, bias[:, None, None])
    return context.transpose(1, 2).reshape(rows, heads * size)


def attend_source(queries: Tensor, keys: Tensor, values: Tensor, bias: Tensor) -> Tensor:
    """:func:`attend_source_plain`, by the fastest way there is."""
    rows, heads, size = queries.shape
    if (
        not native.runs(queries)
        or not _in_line(queries, bias)
        or keys.stride() != values.stride()
        or keys.stride(3) != 1
    ):
        return attend_source_plain(queries, keys, values, bias)
    contexts = queries.new_empty(rows, heads * size)
    row, head, position, _ = keys.stride()
    group = rows // len(keys)
    _ATTEND(
        *(queries.dtype, rows, size, None, heads, keys.shape[2], queries, queries.stride(0), keys, values),
        *(row, head, position, None, 0, group, bias, _pace(bias), group, contexts),
    )
    return contexts


def _in_line(queries: Tensor, bias: Tensor) -> bool:
    """Whether the numbers of one row lie side by side."""
    return queries.stride()[1:] == (queries.shape[2], 1) and bias.stride(1) == 1 and bias.dtype == queries.dtype


def _pace(bias: Tensor) -> int:
    return bias.stride(0) if len(bias) > 1 else 0
