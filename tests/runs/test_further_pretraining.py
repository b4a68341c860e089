"""Going on with a text of another domain: the vocabulary grows, what was learnt stays, and all that follows works."""

import pytest
import torch

import henkan
from henkan.errors import ConfigError
from henkan.folder import load_weights
from henkan.model import LineModel, verify
from henkan.recipe import kind, starting
from henkan.text.extension import parts
from henkan.text.tokenizer import Tokenizer

OLD = [f"{name} likes {thing} ." for name in ("anna", "bert", "carla") for thing in ("tea", "bread", "a map", "myopes")]
NEW = [f"the myocardial {thing} of {name}" for name in ("anna", "bert", "carla") for thing in ("trial", "cardiogram")]
TRAINING = {"steps": 3, "batch_tokens": 256, "precision": "fp32", "processes": 1, "epochs": None, "budget": None}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    (folder / "old.txt").write_text("\n".join(OLD * 4) + "\n")
    (folder / "new.txt").write_text("\n".join(NEW * 6) + "\n")
    (folder / "third.txt").write_text("a cartesian tensor and a bartered panther\n" * 30)
    (folder / "labels.tsv").write_text("".join(f"{'ab'[len(line) % 2]}\t{line}\n" for line in NEW * 3))
    (folder / "pairs.tsv").write_text("".join(f"{line}\t{line[::-1]}\n" for line in OLD * 3))
    return folder


def recipe(files, preset="roberta", **more):
    vocabulary = {"vocabulary": {"roberta": 280, "gpt2": 280, "t5": 160}[preset]}
    given = {"task": "pretraining", "preset": preset, "size": "tiny", "length": 32, "training": TRAINING}
    return {**given, "vocabulary": vocabulary, "data": {"text": str(files / "old.txt")}, **more}


def further(files, start, **more):
    given = {"task": "pretraining", "start": str(start), "data": {"text": str(files / "new.txt")}, "training": TRAINING}
    return {**given, "extend": 20, **more}


@pytest.fixture(scope="module")
def started(files, tmp_path_factory):
    folder = tmp_path_factory.mktemp("started") / "run"
    henkan.train(recipe(files), output=folder)
    return folder


def test_the_rows_of_a_new_token_are_the_means_of_its_pieces(files, started, tmp_path):
    config = henkan.train(further(files, started), output=tmp_path / "run").config
    old, new = (Tokenizer.load(folder / "model" / "tokenizer.json") for folder in (started, tmp_path / "run"))
    assert old.size < new.size <= old.size + 20
    network, said = config.build(new.size), []
    starting.take_weights(network, started / "model", said.append, new)
    before = load_weights(started / "model" / "model.safetensors")
    after = dict(network.named_parameters())
    grown = [name for name, weight in before.items() if len(weight) == old.size]
    assert len(grown) == 2  # the embedding, which is the output matrix too, and the output's bias
    for name in grown:
        assert torch.equal(after[name][: old.size], before[name])
        for number, cut in enumerate(parts(old, new)):
            torch.testing.assert_close(after[name][old.size + number], before[name][cut].mean(0))
    assert all(torch.equal(after[name], weight) for name, weight in before.items() if name not in grown)
    assert f"{new.size - old.size} rows more in {', '.join(sorted(grown))}, each the mean" in said[-1]


def test_an_extended_model_is_checked_used_and_gone_on_from(files, started, tmp_path, capsys):
    model = henkan.train(further(files, started), output=tmp_path / "run")
    said = capsys.readouterr().out
    assert "of this text: " in said
    assert verify(tmp_path / "run")[-1].startswith("greedy outputs equal")
    assert henkan.load(tmp_path / "run").predict(["the <mask> trial"]) == model.predict(["the <mask> trial"])
    labels = {"task": "classification", "start": str(tmp_path / "run"), "data": {"train": str(files / "labels.tsv")}}
    labeller = henkan.train({**labels, "training": TRAINING}, output=tmp_path / "labels")
    assert set(labeller.predict(NEW)) <= {"a", "b"}
    third = {"data": {"text": str(files / "third.txt")}, "extend": 2}
    again = henkan.train(further(files, tmp_path / "run", **third), output=tmp_path / "again")
    assert again.tokenizers[0].size == model.tokenizers[0].size + 2


@pytest.mark.parametrize("preset", ["gpt2", "t5"])
def test_decoders_grow_too(preset, files, tmp_path):
    henkan.train(recipe(files, preset), output=tmp_path / "old")
    model = henkan.train(further(files, tmp_path / "old"), output=tmp_path / "new")
    assert isinstance(model, LineModel)
    assert model.tokenizers[0].size > henkan.load(tmp_path / "old").tokenizers[0].size
    assert verify(tmp_path / "new")[-1].startswith("greedy outputs equal")


def test_resumed_as_if_nothing_had_happened(files, started, tmp_path):
    given = further(files, started, training={**TRAINING, "steps": 6, "checkpoint_every": 3, "keep": 10})
    henkan.train(given, output=tmp_path / "whole")
    henkan.train(given, output=tmp_path / "parts")
    for path in (tmp_path / "parts" / "checkpoints").glob("step-*6"):
        for file in sorted(path.rglob("*"), reverse=True):
            file.unlink()
        path.rmdir()
    (tmp_path / "parts" / "best.json").unlink(missing_ok=True)
    henkan.train(output=tmp_path / "parts", resume=True)
    weights = [(tmp_path / name / "model" / "model.safetensors").read_bytes() for name in ("whole", "parts")]
    assert weights[0] == weights[1]


def test_pairs_are_masked_on_both_sides(files, tmp_path):
    data = {"pairs": str(files / "pairs.tsv")}
    model = henkan.train(recipe(files, data=data, reading={"translations": True}), output=tmp_path / "run")
    (filled,) = model.predict(["anna <mask> tea .\t. aet sekil <mask>"])
    first, tab, second = filled.partition("\t")
    assert (first[:4], tab, second[:5]) == ("anna", "\t", ". aet")
    assert "<mask>" not in filled
    assert {score.name for score in model.score(files / "pairs.tsv")} == {"nats per token", "perplexity"}
    assert verify(tmp_path / "run")[-1].startswith("greedy outputs equal")


def test_settings_that_do_not_go_together(files, started, tmp_path):
    for wrong, said in (
        (recipe(files, extend=5), "extend 5 adds to the vocabulary of `start`"),
        (further(files, started, extend=10**6), "extend"),
        (further(files, started, vocabulary={"kind": "word"}), "which has no subwords"),
        (recipe(files, data={"pairs": str(files / "pairs.tsv")}), "data.pairs are masked on both sides"),
        (recipe(files, data={}), "give `text` or `pairs`, one of them"),
        (recipe(files, data={"text": "a", "valid_pairs": "b"}), "`valid_pairs` with `pairs`"),
    ):
        with pytest.raises(ConfigError, match=said):
            henkan.train(wrong, output=tmp_path / "run")
    assert kind({"task": "pretraining"}).model_fields["extend"].default == 0
