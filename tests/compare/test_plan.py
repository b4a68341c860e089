"""What is trained, with which settings: variants, seeds, matched sizes."""

import pytest

from henkan.compare.plan import Contender, contenders, plan
from henkan.config import validate
from henkan.errors import ConfigError
from henkan.recipe import RunConfig
from henkan.settings import Layer
from toys import toy_pairs, write_pairs


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return {"pairs": str(write_pairs(tmp_path_factory.mktemp("corpus") / "pairs.tsv", toy_pairs(200)))}


def test_presets_and_variants_are_read():
    found = contenders(["gru"], ["forwards=seq2seq-2014,data.reverse_source=false,training.optimiser.betas=[0.9,0.99]"])
    settings = ("data.reverse_source=false", "training.optimiser.betas=[0.9,0.99]")
    assert found == [Contender("gru", "gru"), Contender("forwards", "seq2seq-2014", settings)]


@pytest.mark.parametrize(
    ("names", "variants", "message"),
    [
        ([], [], "--presets: name at least one"),
        (["gru", "grue"], [], "did you mean gru"),
        (["gru", "gru"], [], "gru: there twice"),
        (["gru"], ["gru=lstm"], "gru: there twice"),
        ([], ["gru"], "expected NAME=preset"),
        ([], ["a/b=gru"], "a name has letters"),
        ([], ["..=gru"], "a name has letters"),
        ([], ["a=gruu"], "did you mean gru"),
    ],
)
def test_wrong_names_are_refused(names: list[str], variants: list[str], message: str):
    with pytest.raises(ConfigError, match=message):
        contenders(names, variants)


def test_settings_for_all_and_for_one(data: dict[str, str]):
    chosen = contenders(["seq2seq-2014"], ["forwards=seq2seq-2014,data.reverse_source=false"])
    trials = plan(chosen, data, ["model.embedding=32"], training={"budget": "5m"}, matched=False)
    assert [trial.folder for trial in trials] == ["seq2seq-2014-seed-1", "forwards-seed-1"]
    assert [trial.config.data.reverse_source for trial in trials] == [True, False]
    assert [trial.config.model.embedding for trial in trials] == [32, 32]
    assert [trial.config.training.budget for trial in trials] == [300.0, 300.0]
    for trial in trials:
        assert validate(RunConfig, [Layer(trial.settings, "back again")]) == trial.config


def test_every_seed_is_a_run_of_its_own(data: dict[str, str]):
    trials = plan(contenders(["gru", "lstm"], []), data, seeds=[3, 5], matched=False)
    assert [(trial.name, trial.seed) for trial in trials] == [("gru", 3), ("gru", 5), ("lstm", 3), ("lstm", 5)]


def test_sizes_are_those_of_the_first(data: dict[str, str]):
    lines: list[str] = []
    trials = plan(contenders(["gru", "transformer-small", "luong-2015"], []), data, tell=lines.append)
    sizes = [trial.match.parameters for trial in trials if trial.match]
    assert sizes[1:] == pytest.approx([sizes[0]] * 2, rel=0.03)
    assert trials[0].widths == ()
    assert trials[1].config.model.embedding != 256
    assert any(change.startswith("embedding 256 → ") for change in trials[1].widths)
    assert lines[0] == f"matched size: {sizes[0]:,} parameters, those of gru"
    assert lines[1] == f"  gru: {sizes[0]:,} parameters; as it is"
    assert "embedding 256 → " in lines[2]


def test_the_same_command_gives_the_same_plan(data: dict[str, str]):
    first, second = (plan(contenders(["gru", "transformer-small"], []), data) for _ in range(2))
    assert first == second
