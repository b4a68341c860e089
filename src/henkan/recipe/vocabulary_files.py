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
        ConfigError: a file is named beside a model that brings its vocabulary, or beside what the file says itself.
        DataError, FolderError: a file cannot be used.
    """
    said = merge(given)
    found: list[Layer] = []
    for keys, section in _sections(said.get("vocabulary")):
        name = ".".join(("vocabulary", *keys))
        if said.get("start") is not None:
            raise ConfigError(f"{name}.file: the model that `start` names brings its vocabulary; leave one of them out")
        if more := sorted(section.keys() - {"file"}):
            raise ConfigError(f"{name}.file brings its own {', '.join(more)}; leave {name}.{more[0]} out")
        path = Path(str(section["file"]))
        # with the file again: settings that change a `kind` replace the section
        values: dict[str, Any] = {**section, **settings_of(read_vocabulary(path))}
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
