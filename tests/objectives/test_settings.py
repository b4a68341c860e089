"""Which objective goes with which attention, and which way of feeding with which dropout."""

from typing import Any

import pytest

from henkan.config import validate
from henkan.errors import ConfigError
from henkan.objectives.coverage import Coverage
from henkan.objectives.cross_entropy import CrossEntropy
from henkan.objectives.reinforce import Reinforce
from henkan.recipe import RunConfig, with_preset
from henkan.settings import Layer
from henkan.tasks.survey import USUAL


def recipe(preset: str, attention: dict[str, Any], **objective: Any) -> RunConfig:
    said: dict[str, Any] = {"preset": preset, "data": {"pairs": "pairs.tsv"}, "objective": objective}
    if attention:
        said["model"] = {"decoder": {"attention": {"scores": {"kind": "additive", "size": 8}} | attention}}
    return validate(RunConfig, with_preset([Layer(said, "test")], USUAL)[0])


@pytest.mark.parametrize(
    ("attention", "kind", "made"),
    [
        ({"kind": "hard"}, "reinforce", Reinforce),
        ({"kind": "hard"}, "cross_entropy", CrossEntropy),
        ({"kind": "soft"}, "coverage", Coverage),
        ({"kind": "coverage"}, "coverage", Coverage),
        ({"kind": "local"}, "cross_entropy", CrossEntropy),
    ],
    ids=lambda value: str(value),
)
def test_these_fit(attention, kind, made):
    assert isinstance(recipe("bahdanau-2015", attention, kind=kind).objective.build(), made)


@pytest.mark.parametrize("preset", ["bahdanau-2015", "transformer-small", "seq2seq-2014"])
def test_reinforce_needs_something_to_draw(preset):
    with pytest.raises(ConfigError, match=r"objective 'reinforce' needs .* 'hard', here it is '(soft|none)'"):
        recipe(preset, {}, kind="reinforce")


@pytest.mark.parametrize("preset", ["transformer-small", "seq2seq-2014", "hard-attention"])
def test_coverage_needs_weights(preset):
    with pytest.raises(
        ConfigError, match=r"objective 'coverage' needs .*'soft', 'local' or 'coverage', here it is '(hard|none)'"
    ):
        recipe(preset, {}, kind="coverage")


@pytest.mark.parametrize("sampling", [None, {}])
@pytest.mark.parametrize("variational", [False, True])
def test_a_mask_of_the_decoder_lasts_a_sentence(variational, sampling):
    """Word by word it would be another one each time."""
    said = {
        "preset": "lstm",
        "data": {"pairs": "pairs.tsv"},
        "model": {side: {"variational": variational} for side in ("encoder", "decoder")},
        "training": {"scheduled_sampling": sampling},
    }
    layers = with_preset([Layer(said, "test")], USUAL)[0]
    if variational and sampling is not None:
        with pytest.raises(ConfigError, match=r"scheduled_sampling .* model.decoder.variational"):
            validate(RunConfig, layers)
    else:
        validate(RunConfig, layers)
