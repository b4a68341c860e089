"""The three commands on tiny models: what they write, and what they refuse."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from henkan.cli.app import main
from henkan.config import validate
from henkan.data.collate import collate_pairs
from henkan.data.example import Example
from henkan.model import Model, load, save
from henkan.recipe import RunConfig, with_preset
from henkan.settings import Layer, parse_overrides
from henkan.tasks.preparation import prepare
from henkan.tasks.survey import USUAL
from toys import TINY, TINY_LUONG, TINY_TRANSFORMER, toy_pairs, write_pairs

pytest.importorskip("matplotlib")

TINY_SEQ2SEQ = ["preset=seq2seq-2014", *TINY, "model.encoder.cell.size=16", "model.decoder.cell.size=16"]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pairs(tmp_path_factory.mktemp("corpus") / "pairs.tsv", toy_pairs(60))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, pairs: Path) -> dict[str, Path]:
    """Folders of models with fresh weights: nothing here depends on what a model knows."""
    folder = tmp_path_factory.mktemp("models")
    made = {}
    for name, words in {"luong": TINY_LUONG, "transformer": TINY_TRANSFORMER, "seq2seq": TINY_SEQ2SEQ}.items():
        given = [Layer({"data": {"pairs": str(pairs)}}, "test"), parse_overrides(words)]
        config = validate(RunConfig, with_preset(given, USUAL)[0])
        tokenizers = prepare(config.data, config.vocabulary, folder / f"{name}-data", lambda line: None).tokenizers
        torch.manual_seed(3)
        network = config.model.build(*(tokenizer.size for tokenizer in tokenizers)).eval()
        made[name] = folder / name
        save(Model(config, network, tokenizers), made[name], ["ka mo"], "a test's")
    return made


@pytest.fixture
def henkan(capsys: pytest.CaptureFixture[str]):
    def call(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            main(["inspect", *map(str, arguments)])
        out, err = capsys.readouterr()
        return int(left.value.code or 0), out, err

    return call


def numbers(folder: Path, name: str) -> dict:
    assert (folder / f"{name}.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))


def test_gradients_of_cells_on_a_task(henkan, tmp_path):
    words = ["rnn@0.5", "lstm-1997", "gru", "--length", 20, "--size", 6, "--rows", 3, "--batches", 2]
    code, out, err = henkan("gradients", *words, "--output", tmp_path)
    assert code == 0, err
    told = numbers(tmp_path, "gradients")
    assert [subject["label"] for subject in told["subjects"]] == ["rnn@0.5", "lstm-1997", "gru"]
    for subject in told["subjects"]:
        (flow,) = subject["off"]["flows"]
        assert len(flow["hidden"]) == 20
        assert (flow["cell"] is not None) == subject["label"].startswith("lstm")
        assert len(subject["off"]["global_norms"]) == 2
        assert max(subject["on"]["global_norms"]) <= 1.0001
    assert [line.split()[0] for line in out.splitlines()[1:4]] == ["rnn@0.5", "lstm-1997", "gru"]
    assert (tmp_path / "gradients.png").stat().st_size > 10_000


def test_gradients_after_updates_with_and_without_clipping(henkan, tmp_path):
    words = ["rnn", "--task", "copy", "--length", 4, "--size", 5, "--rows", 2, "--batches", 1, "--updates", 3]
    code, _, err = henkan("gradients", *words, "--clip", 0.05, "--output", tmp_path)
    assert code == 0, err
    (subject,) = numbers(tmp_path, "gradients")["subjects"]
    assert len(subject["off"]["global_norms"]) == len(subject["on"]["global_norms"]) == 3
    assert max(subject["on"]["global_norms"]) <= 0.0501 < max(subject["off"]["global_norms"])


def test_a_preset_brings_the_cell_of_its_encoder(henkan, tmp_path):
    small = ["--length", 5, "--size", 4, "--rows", 2, "--batches", 1, "--output", tmp_path]
    assert henkan("gradients", "bahdanau-2015", "gru", *small)[0] == 0
    first, second = numbers(tmp_path, "gradients")["subjects"]
    assert first["off"] == second["off"], "the preset's cell is a GRU, and the seed is the same"


def test_gradients_of_models_on_pairs(henkan, tmp_path, models, pairs):
    words = [models["luong"], models["seq2seq"], "--pairs", pairs, "--rows", 6, "--batches", 2, "--output", tmp_path]
    code, out, err = henkan("gradients", *words)
    assert code == 0, err
    luong, seq2seq = numbers(tmp_path, "gradients")["subjects"]
    assert [flow["layer"] for flow in luong["off"]["flows"]] == ["layer 1 forwards", "layer 1 backwards"]
    assert [flow["layer"] for flow in seq2seq["off"]["flows"]] == [f"layer {number}" for number in (1, 2, 3, 4)]
    assert "seq2seq, layer 4" in out


def test_the_global_norm_on_pairs_is_that_of_the_batch(henkan, tmp_path, models, pairs):
    """Pairs are read in groups of one length; training reads them in one padded batch."""
    assert (
        henkan("gradients", models["luong"], "--pairs", pairs, "--rows", 8, "--batches", 1, "--output", tmp_path)[0]
        == 0
    )
    (subject,) = numbers(tmp_path, "gradients")["subjects"]
    model = load(models["luong"])
    network = model.network.double()
    texts = [line.split("\t") for line in pairs.read_text(encoding="utf-8").splitlines()[:8]]
    sides = [
        tokenizer.encode(list(side)) for tokenizer, side in zip(model.tokenizers, zip(*texts, strict=True), strict=True)
    ]
    batch = collate_pairs([Example.of(place, *pair) for place, pair in enumerate(zip(*sides, strict=True))])
    scores = network(batch).heads["tokens"]
    (scores.loss(batch.labels["tokens"])[0] / batch.units["tokens"]).backward()
    expected = torch.nn.utils.get_total_norm([p.grad for p in network.parameters() if p.grad is not None])
    assert subject["off"]["global_norms"] == [pytest.approx(expected.item(), rel=1e-4)]


def test_a_preset_reads_pairs_with_fresh_weights(henkan, tmp_path, pairs):
    words = ["--pairs", pairs, "--rows", 2, "--batches", 1, "--output", tmp_path]
    assert henkan("gradients", "bahdanau-2015", *words)[0] == 0
    (subject,) = numbers(tmp_path, "gradients")["subjects"]
    assert subject["label"] == "bahdanau-2015"
    assert all(value > 0 for flow in subject["off"]["flows"] for value in flow["hidden"])


@pytest.mark.parametrize("name", ["luong", "transformer"])
def test_embeddings_of_the_figure_and_of_a_file(henkan, tmp_path, models, name):
    code, out, err = henkan("embeddings", models[name], "--output", tmp_path)
    assert code == 0, err
    width = {"luong": 2 * 2 * 8, "transformer": 16}[name]  # directions, parts of the state, size; the memory's width
    assert out.startswith(f"12 sentences, {width} numbers each")
    groups = tmp_path / "groups.tsv"
    groups.write_text("a\tka mo\na\tmo ka\nb\tri su te\nb\tte su ri\n", encoding="utf-8")
    code, out, err = henkan("embeddings", models[name], "--groups", groups, "--output", tmp_path)
    assert code == 0, err
    told = numbers(tmp_path, "embeddings")
    assert [row["group"] for row in told["sentences"]] == list("aabb")
    assert 0 < sum(told["variance_explained"]) <= 1.00001
    assert "variance explained" in out and "nearest neighbour" in out


def test_attention_of_own_outputs_word_by_word(henkan, tmp_path, models):
    text = "ka mo ri"
    arguments = ["--text", text, "--text", "te su", "--beam", 1, "--words", "--output", tmp_path]
    code, out, err = henkan("attention", models["luong"], *arguments)
    assert code == 0, err
    first, second = numbers(tmp_path, "attention")["sentences"]
    assert first["source"] == ["ka", "mo", "ri", "</s>"]
    assert second["source"] == ["te", "su", "</s>"]
    np.testing.assert_allclose(np.sum(first["weights"], 1), 1, atol=1e-4)
    assert "attention-1.png" in out and "attention-2.png" in out
    (prediction,) = load(models["luong"]).explain([text], load(models["luong"]).options(1))[0]
    assert "".join(first["target"][:-1]) == "".join(prediction.pieces).replace("▁", "")


def test_attention_of_given_targets_by_layer_and_head(henkan, tmp_path, models):
    (tmp_path / "source.txt").write_text("ka mo\nri su te\nno\n", encoding="utf-8")
    (tmp_path / "target.txt").write_text("mo ka\nte su ri\nno\n", encoding="utf-8")
    words = ["--source", tmp_path / "source.txt", "--target", tmp_path / "target.txt", "--count", 2, "--words"]
    code, _, err = henkan("attention", models["transformer"], *words, "--layer", 1, "--head", 2, "--output", tmp_path)
    assert code == 0, err
    told = numbers(tmp_path, "attention")
    assert told["weights"] == "source attention of layer 1 of 1, head 2"
    assert [sentence["target"] for sentence in told["sentences"]] == [["mo", "ka", "</s>"], ["te", "su", "ri", "</s>"]]


def test_a_reversed_source_is_shown_as_it_was_written(henkan, tmp_path, models):
    copy = load(models["luong"])
    turned = copy.config.model_copy(update={"data": copy.config.data.model_copy(update={"reverse_source": True})})
    save(Model(turned, copy.network, copy.tokenizers), tmp_path / "turned", ["ka"], "")
    text = ["--text", "ka mo ri", "--words", "--output", tmp_path]
    assert henkan("attention", tmp_path / "turned", *text)[0] == 0
    assert numbers(tmp_path, "attention")["sentences"][0]["source"] == ["ka", "mo", "ri", "</s>"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["gradients", "elman"], "'elman' is no cell (rnn, relu-rnn"),
        (["gradients", "transformer-small"], "has no recurrent encoder"),
        (["gradients", "rnn@much"], "expected CELL@NUMBER, such as rnn@1.5"),
        (["gradients", "min-gru@2"], "no recurrent weights"),
        (["gradients", "rnn", "--task", "sorting"], "--task 'sorting': expected adding or copy"),
        (["gradients", "LUONG"], "a trained model reads text; give --pairs"),
        (["gradients", "--pairs", "PAIRS"], "name a model folder or a preset to read the pairs"),
        (["gradients", "LUONG", "--pairs", "PAIRS", "--updates", "3"], "--updates trains on a task"),
        (["gradients", "lstm-coupled", "--pairs", "PAIRS"], "no preset of `henkan presets`; cells read no pairs"),
        (["gradients", "TRANSFORMER", "--pairs", "PAIRS"], "has no recurrent encoder"),
        (["embeddings", "LUONG", "--groups", "none.tsv"], "none.tsv: no such file"),
        (["attention", "LUONG"], "give --text once or more, or --source with a file"),
        (["attention", "LUONG", "--text", " "], "a source is empty"),
        (["attention", "LUONG", "--text", "ka", "--layer", "1"], "leave --layer and --head out"),
        (["attention", "TRANSFORMER", "--text", "ka", "--head", "9"], "head 9: each layer has heads 1 to 2"),
        (["attention", "SEQ2SEQ", "--text", "ka"], "this model has no attention"),
        (["attention", "LUONG", "--text", "ka", "--text", "mo", "--target", "ONE"], "1 lines for 2 sources"),
    ],
)
def test_mistakes_are_named(henkan, tmp_path, models, pairs, words, message):
    (tmp_path / "one").write_text("ka\n", encoding="utf-8")
    places = {"LUONG": models["luong"], "TRANSFORMER": models["transformer"], "SEQ2SEQ": models["seq2seq"]}
    places |= {"PAIRS": pairs, "ONE": tmp_path / "one"}
    code, _, err = henkan(*(places.get(word, word) for word in words), "--output", tmp_path / "out")
    assert code == 2
    assert message in " ".join(err.split()), err


def test_a_folder_that_cannot_be_made_is_named(henkan, tmp_path):
    (tmp_path / "file").write_text("")
    code, _, err = henkan("gradients", "rnn", "--output", tmp_path / "file" / "folder")
    assert code == 1
    assert "cannot be made" in err


def test_norms_fall_where_recurrent_weights_are_halved(henkan, tmp_path):
    small = ["--length", 30, "--size", 8, "--rows", 2, "--batches", 1, "--output", tmp_path]
    assert henkan("gradients", "rnn@0.5", "rnn@2", *small)[0] == 0
    half, double = (s["off"]["flows"][0]["hidden"] for s in numbers(tmp_path, "gradients")["subjects"])
    assert math.log10(half[0] / half[-1]) > 6
    assert double[-1] > 10 * half[-1]
