"""Going on from a trained model: its vocabulary, its architecture, and every weight that still has its place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from henkan.errors import ConfigError, FolderError
from henkan.folder import check_folder, load_weights
from henkan.settings import Layer, read_layer
from henkan.tasks.preparation import load_tokenizers
from henkan.text.tokenizer import Tokenizer

Tell = Callable[[str], None]


def model_folder(place: Path) -> Path:
    """The model folder that ``start`` names: itself, or the best model of a run; every file of it is checked.

    Raises:
        FolderError: there is none, or it is damaged.
    """
    if not (place / "manifest.json").is_file() and (place / "model" / "manifest.json").is_file():
        place = place / "model"
    check_folder(place)
    return place


def settings(place: Path, more: Sequence[str], heads: bool) -> Layer:
    """The ``preset``, ``size`` and ``model`` of a trained model as a layer of settings, and ``more`` of what it has.

    Args:
        heads: whether the model's heads are among them; a new task brings its own.
    """
    found = read_layer(place / "config.yaml").values
    kept: dict[str, Any] = {name: found[name] for name in ("preset", "size", "model", *more) if name in found}
    if not heads and isinstance(kept.get("model"), dict):
        kept["model"] = {key: value for key, value in kept["model"].items() if key != "heads"}
    return Layer(kept, f"the model in {place}")


def tokenizer(place: Path) -> Tokenizer:
    """The one tokenizer of a trained model; FolderError if it has two."""
    source, target = load_tokenizers(place)
    if source is not target:
        raise FolderError(f"{place}: has a vocabulary for each side; a model of one text has one")
    return source


def take_weights(network: nn.Module, place: Path, tell: Tell) -> None:
    """Give a fresh network every weight of a trained one that has the same name and shape, and tell of the rest.

    Raises:
        ConfigError: a weight of the network's body has another shape, or nothing fits at all.
    """
    found = load_weights(place / "model.safetensors")
    wanted = dict(network.named_parameters())
    shared = found.keys() & wanted.keys()
    unlike = sorted(name for name in shared if found[name].shape != wanted[name].shape)
    heads = [name for name in unlike if name.startswith("heads.")]
    if rest := [name for name in unlike if name not in heads]:
        was, now = tuple(found[rest[0]].shape), tuple(wanted[rest[0]].shape)
        raise ConfigError(f"start {place}: weight {rest[0]} is {was}, this model wants {now}; leave `model` as it was")
    taken = sorted(shared - set(unlike))
    if not taken:
        raise ConfigError(f"start {place}: none of its weights has a place in this model; is it of another kind?")
    with torch.no_grad():
        for name in taken:
            wanted[name].copy_(found[name])
    fresh = sorted(wanted.keys() - set(taken))
    left = sorted(found.keys() - set(taken))
    tell(
        f"{len(taken)} weights from {place}"
        + (f"; fresh: {_shown(fresh)}" if fresh else "")
        + (f"; not used: {_shown(left)}" if left else "")
    )


def _shown(names: list[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
