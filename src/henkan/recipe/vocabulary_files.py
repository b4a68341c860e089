"""Vocabularies that a recipe takes from a file: what is in them, as settings of the recipe.

So that a file without a mask is refused before anything is read, and the recipe of a run says what its vocabulary is
when the file is gone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from henkan.errors import ConfigError
from henkan.settings import Layer, merge
from henkan.text.vocabulary import read_vocabulary, settings_of


def file_layers(given: Sequence[Layer]) -> list[Layer]:
    """What is in the vocabulary files that are named, as layers to lie above all others.

    Raises:
        ConfigError: a file is named beside a model that brings its vocabulary, or beside another size than it has.
        DataError, FolderError: a file cannot be used.
    """
    said = merge(given)
    found: list[Layer] = []
    for keys, section in _sections(said.get("vocabulary")):
        name = ".".join(("vocabulary", *keys))
        if said.get("start") is not None:
            raise ConfigError(f"{name}.file: the model that `start` names brings its vocabulary; leave one of them out")
        path = Path(str(section["file"]))
        has = settings_of(read_vocabulary(path))
        for key, value in section.items():
            if key in has and value != has[key]:
                raise ConfigError(f"{name}.{key} is {value!r}, and {path} has {has[key]!r}; leave {name}.{key} out")
        values: dict[str, Any] = {"file": str(path), **has}  # with the file: settings that change a `kind` replace all
        for key in ("vocabulary", *keys)[::-1]:
            values = {key: values}
        found.append(Layer(values, f"the vocabulary {path}"))
    return found


def _sections(vocabulary: object) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """Those with a file: the vocabulary itself, or the two sides of one for pairs."""
    if not isinstance(vocabulary, dict):
        return
    for keys, section in (((), vocabulary), *(((side,), vocabulary.get(side)) for side in ("source", "target"))):
        if isinstance(section, dict) and section.get("file") is not None:
            yield keys, section
