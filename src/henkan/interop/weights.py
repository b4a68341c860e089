"""Weights in a folder of somebody else's: safetensors, one file or several with an index. Nothing here can run code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from henkan.errors import FolderError, StorageError
from henkan.folder import as_others_may_read, read_json

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
LARGEST_BYTES = 64 << 30
"""More than this in one checkpoint is refused: no model of these families has so much."""
MOST_SHARDS = 1000

_FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
_PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json", "model.pt", "pytorch_model.pt")


def load_weights(folder: Path) -> dict[str, Tensor]:
    """All tensors of a checkpoint by name, floating-point ones as float32.

    Raises:
        FolderError: there is no checkpoint in safetensors, or it is damaged or too large.
    """
    files = _files(folder)
    size = sum(path.stat().st_size for path in files)
    if size > LARGEST_BYTES:
        raise FolderError(f"{folder}: weights of {size} bytes: expected at most {LARGEST_BYTES}")
    found: dict[str, Tensor] = {}
    for path in files:
        try:
            part = load_file(path)
        except (SafetensorError, OSError) as error:
            raise FolderError(f"{path}: not a whole safetensors file ({error}); copy it again") from error
        if twice := found.keys() & part.keys():
            raise FolderError(f"{path}: {sorted(twice)[0]} is in another file too")
        found |= part
    return {name: tensor.float() if tensor.dtype in _FLOATS else tensor for name, tensor in found.items()}


def _files(folder: Path) -> list[Path]:
    if (folder / SINGLE).is_file():
        return [folder / SINGLE]
    if (folder / INDEX).is_file():
        return _shards(folder)
    if pickled := [name for name in _PICKLES if (folder / name).exists()]:
        raise FolderError(
            f"{folder / pickled[0]}: a pickle can run code, so it is not read; save the model as safetensors: in the "
            f"library it comes from, model.save_pretrained(FOLDER, safe_serialization=True)"
        )
    raise FolderError(f"{folder}: no weights; expected {SINGLE} or {INDEX}")


def _shards(folder: Path) -> list[Path]:
    """The files that an index names; they lie beside it."""
    index = read_json(folder / INDEX)
    named = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(named, dict) or not named or not all(isinstance(name, str) for name in named.values()):
        raise FolderError(f"{folder / INDEX}: expected a weight_map from names to files")
    names = sorted(set(named.values()))
    if len(names) > MOST_SHARDS:
        raise FolderError(f"{folder / INDEX}: {len(names)} files: expected at most {MOST_SHARDS}")
    for name in names:
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise FolderError(f"{folder / INDEX}: {name!r}: expected the name of a .safetensors file in this folder")
        if not (folder / name).is_file():
            raise FolderError(f"{folder / name}: the index names this file, and it is not there; copy it too")
    return [folder / name for name in names]


def save_weights(folder: Path, weights: Mapping[str, Tensor]) -> None:
    """Write ``model.safetensors``.

    Raises:
        StorageError: it could not be written.
    """
    try:
        save_file(dict(weights), folder / SINGLE, metadata={"format": "pt"})
        as_others_may_read(folder / SINGLE)
    except (SafetensorError, OSError) as error:
        raise StorageError(f"{folder / SINGLE}: cannot be written ({error}); free some space") from error


def save_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a small JSON file.

    Raises:
        StorageError: it could not be written.
    """
    try:
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise StorageError(f"{path}: cannot be written ({error.strerror}); free some space") from error
