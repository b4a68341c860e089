"""All recurrent cells: what a recipe may write under ``cell``. Their equations are in rnn.py, lstm.py and gru.py."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from henkan.nn.cell import Cell, CellState
from henkan.nn.gru import GRUCell, GRUConfig, MinimalGRUCell, MinimalGRUConfig, ResetAfterGRUCell
from henkan.nn.lstm import (
    FirstLSTMCell,
    FirstLSTMConfig,
    LayerNormLSTMCell,
    LayerNormLSTMConfig,
    LSTMCell,
    LSTMConfig,
)
from henkan.nn.rnn import RNNCell, RNNConfig

__all__ = [
    "Cell",
    "CellConfig",
    "CellState",
    "FirstLSTMCell",
    "GRUCell",
    "LSTMCell",
    "LayerNormLSTMCell",
    "MinimalGRUCell",
    "RNNCell",
    "ResetAfterGRUCell",
]

CellConfig = Annotated[
    RNNConfig | LSTMConfig | FirstLSTMConfig | LayerNormLSTMConfig | GRUConfig | MinimalGRUConfig,
    Field(discriminator="kind"),
]
