"""Pairs from a model that is there: pretrained on text, or trained on other pairs; and the same from scratch."""

import pytest
import torch

import henkan
from henkan.config import validate
from henkan.errors import ConfigError
from henkan.folder import load_weights
from henkan.model import load, verify
from henkan.recipe import RunConfig, with_preset
from henkan.settings import Layer
from henkan.tasks.survey import USUAL

NAMES = ["anna", "bert", "carla", "dora", "emil", "frida"]
THINGS = ["tea", "bread", "cake", "soup", "rice"]
PAIRS = [(f"{name} likes {thing} .", f"{thing} for {name} !") for name in NAMES for thing in THINGS]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    (folder / "text.txt").write_text("\n\n".join("\n".join(side for side in pair) for pair in PAIRS * 4) + "\n")
    (folder / "pairs.tsv").write_text("".join(f"{source}\t{target}\n" for source, target in PAIRS * 2))
    return folder


def settings(**more):
    training = {"steps": 3, "batch_tokens": 256, "precision": "fp32", "processes": 1, **more.pop("training", {})}
    return {"training": training, **more}


@pytest.fixture(scope="module", params=["t5", "bart"])
def pretrained(request, files, tmp_path_factory):
    """A run of either family, and what goes on from it to pairs."""
    folder = tmp_path_factory.mktemp(request.param)
    data = {"text": str(files / "text.txt")}
    vocabulary = {"vocabulary": 160 if request.param == "t5" else 280}
    recipe = settings(task="pretraining", preset=request.param, size="tiny", length=40, data=data)
    henkan.train({**recipe, "vocabulary": vocabulary}, output=folder / "text")
    pairs = settings(start=str(folder / "text"), data={"pairs": str(files / "pairs.tsv")})
    henkan.train(pairs, output=folder / "pairs")
    return folder, request.param


def test_from_a_pretrained_model(pretrained, capsys):
    folder, name = pretrained
    model = load(folder / "pairs")
    assert (model.config.preset, model.config.size) == (name, "tiny")
    before = load(folder / "pairs").tokenizers[0]
    assert before == henkan.load(folder / "text").tokenizers[0] and model.tokenizers[0] is model.tokenizers[1]
    assert len(model.predict([source for source, _ in PAIRS[:3]])) == 3
    assert verify(folder / "pairs")


def test_every_weight_is_taken(pretrained, files, tmp_path):
    """All that the pretrained model knows is there when pairs begin."""
    folder, _ = pretrained
    said = Layer(settings(start=str(folder / "text"), data={"pairs": str(files / "pairs.tsv")}), "test")
    config = validate(RunConfig, with_preset([said], USUAL)[0])
    told = []
    network = config.prepare(tmp_path / "prepared", told.append, lambda *_: None).network(told.append)
    old = load_weights(folder / "text" / "model" / "model.safetensors")
    new = dict(network.named_parameters())
    assert old.keys() == new.keys()
    assert all(torch.equal(old[name], new[name]) for name in old)
    assert told[-1] == f"{len(old)} weights from {folder / 'text' / 'model'}"


def test_from_other_pairs(files, tmp_path):
    """Domain adaptation, with a vocabulary for each side: how pairs are read and searched goes along."""
    data = {"pairs": str(files / "pairs.tsv"), "reverse_source": True}
    sides = {"joint": False, "source": {"vocabulary": 60}, "target": {"kind": "character"}}
    first = settings(preset="transformer-tiny", data=data, vocabulary=sides, decoding={"beam": 2})
    henkan.train(first, output=tmp_path / "first")
    model = henkan.train(
        settings(start=str(tmp_path / "first"), data={"pairs": str(files / "pairs.tsv")}), output=tmp_path / "second"
    )
    assert model.config.data.reverse_source and model.config.decoding.beam == 2
    assert model.config.preset == "transformer-tiny"
    assert model.tokenizers == load(tmp_path / "first").tokenizers
    assert model.tokenizers[0] is not model.tokenizers[1]


@pytest.mark.parametrize("pretrained", ["t5"], indirect=True)
@pytest.mark.parametrize(
    "training",
    [
        {"lora": {"rank": 2}},
        {"frozen": ["encoder"]},
        {"layer_decay": 0.5},
        {"unfreeze_every": 1},
    ],
    ids=lambda training: next(iter(training)),
)
def test_ways_to_tune(training, pretrained, files, tmp_path):
    folder, _ = pretrained
    recipe = settings(start=str(folder / "text"), data={"pairs": str(files / "pairs.tsv")}, training=training)
    henkan.train(recipe, output=tmp_path / "run")
    old, new = (load_weights(run / "model" / "model.safetensors") for run in (folder / "text", tmp_path / "run"))
    assert old.keys() == new.keys()
    moved = {name for name in old if not torch.equal(old[name], new[name])}
    assert moved
    if "frozen" in training:
        assert not any(name.startswith("encoder.") for name in moved)


def test_one_without_a_decoder_is_refused(files, tmp_path):
    data = {"text": str(files / "text.txt")}
    recipe = settings(task="pretraining", preset="bert", size="tiny", length=40, data=data)
    henkan.train({**recipe, "vocabulary": {"vocabulary": 60}}, output=tmp_path / "bert")
    with pytest.raises(ConfigError, match="its model is encoder_only; pairs need an encoder and a decoder"):
        henkan.train({"start": str(tmp_path / "bert"), "data": {"pairs": "p.tsv"}}, output=tmp_path / "run")


@pytest.mark.parametrize("preset", ["t5", "bart", "marian"])
@pytest.mark.parametrize("size", ["auto", "tiny", "mini", "small", "base"])
def test_families_from_scratch(preset, size):
    said = Layer({"preset": preset, "size": size, "data": {"pairs": "pairs.tsv"}}, "test")
    config = validate(RunConfig, with_preset([said], USUAL)[0])
    assert config.size == ("mini" if size == "auto" else size)
    assert config.vocabulary.source.sentinels == 0 and config.model.tied == "all"


def test_families_take_a_vocabulary_for_each_side():
    said = {"preset": "t5", "data": {"pairs": "pairs.tsv"}, "vocabulary": {"joint": False}}
    assert validate(RunConfig, with_preset([Layer(said, "test")], USUAL)[0]).model.tied == "target"


def test_a_pretrained_model_learns_at_a_third_of_the_rate(pretrained):
    folder, name = pretrained
    given = {"data": {"pairs": "pairs.tsv"}}
    started = Layer({**given, "start": str(folder / "text")}, "test")
    fresh = Layer({**given, "preset": name, "size": "tiny"}, "test")
    rates = [
        validate(RunConfig, with_preset([said], USUAL)[0]).training.optimiser.learning_rate for said in (started, fresh)
    ]
    assert rates[0] == pytest.approx(rates[1] / 3)
