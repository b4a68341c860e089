"""A cell through time.

:func:`run_plain` is the specification for every cell. :func:`run_lstm` is the LSTM's fast path: torch's own kernel,
always dense. torch packs variable lengths instead, which leaves its fast kernel on a CPU; here padding is carried by
indicator columns that close the input gate and open the forget gate, so the cell state passes through it unchanged.
"""

from __future__ import annotations

import torch
from torch import Tensor

from henkan.nn import fused
from henkan.nn.cells import Cell, CellState, LSTMCell, MinimalGRUCell
from henkan.nn.loops import LoopedCell
from henkan.nn.pointwise import wide
from henkan.nn.scan import scan

INDICATORS = 32
"""Columns that say "padding" to the LSTM; an odd width would leave the fast kernel."""

CLOSED = 100.0 / INDICATORS
"""Weight of one indicator column: together they saturate a gate."""


def run_plain(cell: Cell, inputs: Tensor, mask: Tensor, state: CellState) -> tuple[Tensor, CellState]:
    """Step by step; a padded position changes no state.

    Args:
        inputs: (N, T, F).
        mask: (N, T) bool.
        state: (N, D) tensors.

    Returns:
        Outputs (N, T, D), meaningful where real, and the state after the last real position of each row.
    """
    projected = cell.project(inputs)
    outputs = []
    for position in range(inputs.shape[1]):
        after = cell.advance(projected[:, position], state)
        real = mask[:, position, None]
        state = tuple(torch.where(real, new, old) for new, old in zip(after, state, strict=True))
        outputs.append(state[0])
    return torch.stack(outputs, 1), state


def run_lstm(cell: LSTMCell, inputs: Tensor, mask: Tensor, state: CellState) -> tuple[Tensor, CellState]:
    """The fast path of :func:`run_plain` for the LSTM: same arguments; outputs agree where real, states everywhere."""
    padding = (~mask).to(inputs.dtype)[..., None].expand(-1, -1, INDICATORS)
    gates = cell.input_weight.new_zeros(4, cell.size, INDICATORS)
    gates[0], gates[1] = -CLOSED, CLOSED
    weight = torch.cat([cell.input_weight, gates.flatten(0, 1)], 1)
    parameters = [weight, cell.hidden_weight, cell.bias, torch.zeros_like(cell.bias)]
    before = [tensor[None] for tensor in state]
    outputs, _, last_cell = torch.lstm(
        torch.cat([inputs, padding], -1), before, parameters, True, 1, 0.0, cell.training, False, True
    )
    return outputs, (last_real(outputs, mask, state[0]), last_cell[0])


def last_real(outputs: Tensor, mask: Tensor, before: Tensor) -> Tensor:
    """Of outputs (N, T, D) the one at the last real position of each row, (N, D); ``before`` where a row has none."""
    if mask.shape[1] == 1:  # a step of decoding
        return torch.where(mask, outputs[:, 0], before)
    order = torch.arange(1, mask.shape[1] + 1, device=mask.device)
    last = (mask * order).amax(1)  # counts from 1; 0 where nothing is real
    index = (last - 1).clamp(min=0)[:, None, None].expand(-1, 1, outputs.shape[2])
    return torch.where((last > 0)[:, None], outputs.gather(1, index)[:, 0], before)


def run_scan(cell: MinimalGRUCell, inputs: Tensor, mask: Tensor, state: CellState) -> tuple[Tensor, CellState]:
    """The fast path of :func:`run_plain` for a cell without a loop; float32 inside."""
    update, candidate = cell.project(inputs).to(wide(inputs.dtype)).chunk(2, -1)
    update = torch.sigmoid(update) * mask[..., None]
    outputs = scan(1 - update, update * candidate, state[0].to(update.dtype)).to(inputs.dtype)
    return outputs, (outputs[:, -1],)


def run(cell: Cell, inputs: Tensor, mask: Tensor, state: CellState) -> tuple[Tensor, CellState]:
    """A cell through time, by the fastest way this cell has; see :func:`run_plain`."""
    if inputs.shape[1] > 1 and fused.allowed():
        if isinstance(cell, LSTMCell) and cell.is_standard:
            return run_lstm(cell, inputs, mask, state)
        if isinstance(cell, LoopedCell):
            return fused.run_fused(cell, inputs, mask, state)
        if isinstance(cell, MinimalGRUCell) and inputs.device.type != "cpu":  # there the loop is faster
            return run_scan(cell, inputs, mask, state)
    return run_plain(cell, inputs, mask, state)
