"""Cells through time with the way back written by hand; which cell has which loop."""

from __future__ import annotations

from torch import Tensor

from henkan.nn.cell import CellState
from henkan.nn.gru import GRUCell, ResetAfterGRUCell
from henkan.nn.loops.first import FirstLSTMLoop
from henkan.nn.loops.gru import GRULoop, ResetAfterGRULoop
from henkan.nn.loops.loop import Loop
from henkan.nn.loops.lstm import LSTMLoop
from henkan.nn.loops.normed import LayerNormLSTMLoop
from henkan.nn.loops.rnn import RNNLoop
from henkan.nn.lstm import FirstLSTMCell, LayerNormLSTMCell, LSTMCell
from henkan.nn.rnn import RNNCell

LoopedCell = LSTMCell | FirstLSTMCell | LayerNormLSTMCell | GRUCell | ResetAfterGRUCell | RNNCell
"""The cells that have a loop."""

SplittingCell = LSTMCell | FirstLSTMCell | GRUCell | ResetAfterGRUCell | RNNCell
"""Those whose share of an input made of two parts is the sum of the shares."""


def make_loop(cell: LoopedCell, state: CellState, steps: int) -> Loop:
    """The loop of a cell, for a sequence of so many steps that starts from a state."""
    match cell:
        case LSTMCell():
            return LSTMLoop(cell, state, steps)
        case FirstLSTMCell():
            return FirstLSTMLoop(cell, state, steps)
        case LayerNormLSTMCell():
            return LayerNormLSTMLoop(cell, state, steps)
        case GRUCell():
            return GRULoop(cell, state, steps)
        case ResetAfterGRUCell():
            return ResetAfterGRULoop(cell, state, steps)
        case RNNCell():
            return RNNLoop(cell, state, steps)


def weights_of(cell: LoopedCell) -> tuple[Tensor, ...]:
    """The weights inside the loop, in the order of ``grad_weights``; the inputs' are outside, in ``cell.project``."""
    match cell:
        case LSTMCell() if cell.peephole_weight is not None:
            return (cell.hidden_weight, cell.peephole_weight)
        case LayerNormLSTMCell():
            return (cell.hidden_weight, cell.hidden_scale, cell.cell_scale, cell.cell_bias)
        case ResetAfterGRUCell():
            return (cell.hidden_weight, cell.hidden_bias)
        case _:
            return (cell.hidden_weight,)
