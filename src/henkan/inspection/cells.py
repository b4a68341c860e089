"""Every recurrent cell by a short name."""

from typing import Any

from pydantic import TypeAdapter

from henkan.errors import ConfigError
from henkan.nn.cells import Cell, CellConfig

CELLS: dict[str, dict[str, Any]] = {
    "rnn": {"kind": "rnn"},
    "relu-rnn": {"kind": "rnn", "activation": "relu"},
    "lstm-1997": {"kind": "lstm-1997"},
    "lstm-1997-truncated": {"kind": "lstm-1997", "squash_1997": True, "truncated": True},
    "lstm": {"kind": "lstm"},
    "lstm-peephole": {"kind": "lstm", "peephole": True},
    "lstm-coupled": {"kind": "lstm", "coupled": True},
    "lstm-layer-norm": {"kind": "lstm-layer-norm"},
    "gru": {"kind": "gru"},
    "gru-reset-after": {"kind": "gru", "reset": "after"},
    "min-gru": {"kind": "min-gru"},
}
"""What a recipe would say under ``cell``, but for the size."""

_CONFIGS: TypeAdapter[Any] = TypeAdapter(CellConfig)


def build_cell(name: str, inputs: int, size: int) -> Cell:
    """The cell of this name with fresh weights; ConfigError if there is none."""
    if name not in CELLS:
        raise ConfigError(f"cell {name!r} is none of {', '.join(CELLS)}")
    return _CONFIGS.validate_python({**CELLS[name], "size": size}).build(inputs)
