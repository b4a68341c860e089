"""Every preset is a valid recipe, builds, and learns from a batch; the published ones have the papers' sizes."""

from typing import Any

import pytest
import torch

import zoo
from henkan import presets
from henkan.config import validate
from henkan.errors import ConfigError
from henkan.objectives.base import Learner
from henkan.recipe import RunConfig, with_preset
from henkan.settings import Layer
from henkan.tasks.survey import USUAL, Facts, SideFacts

SPELLED = Facts(5_000, SideFacts(8.0, 0.0, 5_000, 1.0), SideFacts(20.0, 1.0, 40, 900.0))
NAMES = [preset.name for preset in presets.PRESETS]
SIZES = [(preset.name, size) for preset in presets.PRESETS for size in preset.sizes]
WIDTHS = ("size", "width", "embedding", "maxout", "context", "feed_forward")


def recipe(name: str, size: str = "small", facts: Facts = USUAL) -> RunConfig:
    said = Layer({"preset": name, "size": size, "data": {"pairs": "pairs.tsv"}}, "test")
    return validate(RunConfig, with_preset([said], facts)[0])


def shrunk(settings: Any) -> Any:
    """The same with all widths divided by 32."""
    if not isinstance(settings, dict):
        return settings
    return {
        key: value // 32 if key in WIDTHS and isinstance(value, int) else shrunk(value)
        for key, value in settings.items()
    }


@pytest.mark.parametrize("facts", [USUAL, SPELLED], ids=["sentences", "spelled words"])
@pytest.mark.parametrize(("name", "size"), SIZES)
def test_settings_are_valid(name, size, facts):
    settings = recipe(name, size, facts)
    assert settings.preset == name and settings.size == size


@pytest.mark.parametrize(("name", "size"), [pair for pair in SIZES if pair[1] == "published"])
def test_published_sizes_are_built_without_memory(name, size):
    config = recipe(name, size).model
    with torch.device("meta"):
        model = config.build(1000, 1000)
    assert all(parameter.is_meta for parameter in model.parameters())


@pytest.mark.parametrize("name", [name for name, size in SIZES if size == "small"])
def test_one_update(name):
    settings = recipe(name)
    config = type(settings.model).model_validate(shrunk(settings.model.model_dump()))
    model = config.build(zoo.VOCABULARY, zoo.VOCABULARY)
    learner = Learner(model, settings.objective.build())
    optimiser = settings.training.optimiser.build([{"params": list(model.parameters())}])
    before = [parameter.detach().clone() for parameter in model.parameters()]
    loss, sums = learner(zoo.batch(zoo.tokens([4, 2, 5]), zoo.tokens([3, 6, 1])), learner.objective.weights(0))
    loss.backward()
    optimiser.step()
    assert all(value.isfinite() for value in sums.values())
    moved = [not torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True)]
    unmoved = [name for (name, _), changed in zip(model.named_parameters(), moved, strict=True) if not changed]
    assert not unmoved


def parameters(name: str, vocabulary: int) -> int:
    with torch.device("meta"):
        model = recipe(name, "published").model.build(vocabulary, vocabulary)
    return sum(parameter.numel() for parameter in model.parameters())


def test_gnmt_is_as_deep_as_published():
    """Wu et al. (2016), sections 3 and 8: 8 + 8 layers of 1024; each LSTM has 4 (inputs + 1024 + 1) 1024 numbers."""

    def lstm(inputs: int) -> int:
        return 4 * 1024 * (inputs + 1024 + 1)

    encoder = 2 * lstm(1024) + lstm(2048) + 6 * lstm(1024)
    decoder = 8 * lstm(2048)  # what is below, and the context
    attention = 2 * 1024 * 1024 + 2 * 1024
    tables = 3 * 32_000 * 1024
    assert parameters("gnmt-2016", 32_000) == encoder + decoder + attention + tables


def test_plain_recurrent_presets_differ_in_the_cell_alone():
    expected = recipe("lstm").model_dump()
    for name in ("rnn", "lstm-1997", "lstm-peephole", "gru"):
        found = recipe(name).model_dump()
        for side in ("encoder", "decoder"):
            found["model"][side]["cell"] = expected["model"][side]["cell"]
        found["training"]["optimiser"]["learning_rate"] = expected["training"]["optimiser"]["learning_rate"]
        assert found | {"preset": "lstm"} == expected, name


def test_auto_takes_what_the_amount_of_data_allows():
    few, many = USUAL, Facts(presets.PLENTY, USUAL.source, USUAL.target)
    for preset in presets.PRESETS:
        assert preset.choose("auto", few) in preset.sizes
        assert preset.choose("auto", many) == ("published" if "published" in preset.sizes else "small")
    with pytest.raises(ConfigError, match="preset gru comes in small"):
        presets.find("gru").choose("published", few)


def test_names():
    assert len(set(NAMES)) == len(NAMES)
    with pytest.raises(ConfigError, match="did you mean lstm-peephole"):
        presets.find("lstm-peepole")
