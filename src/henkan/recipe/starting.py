"""Going on from a trained model: its vocabulary, its architecture, and every weight that still has its place."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from henkan.errors import ConfigError, FolderError
from henkan.folder import check_folder, load_weights
from henkan.settings import Layer, read_layer
from henkan.tasks.preparation import load_tokenizers
from henkan.text.extension import parts
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
        heads: whether the model's heads are among them; a new task brings its own, and its pooler where this one is
            bare and no head has learnt to read it.
    """
    found = read_layer(place / "config.yaml").values
    kept: dict[str, Any] = {name: found[name] for name in ("preset", "size", "model", *more) if name in found}
    if not heads and isinstance(kept.get("model"), dict):
        learnt = {head.get("kind") for head in kept["model"].get("heads", {}).values()}
        bare = kept["model"].get("pooler") == {"kind": "first"} and not learnt & {"class", "value", "choice"}
        left = {"heads", "pooler"} if bare else {"heads"}
        kept["model"] = {key: value for key, value in kept["model"].items() if key not in left}
    if isinstance(vocabulary := kept.get("vocabulary"), dict):
        kept["vocabulary"] = _without_file(vocabulary)
    return Layer(kept, f"the model in {place}")


def _without_file(vocabulary: Mapping[str, Any]) -> dict[str, Any]:
    """The model brings its vocabulary, whatever file it, or that of one side, once came from."""
    return {
        key: _without_file(value) if isinstance(value, dict) else value
        for key, value in vocabulary.items()
        if key != "file"
    }


def tokenizer(place: Path) -> Tokenizer:
    """The one tokenizer of a trained model; FolderError if it has two."""
    source, target = load_tokenizers(place)
    if source is not target:
        raise FolderError(f"{place}: has a vocabulary for each side; a model of one text has one")
    return source


def take_weights(network: nn.Module, place: Path, tell: Tell, vocabulary: Tokenizer | None = None) -> None:
    """Give a fresh network every weight of a trained one that has the same name and shape, and tell of the rest.

    Args:
        vocabulary: the network's, where it may have more tokens than that of the trained model. In every table with a
            row for each token, a new one then begins as the mean of the rows of the pieces that it was cut into before
            (Gee et al. 2022, https://aclanthology.org/2022.emnlp-industry.41): what the model knows of them, in the
            place that its other layers expect.

    Raises:
        ConfigError: a weight of the network's body has another shape, or nothing fits at all.
    """
    found = load_weights(place / "model.safetensors")
    wanted = dict(network.named_parameters())
    old = None if vocabulary is None else tokenizer(place)
    grown: list[str] = []
    if vocabulary is not None and old is not None and vocabulary.size > old.size:
        means = _means(parts(old, vocabulary), old.size)
        for name in found.keys() & wanted.keys():
            if found[name].shape[:1] == (old.size,) and wanted[name].shape[:1] == (vocabulary.size,):
                found[name] = torch.cat([found[name], (means @ found[name].double()).to(found[name].dtype)])
                grown.append(name)
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
    if grown and vocabulary is not None and old is not None:
        tell(
            f"{vocabulary.size - old.size:,} rows more in {_shown(sorted(grown))}, each the mean of the rows of the "
            "pieces that its token was cut into"
        )


def _means(cuts: Sequence[Sequence[int]], size: int) -> Tensor:
    """(new tokens, old tokens) float64, sparse: times the old rows it is the mean of each token's pieces."""
    places = [(row, token) for row, cut in enumerate(cuts) for token in cut]
    values = [1.0 / len(cut) for cut in cuts for _ in cut]
    weights = torch.tensor(values, dtype=torch.float64)
    return torch.sparse_coo_tensor(torch.tensor(places).T, weights, (len(cuts), size), check_invariants=False)


def _shown(names: list[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
