"""LSTMs for outputs alone, as ``native/lstm_step.h`` reads them, and layers of them over a whole source."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor, nn

from henkan import native
from henkan.nn.cell import CellState
from henkan.nn.layers import Bidirectional, Forward, merged
from henkan.nn.lstm import LSTMCell
from henkan.nn.packed import PackedLSTMCell, UnknownPartError, matrix_of
from henkan.nn.product import Matrix, PackedProduct, name_of
from henkan.nn.recurrent import run

FORGETTINGS = {"gate": 0, "coupled": 1, "none": 2}
"""As in native/lstm.h."""


class CellOfNative(ctypes.Structure):
    """``PackedCell`` of native/lstm_step.h."""

    _fields_ = (
        ("size", ctypes.c_int64),
        ("forgetting", ctypes.c_int64),
        ("peepholes", ctypes.c_void_p),
        ("inputs", Matrix),
        ("recurrent", Matrix),
    )


class PackedWeights:
    """The weights of one cell in float32, packed.

    Args:
        cell: its weights are shared, where they are not packed.
        dtype: of the products.
        below: how many of the cell's inputs come from below; all unless told otherwise. Those behind join the output of
            the step before, in front of it: like it they belong to the past.

    Raises:
        UnknownPartError: the cell is not written in C++.
    """

    def __init__(self, cell: object, dtype: torch.dtype, below: int | None = None) -> None:
        if type(cell) not in (LSTMCell, PackedLSTMCell):
            raise UnknownPartError
        assert isinstance(cell, LSTMCell | PackedLSTMCell)
        weight, peepholes = cell.input_weight.detach(), cell.peephole_weight
        below = weight.shape[1] if below is None else below
        self.inputs = PackedProduct(weight[:, :below].contiguous(), cell.bias, dtype)
        self.recurrent = PackedProduct(torch.cat([weight[:, below:], cell.hidden_weight.detach()], 1), None, dtype)
        self._peepholes = None if peepholes is None else peepholes.detach()
        self.structure = CellOfNative(
            *(cell.size, FORGETTINGS[cell.forgetting], None if self._peepholes is None else self._peepholes.data_ptr()),
            *(matrix_of(self.inputs), matrix_of(self.recurrent)),
        )


class _Direction:
    """One cell over whole sequences, from zeros."""

    def __init__(self, cell: object, dtype: torch.dtype) -> None:
        self._weights = PackedWeights(cell, dtype)
        self.size: int = self._weights.structure.size
        self._read = native.Function(f"lstm_read_{name_of(dtype)}")

    def read(self, inputs: Tensor, lengths: Tensor, backwards: bool, outputs: Tensor) -> CellState:
        """Inputs (N, T, F) to ``outputs`` (N, T, D), zero at padding; each row of (N, T, ...) is one piece of memory.

        Returns:
            The state after the last real position of each row, or the first where it reads backwards.
        """
        rows, length, _ = inputs.shape
        gates = self._weights.inputs(inputs)
        hidden, cell = inputs.new_empty(rows, self.size), inputs.new_empty(rows, self.size)
        self._read(
            *(rows, torch.get_num_threads(), ctypes.addressof(self._weights.structure), length, gates, lengths),
            *(int(backwards), outputs, outputs.stride(1), hidden, cell),
        )
        return hidden, cell


class PackedForward(nn.Module):
    """:class:`Forward` from zeros, with an LSTM; outputs at padding are zero."""

    def __init__(self, layer: Forward, dtype: torch.dtype) -> None:
        super().__init__()
        self.width = layer.width
        self._direction = _Direction(layer.cell, dtype)

    def forward(self, inputs: Tensor, mask: Tensor, state: None = None) -> tuple[Tensor, CellState]:
        """Inputs (N, T, F) to outputs (N, T, D) and the last state."""
        outputs = inputs.new_empty(*mask.shape, self.width)
        return outputs, self._direction.read(inputs, mask.sum(1), False, outputs)


class PackedBidirectional(nn.Module):
    """:class:`Bidirectional` with LSTMs; outputs at padding are zero."""

    def __init__(self, layer: Bidirectional, dtype: torch.dtype) -> None:
        super().__init__()
        self.width, self.merge = layer.width, layer.merge
        self._ahead, self._back = (_Direction(cell, dtype) for cell in (layer.forward_cell, layer.backward_cell))

    def forward(self, inputs: Tensor, mask: Tensor, state: None = None) -> tuple[Tensor, CellState]:
        """Inputs (N, T, F) to merged outputs (N, T, width) and merged states, forward first."""
        lengths, size = mask.sum(1), self._ahead.size
        both = inputs.new_empty(*mask.shape, 2 * size)
        ahead = self._ahead.read(inputs, lengths, False, both[..., :size])
        back = self._back.read(inputs, lengths, True, both[..., size:])
        last = tuple(merged(*pair, self.merge) for pair in zip(ahead, back, strict=True))
        outputs = both if self.merge == "concatenation" else merged(both[..., :size], both[..., size:], self.merge)
        return outputs, last


def read_by_native(encoder: nn.Module, dtype: torch.dtype) -> None:
    """Layers of LSTMs in an encoder, which start from zeros, are replaced by those above."""
    for parent in list(encoder.modules()):
        for name, layer in list(parent.named_children()):
            if not isinstance(layer, Forward | Bidirectional) or layer.through is not run:
                continue
            try:
                packed = (
                    PackedForward(layer, dtype) if isinstance(layer, Forward) else PackedBidirectional(layer, dtype)
                )
            except UnknownPartError:
                continue
            setattr(parent, name, packed.eval())
