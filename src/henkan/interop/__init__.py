"""Models of the reference library (Hugging Face ``transformers``), in and out, without that library.

:func:`read` makes of a folder with ``config.json`` and safetensors a config and weights of ours; :func:`write` does the
opposite. A file for each family says what its settings and its weights are called; ``names.py`` reads such tables.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from torch import Tensor, nn

from henkan.config import Config
from henkan.errors import ConfigError, FolderError, StorageError
from henkan.folder import read_json
from henkan.interop import bart, bert, deberta, gpt2, marian, roberta, t5
from henkan.interop.family import Family, NetworkConfig, Shapes
from henkan.interop.names import Entry, read_weights, write_weights
from henkan.interop.settings import Settings
from henkan.interop.weights import load_weights, save_json, save_weights
from henkan.models.encoder_decoder import EncoderDecoderConfig
from henkan.models.encoder_only import EncoderOnlyConfig
from henkan.models.outline import fill, without_numbers
from henkan.nn.pooling import DensePoolerConfig
from henkan.nn.text_heads import ChoiceHeadConfig, ClassHeadConfig, MaskedHeadConfig, ValueHeadConfig
from henkan.nn.transformer import TransformerSizes

FAMILIES: dict[str, Family] = {
    module.FAMILY.kind: module.FAMILY for module in (bert, roberta, deberta, gpt2, t5, bart, marian)
}
"""By what config.json calls them."""


@dataclass(frozen=True)
class Imported:
    """A checkpoint as ours."""

    family: str  # a key of FAMILIES
    config: NetworkConfig
    vocabularies: tuple[int, int]  # sizes, source and target; equal where there is one
    weights: dict[str, Tensor]  # by our names, float32
    special_ids: dict[str, int]  # "pad", "bos", "eos", "decoder_start", "forced_bos", "forced_eos", where given
    labels: list[str] | None  # the names of classes, if the checkpoint names them
    tokenizer: Path | None  # a tokenizer.json

    def network(self) -> nn.Module:
        """The model, in evaluation mode."""
        return _outlined(self.config, self.vocabularies, self.weights, Path("the checkpoint")).eval()


def read(folder: Path) -> Imported:
    """A checkpoint of one of the families.

    Raises:
        FolderError: a file is missing, damaged or too large, no part of ours knows a setting, or a weight is missing,
            left over or of another shape than the settings say.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise FolderError(f"{folder}: {_what_it_is(folder)}; expected a folder that model.save_pretrained wrote")
    values = read_json(path)
    kind = values.get("model_type") if isinstance(values, dict) else None
    if not isinstance(kind, str) or kind not in FAMILIES:
        raise FolderError(f"{path}: model_type is {kind!r}; expected one of {', '.join(FAMILIES)}")
    family, settings = FAMILIES[kind], Settings(values, path)
    theirs = {family.without_prefix(name): weight for name, weight in load_weights(folder).items()}
    config = _read_config(family, settings, {name: tuple(weight.shape) for name, weight in theirs.items()}, path)
    weights = read_weights(family.table(config), theirs, folder)
    vocabularies = _vocabularies(weights)
    _check_vocabulary(settings, vocabularies)
    _outlined(config, vocabularies, weights, folder)
    tokenizer = folder / "tokenizer.json"
    return Imported(
        kind,
        config,
        vocabularies,
        weights,
        settings.special_ids(),
        settings.labels(),
        tokenizer if tokenizer.is_file() else None,
    )


def left_out(config: NetworkConfig) -> list[str]:
    """Heads that :func:`write` leaves out: with a mask decoder, which the reference library does not have.

    Without it such a head says nothing sensible; what the encoder has learnt is written in full.
    """
    if not isinstance(config, EncoderOnlyConfig):
        return []
    return [name for name, head in config.heads.items() if isinstance(head, MaskedHeadConfig) and head.decoder]


def write(
    folder: Path,
    config: NetworkConfig,
    network: nn.Module,
    *,
    family: str | None = None,
    special_ids: Mapping[str, int] | None = None,
    labels: Sequence[str] | None = None,
    tokenizer: Path | None = None,
) -> str:
    """Write a checkpoint that the reference library loads, without the heads of :func:`left_out`.

    Args:
        folder: is made if it is not there; files of the same names are replaced.
        config: the network's.
        family: which; None: the first that can hold this network.
        special_ids: as in :class:`Imported`.
        labels: the names of classes.
        tokenizer: a tokenizer.json to be put beside it.

    Returns:
        The family.

    Raises:
        ConfigError: no family (or not this one) has such a network; the message says why.
        StorageError: it could not be written.
    """
    weights = dict(network.named_parameters())
    if dropped := left_out(config):
        assert isinstance(config, EncoderOnlyConfig)
        heads = {name: head for name, head in config.heads.items() if name not in dropped}
        config = config.model_copy(update={"heads": heads})
        prefixes = tuple(f"heads.{name}." for name in dropped)
        weights = {name: weight for name, weight in weights.items() if not name.startswith(prefixes)}
    chosen, values = _fitting(config, weights, family)
    special = {f"{name}_token_id": value for name, value in (special_ids or {}).items()}
    for name, value in special.items():
        if values.get(name, value) != value:
            raise ConfigError(f"{name} is {value}, and places of a {chosen.kind} model count from {values[name]}")
    values |= special
    if labels is not None:
        values |= {
            "id2label": {str(number): name for number, name in enumerate(labels)},
            "label2id": {name: number for number, name in enumerate(labels)},
        }
    architecture = values["architectures"][0]
    theirs = {
        chosen.with_prefix(name, architecture): weight
        for name, weight in write_weights(chosen.table(config), weights).items()
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if tokenizer is not None:
            shutil.copyfile(tokenizer, folder / "tokenizer.json")
    except OSError as error:
        raise StorageError(
            f"{folder}: cannot be written ({error.strerror}); free some space or check the rights"
        ) from error
    save_weights(folder, theirs)
    save_json(folder / "config.json", values)
    return chosen.kind


def _what_it_is(folder: Path) -> str:
    """Why there is no config.json, for a message."""
    if not folder.exists():
        return "there is no such folder"
    if not folder.is_dir():
        return "a file, not a folder"
    if (folder / "manifest.json").is_file() or (folder / "model" / "manifest.json").is_file():
        return "a model of Henkan already, to be used as it is"
    return "no config.json"


def _fitting(config: NetworkConfig, weights: Mapping[str, Tensor], kind: str | None) -> tuple[Family, dict[str, Any]]:
    """The family that can hold such a network, and the config.json of it there."""
    if kind is not None and kind not in FAMILIES:
        raise ConfigError(f"family {kind!r}: expected one of {', '.join(FAMILIES)}")
    reasons: list[list[str]] = []
    for family in FAMILIES.values() if kind is None else [FAMILIES[kind]]:
        if not isinstance(config, family.takes):
            if kind is not None:
                reasons.append([f"{family.kind} has no {config.kind} models"])
        elif isinstance(config, EncoderDecoderConfig) and {config.encoder.kind, config.decoder.kind} != {"transformer"}:
            reasons.append([f"{family.kind} has no recurrent parts"])
        else:
            values = family.write_config(config, _vocabularies(weights))
            reasons.append([f"{family.kind}: {found}" for found in _differences(config, family, values, weights)])
            if not reasons[-1]:
                return family, values
    nearest = "; ".join(min(reasons, key=len)[:5])
    raise ConfigError(f"the reference library has no such model. What is nearest differs: {nearest}")


def _differences(
    config: NetworkConfig, family: Family, values: Mapping[str, Any], weights: Mapping[str, Tensor]
) -> Iterator[str]:
    """What would not come back from a config.json with these values, or be there in what reads it."""
    if isinstance(config, EncoderOnlyConfig) and not isinstance(config.pooler, DensePoolerConfig):
        whole = (ClassHeadConfig, ValueHeadConfig, ChoiceHeadConfig)
        if found := [name for name, head in config.heads.items() if isinstance(head, whole)]:
            yield (
                f"heads.{found[0]} reads the {config.pooler.kind} vector as it is, and there through a dense layer, "
                "which would be filled at random; train on with this model as `start` and model.pooler.kind=dense"
            )
    shapes: dict[str, tuple[int, ...]] = {}
    for entry in family.table(config):
        if isinstance(entry, Entry) and entry.ours in weights:
            shapes |= {name: tuple(weights[entry.ours].shape) for name in entry.theirs}
    path = Path("config.json")
    try:
        back = dict(_leaves(_read_config(family, Settings(values, path), shapes, path)))
    except FolderError as error:
        yield str(error)
        return
    here = dict(_leaves(config))
    for name in sorted(here.keys() | back.keys()):
        if here.get(name) != back.get(name):
            yield f"{name} is {here.get(name)!r}, there {back.get(name)!r}"


def _leaves(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every setting that outputs depend on, by dotted path, with what an absent one means."""
    if isinstance(node, TransformerSizes):
        node = node.model_copy(
            update={
                "head_width": node.head_width or node.width // node.heads,
                "key_heads": node.key_heads or node.heads,
            }
        )
    items = node.items() if isinstance(node, dict) else node if isinstance(node, Config) else None
    if items is None:
        yield path, node
        return
    for name, inner in items:
        if name not in ("start", "uniform_init") and not name.endswith("dropout"):
            yield from _leaves(inner, f"{path}.{name}" if path else name)


def _read_config(family: Family, settings: Settings, shapes: Shapes, path: Path) -> NetworkConfig:
    try:
        return family.read_config(settings, shapes)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise FolderError(f"{path}: as {place}: {first['msg']}, got {first.get('input')!r}") from error


def _vocabularies(weights: Mapping[str, Tensor]) -> tuple[int, int]:
    """The sizes of the source's and the target's vocabulary."""
    sizes = [len(weights[name]) for name in ("encoder.embedding.weight", "decoder.embedding.weight") if name in weights]
    return sizes[0], sizes[-1]


def _check_vocabulary(settings: Settings, rows: tuple[int, int]) -> None:
    for name, has in zip(("vocab_size", "decoder_vocab_size"), rows, strict=True):
        if settings.raw(name) is not None and (said := settings.whole(name)) != has:
            raise settings.refuse(f"{name} is {said}, and the embedding has {has} rows; copy both files of one model")


def _outlined(
    config: NetworkConfig, vocabularies: tuple[int, int], weights: Mapping[str, Tensor], place: Path
) -> nn.Module:
    """The network with these weights; FolderError where they are not those of its parts."""
    with without_numbers():
        network: nn.Module = (
            config.build(*vocabularies) if isinstance(config, EncoderDecoderConfig) else config.build(vocabularies[0])
        )
    fill(network, weights, place)
    return network
