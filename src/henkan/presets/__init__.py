"""The line by name: each preset is an architecture with its data settings, start, objective, optimiser and decoding.

A preset comes in sizes: ``published`` (as in the paper) and ``small`` (trains on two cores); ``auto`` chooses by the
amount of data. The Transformers are sizes of one paper, so each of them has one size only; T5, BART and Marian come in
the four sizes of the families that are pretrained on text. What is returned is a plain mapping, the bottom layer of a
run's settings: a recipe and the command line go on top.
"""

from __future__ import annotations

import difflib
from typing import get_args

from henkan.errors import ConfigError
from henkan.presets import attentive, recurrent, transformer
from henkan.presets.basis import FEW, PLENTY, Preset, Settings
from henkan.tasks.survey import Facts

__all__ = ["FEW", "PLENTY", "PRESETS", "Preset", "Settings", "default", "describe", "find"]


def find(name: str) -> Preset:
    """ConfigError with the nearest name if there is none."""
    for preset in PRESETS:
        if preset.name == name:
            return preset
    from henkan.presets import families  # the networks of the families take a while to import

    translating = {family.name: family for family in families.PRESETS if "pairs" in family.tasks}
    if name in translating:
        return translating[name].pairs()
    names = [preset.name for preset in PRESETS] + list(translating)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise ConfigError(f"preset {name!r} is none of {', '.join(names)}{hint}")


def default(facts: Facts) -> str:
    """The preset to take when none is named."""
    if facts.spelled or facts.pairs < FEW:
        return "transformer-tiny"
    return "transformer-base" if facts.pairs >= PLENTY else "transformer-small"


def describe() -> list[tuple[str, str, str, str]]:
    """(name, sizes, paper, summary) of every preset."""
    from henkan.presets import families

    sizes = ", ".join(get_args(families.Size))
    rows = [(preset.name, ", ".join(preset.sizes), preset.paper, preset.summary) for preset in PRESETS]
    return rows + [(family.name, sizes, family.paper, family.summary) for family in families.PRESETS]


PRESETS = (*transformer.PRESETS, *attentive.PRESETS, *recurrent.PRESETS)
