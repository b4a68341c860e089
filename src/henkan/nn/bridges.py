"""From what the encoder returns to the decoder's first state."""

from __future__ import annotations

from typing import Annotated, Literal, Protocol

import torch
from pydantic import Field
from torch import Tensor, nn

from henkan.config import Config
from henkan.nn.cells import Cell, CellState
from henkan.tensors import Memory


class Bridge(Protocol):
    """Memory to one state for each decoder layer."""

    def __call__(self, memory: Memory) -> tuple[CellState, ...]: ...


class LastStates(nn.Module):
    """Each decoder layer starts from the last state of the encoder layer at its height (Sutskever et al. 2014).

    A decoder with fewer layers takes the topmost ones.
    """

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, memory: Memory) -> tuple[CellState, ...]:
        """(N, D) tensors for each layer."""
        assert memory.final is not None
        return tuple(memory.final[-self.layers :])


class Projected(nn.Module):
    """s[0] = tanh(W v): v is the last ``width`` numbers of the encoder's last state, topmost layer.

    Every decoder layer starts so; the other parts of a state (an LSTM's cell) start at zero.
    """

    def __init__(self, width: int, cells: list[Cell]) -> None:
        super().__init__()
        self.width = width
        projections = [nn.Linear(width, cell.size) for cell in cells]
        self.projections = nn.ModuleList(projections)
        self.parts = [len(cell.start(1)) for cell in cells]
        for projection in projections:
            nn.init.xavier_uniform_(projection.weight)
            nn.init.zeros_(projection.bias)

    def forward(self, memory: Memory) -> tuple[CellState, ...]:
        """(N, D) tensors for each layer."""
        assert memory.final is not None
        last = memory.final[-1][0][:, -self.width :]
        outputs: list[Tensor] = [torch.tanh(projection(last)) for projection in self.projections]
        return tuple(
            (output, *(torch.zeros_like(output) for _ in range(parts - 1)))
            for output, parts in zip(outputs, self.parts, strict=True)
        )


class Zeros(nn.Module):
    """Every layer starts from zeros: what the decoder knows of the source, it knows by attention."""

    def __init__(self, cells: list[Cell]) -> None:
        super().__init__()
        self.shapes = [(len(cell.start(1)), cell.size) for cell in cells]

    def forward(self, memory: Memory) -> tuple[CellState, ...]:
        """(N, D) tensors for each layer."""
        rows = memory.mask.shape[0]
        return tuple(tuple(memory.states.new_zeros(parts, rows, size)) for parts, size in self.shapes)


class LastStatesConfig(Config):
    """Sutskever et al. (2014)."""

    kind: Literal["last"] = "last"

    def check(self, encoder_sizes: tuple[int, ...], size: int, layers: int) -> None:
        """ValueError unless the top ``layers`` encoder layers are as wide as the decoder's, ``size``."""
        if encoder_sizes[-layers:] != (size,) * layers:
            raise ValueError(
                f"{layers} decoder layers of {size} cannot start from encoder layers of {list(encoder_sizes)}: "
                "make the widths equal (both directions count) or use bridge {kind: projected}"
            )

    def build(self, encoder_sizes: tuple[int, ...], cells: list[Cell]) -> LastStates:
        """For these decoder cells."""
        return LastStates(len(cells))


class ProjectedConfig(Config):
    """tanh(W h[S]), for any widths; with the context for h[S], Cho et al. (2014)."""

    kind: Literal["projected"] = "projected"

    def check(self, encoder_sizes: tuple[int, ...], size: int, layers: int) -> None:
        """Any recurrent encoder will do."""

    def build(self, encoder_sizes: tuple[int, ...], cells: list[Cell]) -> Projected:
        """For an encoder whose last layer has this width."""
        return Projected(encoder_sizes[-1], cells)


class ProjectedBackwardConfig(Config):
    """tanh(W h_backward[1]): the half that read backwards, which ends at the first word (Bahdanau et al. 2015)."""

    kind: Literal["backward"] = "backward"

    def check(self, encoder_sizes: tuple[int, ...], size: int, layers: int) -> None:
        """Any bidirectional encoder will do; that it is one, its widths do not tell."""

    def build(self, encoder_sizes: tuple[int, ...], cells: list[Cell]) -> Projected:
        """For a bidirectional encoder whose last layer has this width."""
        return Projected(encoder_sizes[-1] // 2, cells)


class ZerosConfig(Config):
    """For decoders with attention."""

    kind: Literal["zeros"] = "zeros"

    def check(self, encoder_sizes: tuple[int, ...], size: int, layers: int) -> None:
        """Any encoder will do."""

    def build(self, encoder_sizes: tuple[int, ...], cells: list[Cell]) -> Zeros:
        """For these decoder cells."""
        return Zeros(cells)


BridgeConfig = Annotated[
    LastStatesConfig | ProjectedConfig | ProjectedBackwardConfig | ZerosConfig, Field(discriminator="kind")
]
