"""What recipes of an encoder with one new head share: where their settings begin, and how their network begins."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
from torch import nn

from henkan.errors import ConfigError, DataError
from henkan.models.encoder_only import EncoderOnlyConfig
from henkan.presets import families
from henkan.presets.basis import Settings
from henkan.recipe import starting
from henkan.recipe.base import Material, Tell
from henkan.settings import Layer, merge
from henkan.text.tokenizer import Tokenizer, TokenizerConfig
from henkan.text.vocabulary import make_vocabulary

T = TypeVar("T")


def foundation(
    given: Sequence[Layer], settings: Callable[[families.Family, str, bool], Settings]
) -> tuple[list[Layer], str]:
    """The layers below those that are given: a preset, or the model that ``start`` names without its heads.

    Args:
        settings: of a family, for a size; True if a model is started from, so that no network is to be said.

    Returns:
        The layers, lowest first, and a sentence that says what was chosen.
    """
    said = merge(given)
    layers: list[Layer] = []
    told = ""
    if said.get("start") is not None:
        place = starting.model_folder(Path(str(said["start"])))
        layers.append(starting.settings(place, ("length", "vocabulary"), heads=False))
        started = layers[0].values
        if (kind := started.get("model", {}).get("kind")) != "encoder_only":
            raise ConfigError(
                f"start: {place} is a {started.get('preset')} ({str(kind).replace('_', '-')}), and this task goes on "
                "from an encoder alone: a bert, roberta or deberta"
            )
        told = f"going on from {place}, a {started.get('preset')}"
    name = str(said.get("preset") or merge(layers).get("preset") or "bert")
    size = str(said.get("size") or merge(layers).get("size") or "mini")
    values = {"preset": name, "size": size, **settings(families.find(name), size, bool(layers))}
    return [Layer(values, f"preset {name} ({size})"), *layers], told or f"preset {name}, size {size}, from scratch"


def held_out(examples: Sequence[T], share: float, path: Path) -> tuple[list[T], list[T]]:
    """Training and validation examples, both in their order; DataError where there are too few for both."""
    held = max(1, round(share * len(examples)))
    if held >= len(examples):
        raise DataError(f"{path}: {len(examples)} examples; expected at least 2, of which one is held out")
    chosen = set(np.random.default_rng(0).permutation(len(examples))[:held].tolist())
    train = [example for place, example in enumerate(examples) if place not in chosen]
    return train, [examples[place] for place in sorted(chosen)]


def vocabulary(folder: Path, config: TokenizerConfig, start: Path | None, texts: Iterable[str]) -> Tokenizer:
    """The tokenizer in ``folder``; where there is none it is made of the texts, or that of the model started from."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        (make_vocabulary(config, texts) if start is None else starting.tokenizer(start)).save(path)
    return Tokenizer.load(path)


@dataclass
class EncoderMaterial(Material):
    """The data of an encoder with heads; a task adds its examples."""

    model: EncoderOnlyConfig
    tokenizer: Tokenizer
    start: Path | None
    tell: Tell
    tokenizers: tuple[Tokenizer, Tokenizer] = field(init=False)

    def __post_init__(self) -> None:
        self.tokenizers = (self.tokenizer, self.tokenizer)

    def network(self, tell: Tell) -> nn.Module:
        """Fresh, or with the weights of the pretrained model."""
        network = self.model.build(self.tokenizer.size)
        if self.start is not None:
            starting.take_weights(network, self.start, tell)
        return network
