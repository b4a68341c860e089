"""Any preset can be brought to any size, and keeps its shape."""

from typing import Any

import pytest

from henkan.compare.matching import WIDTHS, count_parameters, match, scaled
from henkan.config import Layer, validate
from henkan.errors import ConfigError
from henkan.models.encoder_decoder import EncoderDecoderConfig
from henkan.presets import PRESETS
from henkan.tasks.survey import USUAL

VOCABULARIES = (8000, 8000)
MODELS = {
    f"{preset.name} {size}": validate(EncoderDecoderConfig, [Layer(settings(USUAL)["model"], preset.name)])
    for preset in PRESETS
    for size, settings in preset.sizes.items()
}
NOT_WIDTHS = {"layers", "heads", "residual_from", "segments", "window"}
"""Whole numbers of a model's settings that another size leaves as they are."""


def leaves(settings: dict[str, Any], path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    found = {}
    for name, value in settings.items():
        found |= leaves(value, (*path, name)) if isinstance(value, dict) else {(*path, name): value}
    return found


@pytest.mark.parametrize("name", MODELS)
def test_every_preset_reaches_a_size_by_its_widths_alone(name: str):
    model = MODELS[name]
    own = count_parameters(model, VOCABULARIES)
    for wanted in (own // 2, 2 * own):
        found = match(model, wanted, VOCABULARIES)
        assert found.parameters == count_parameters(found.model, VOCABULARIES)
        assert abs(found.parameters / wanted - 1) < 0.04, f"{found.parameters:,} for {wanted:,}"
        before, after = leaves(model.model_dump()), leaves(found.model.model_dump())
        assert before.keys() == after.keys()
        for path, value in before.items():
            if path[-1] in WIDTHS and isinstance(value, int):
                assert after[path] % (8 if after[path] >= 64 else 2) == 0, path
                assert abs(after[path] - value * found.factor) <= 4, f"{path}: {value} became {after[path]}"
            else:
                assert after[path] == value, f"{path} was changed"


@pytest.mark.parametrize("name", MODELS)
def test_every_whole_number_is_known_as_a_width_or_as_none(name: str):
    numbers = {path[-1] for path, value in leaves(MODELS[name].model_dump()).items() if type(value) is int}
    assert numbers <= WIDTHS | NOT_WIDTHS, "say in compare/matching.py or here whether another size changes it"


def test_a_model_of_about_that_size_stays_as_it_is():
    model = MODELS["transformer-small small"]
    own = count_parameters(model, VOCABULARIES)
    found = match(model, round(own * 1.01), VOCABULARIES)
    assert (found.model, found.factor, found.parameters) == (model, 1.0, own)
    assert found.changes(model) == []


def test_changes_are_told_by_setting():
    model = MODELS["transformer-small small"]
    found = match(model, 2 * count_parameters(model, VOCABULARIES), VOCABULARIES)
    width = found.model.embedding
    assert f"embedding 256 → {width}" in found.changes(model)
    assert f"decoder.width 256 → {width}" in found.changes(model)


def test_a_size_that_widths_cannot_reach_is_refused():
    with pytest.raises(ConfigError, match="cannot be brought to 10 by its widths alone"):
        match(MODELS["transformer-small small"], 10, VOCABULARIES)


def test_widths_are_rounded_to_what_computes_well():
    settings = {"embedding": 100, "tied": "none", "encoder": {"layers": 3, "cell": {"size": 10}}}
    assert scaled(settings, 1.5) == {"embedding": 152, "tied": "none", "encoder": {"layers": 3, "cell": {"size": 16}}}
