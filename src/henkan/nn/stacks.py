"""The numbers that recurrent encoders and decoders share, and the layers that follow from them."""

from __future__ import annotations

from pydantic import Field
from torch import nn

from henkan.config import Config
from henkan.nn.cells import Cell, CellConfig
from henkan.nn.dropout import Dropout
from henkan.nn.layers import Bidirectional, Forward, Layer, Merge, ResidualLayer, Through
from henkan.nn.recurrent import run
from henkan.nn.variational import MaskedRun, VariationalDropout
from henkan.nn.zoneout import Zoneout


class StackConfig(Config):
    """Any number of layers of one cell, with dropout on what enters each of them and on what leaves the last."""

    cell: CellConfig
    layers: int = Field(1, ge=1, le=100)
    residual_from: int | None = Field(None, ge=2, le=100)  # first layer, counted from 1, that adds its input
    dropout: float = Field(0.0, ge=0.0, lt=1.0)
    variational: bool = False  # one dropout mask through time, and the same for recurrent connections
    zoneout: float = Field(0.0, ge=0.0, lt=1.0)

    def new_cell(self, inputs: int) -> Cell:
        """A cell for inputs of this width, with zoneout where there is any."""
        cell = self.cell.build(inputs)
        return Zoneout(cell, self.zoneout) if self.zoneout else cell

    def new_dropout(self) -> nn.Module:
        """For what enters a layer, or leaves the last."""
        return VariationalDropout(self.dropout) if self.variational and self.dropout else Dropout(self.dropout)

    def through_time(self) -> Through:
        """How a cell goes through time."""
        masked = self.variational and self.dropout and self.cell.kind != "min-gru"  # nothing there reads h[t-1]
        return MaskedRun(self.dropout) if masked else run

    def forward_layer(self, inputs: int) -> Forward:
        """A layer that reads from the first position to the last."""
        return Forward(self.new_cell(inputs), self.new_dropout(), self.through_time())

    def bidirectional_layer(self, inputs: int, merge: Merge) -> Bidirectional:
        """A layer that reads both ways."""
        cells = self.new_cell(inputs), self.new_cell(inputs)
        return Bidirectional(*cells, merge, self.new_dropout(), self.through_time())

    def around(self, layer: Forward | Bidirectional, height: int) -> Layer:
        """The layer at this height, counted from 1, with its sum where residual connections have begun."""
        is_residual = self.residual_from is not None and height >= self.residual_from
        return ResidualLayer(layer) if is_residual else layer
