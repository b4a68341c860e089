"""Every recipe that is not about pairs: trained for a few updates, loaded, asked, scored, checked, and gone on from."""

import json

import pytest

import henkan
from henkan.config import validate
from henkan.errors import ConfigError, DataError
from henkan.model import LineModel, load, verify
from henkan.recipe import TASKS, kind
from henkan.recipe.classification import LabelledConfig
from henkan.settings import Layer

NAMES = ["anna", "bert", "carla", "dora", "emil"]
THINGS = ["tea", "bread", "cake", "soup", "rice"]
SENTENCES = [f"{name} likes {thing} ." for name in NAMES for thing in THINGS]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Text in three documents, labelled sentences, and questions."""
    folder = tmp_path_factory.mktemp("files")
    text = "\n\n".join("\n".join(SENTENCES[start::3] * 4) for start in range(3))
    (folder / "text.txt").write_text(text + "\n")
    rows = [f"{'sweet' if 'cake' in sentence else 'not'}\t{sentence}" for sentence in SENTENCES * 3]
    (folder / "labels.tsv").write_text("\n".join(rows) + "\n")
    (folder / "numbers.tsv").write_text("\n".join(f"{len(s)}\t{s}\t{s[::-1]}" for s in SENTENCES) + "\n")
    with (folder / "questions.jsonl").open("w") as lines:
        for name in NAMES:
            context = " ".join(f"{name} likes {thing} ." for thing in THINGS)
            answers = [{"text": "cake", "answer_start": context.index("cake")}]
            asked = {"id": name, "question": f"what does {name} like ?", "answers": answers}
            lines.write(json.dumps({"context": context, "qas": [asked]}) + "\n")
    return folder


def settings(**more):
    training = {"steps": 3, "batch_tokens": 256, "precision": "fp32", "processes": 1, "epochs": None, "budget": None}
    return {"size": "tiny", "training": training, **more}


def trained(recipe, folder):
    model = henkan.train(recipe, output=folder)
    assert isinstance(model, LineModel)
    said = verify(folder)
    assert said[-1].startswith("greedy outputs equal")
    return model


@pytest.fixture(scope="module")
def pretrained(files, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bert") / "run"
    recipe = settings(task="pretraining", preset="bert", length=40, data={"text": str(files / "text.txt")})
    return trained({**recipe, "vocabulary": {"vocabulary": 60}}, folder), folder


@pytest.mark.parametrize("preset", ["roberta", "deberta", "gpt2", "t5", "bart"])
def test_pretraining(preset, files, tmp_path):
    vocabulary = {"vocabulary": 160 if preset == "t5" else 280}
    recipe = settings(task="pretraining", preset=preset, length=32, vocabulary=vocabulary)
    model = trained({**recipe, "data": {"text": str(files / "text.txt")}}, tmp_path / "run")
    outputs = model.predict(["anna likes", "bert likes tea ."])
    assert len(outputs) == 2
    if preset == "gpt2":
        assert outputs[0].startswith("anna likes")
    names = {score.name for score in model.score(files / "text.txt")}
    assert {"nats per token", "perplexity"} <= names
    assert ("bits per character" in names) == (preset == "gpt2")


def test_bert_fills_masks(pretrained):
    model, _ = pretrained
    (filled,) = model.predict(["anna likes <mask> ."])
    assert "<mask>" not in filled
    assert filled.startswith("anna likes")


def test_classification_goes_on_from_a_pretrained_model(pretrained, files, tmp_path, capsys):
    _, start = pretrained
    recipe = settings(task="classification", start=str(start), data={"train": str(files / "labels.tsv")})
    model = trained(recipe, tmp_path / "run")
    said = capsys.readouterr().out
    assert "2 classes (not, sweet)" in said
    assert f"going on from {start}" in said
    assert "fresh: heads.class.output.bias, heads.class.output.weight" in said
    assert set(model.predict(SENTENCES)) <= {"not", "sweet"}
    assert model.score(files / "labels.tsv")[0].count == 75
    assert henkan.load(tmp_path / "run").predict(SENTENCES[:3]) == model.predict(SENTENCES[:3])


def test_regression_of_pairs_from_scratch(files, tmp_path):
    data = {"train": str(files / "numbers.tsv"), "columns": {"second": 2}}
    recipe = settings(task="classification", labels=[], preset="roberta", data=data)
    model = trained({**recipe, "vocabulary": {"vocabulary": 280}}, tmp_path / "run")
    assert float(model.predict(["anna likes tea .\tsomething else"])[0]) == pytest.approx(0, abs=50)
    assert [score.name for score in model.score(files / "numbers.tsv")] == [
        "Pearson correlation",
        "Spearman correlation",
    ]


def test_question_answering(pretrained, files, tmp_path):
    _, start = pretrained
    recipe = settings(task="question_answering", start=str(start), data={"train": str(files / "questions.jsonl")})
    recipe |= {"length": 40, "stride": 10, "longest_question": 12, "longest_answer": 4}
    model = trained(recipe, tmp_path / "run")
    context = "anna likes tea . anna likes cake ."
    (answer,) = model.predict([f"what does anna like ?\t{context}"])
    assert answer in context
    assert len(answer.split()) <= 4
    assert model.score(files / "questions.jsonl")[0].name == "answer F1"


def test_resumed_as_if_nothing_had_happened(files, tmp_path):
    """Six updates at once, and three with three more: noise and order are functions of the update."""
    recipe = settings(task="pretraining", preset="roberta", length=32, vocabulary={"vocabulary": 280})
    recipe["data"] = {"text": str(files / "text.txt")}
    whole = {**recipe, "training": {**recipe["training"], "steps": 6, "checkpoint_every": 3, "keep": 10}}
    henkan.train(whole, output=tmp_path / "whole")
    henkan.train(whole, output=tmp_path / "parts")
    for folder in ("step-6", "step-00000006", "step-000006"):
        for path in (tmp_path / "parts" / "checkpoints").glob(f"*{folder}*"):
            for file in sorted(path.rglob("*"), reverse=True):
                file.unlink()
            path.rmdir()
    (tmp_path / "parts" / "best.json").unlink(missing_ok=True)
    henkan.train(output=tmp_path / "parts", resume=True)
    weights = [(tmp_path / name / "model" / "model.safetensors").read_bytes() for name in ("whole", "parts")]
    assert weights[0] == weights[1]


def test_settings_that_do_not_go_together(pretrained, files, tmp_path):
    _, start = pretrained
    text = {"text": str(files / "text.txt")}
    with pytest.raises(ConfigError, match="task 'tagging_': expected one of pairs"):
        kind({"task": "tagging_"})
    with pytest.raises(ConfigError, match="did you mean roberta"):
        henkan.train(settings(task="pretraining", preset="robert", data=text), output=tmp_path / "a")
    wrong = settings(task="pretraining", preset="gpt2", data=text, reading={"kind": "masked"})
    with pytest.raises(ConfigError, match=r"needs model \{kind: encoder_only\}"):
        henkan.train(wrong, output=tmp_path / "b")
    with pytest.raises(ConfigError, match="`train` \\(and `valid`\\), or `glue`"):
        validate(LabelledConfig, [Layer({"glue": "cola"}, "test")])
    (tmp_path / "valid.tsv").write_text("sour\tanna likes tea .\n")
    unknown = {"train": str(files / "labels.tsv"), "valid": str(tmp_path / "valid.tsv")}
    with pytest.raises(DataError, match="label 'sour' is none of"):
        henkan.train(settings(task="classification", start=str(start), data=unknown), output=tmp_path / "c")
    with pytest.raises(ConfigError, match="a model of the task pretraining; this needs one of pairs"):
        load(start)


def test_every_recipe_has_its_own_task():
    assert all(kind({"task": name}).model_fields["task"].default == name for name in TASKS)


@pytest.mark.parametrize(
    ("preset", "length", "complaint"),
    [
        ("bert", 513, "length lets texts of 513 tokens in, marks included, and model.encoder.positions has 512 places"),
        ("gpt2", 1025, "model.decoder.positions has 1024 places; lower length by 1,"),
        ("bart", 1024, "length lets texts of 1025 tokens in"),
        ("deberta", 600, "model.heads.tokens.decoder has 512 places"),
    ],
)
def test_more_tokens_than_places(preset, length, complaint, files, tmp_path):
    recipe = settings(task="pretraining", preset=preset, data={"text": str(files / "text.txt")}, length=length)
    with pytest.raises(ConfigError, match=complaint):
        henkan.train(recipe, output=tmp_path / "run")


def test_f1_is_about_a_label_that_there_is(files, tmp_path):
    recipe = settings(task="classification", preset="bert", data={"train": str(files / "labels.tsv")}, scores=["f1"])
    recipe |= {"vocabulary": {"vocabulary": 60}}
    with pytest.raises(ConfigError, match="'1' is none of not, sweet; set `positive`"):
        henkan.train(recipe, output=tmp_path / "run")
    model = trained({**recipe, "positive": "sweet"}, tmp_path / "run")
    assert model.score(files / "labels.tsv")[0].name == "F1 (sweet)"


def test_bits_are_of_the_characters_that_are_read(files, tmp_path):
    """Lines lose what stands around them, and one space stands between them."""
    recipe = settings(task="pretraining", preset="gpt2", length=32, vocabulary={"kind": "character"})
    model = trained({**recipe, "data": {"text": str(files / "text.txt")}}, tmp_path / "run")
    (tmp_path / "indented.txt").write_text("    anna likes tea .\n\n\tbert likes   cake . \n")
    scores = {score.name: score for score in model.score(tmp_path / "indented.txt")}
    assert f"characters:{16 + 1 + 19 + 1}|" in scores["bits per character"].signature


def test_what_is_gone_on_from_must_be_an_encoder(files, tmp_path, capsys):
    recipe = settings(task="pretraining", preset="gpt2", length=32, data={"text": str(files / "text.txt")})
    trained({**recipe, "vocabulary": {"vocabulary": 280}}, tmp_path / "writer")
    given = settings(task="classification", start=str(tmp_path / "writer"), data={"train": str(files / "labels.tsv")})
    with pytest.raises(ConfigError, match=r"is a gpt2 \(decoder-only\), and this task goes on from an encoder alone"):
        henkan.train(given, output=tmp_path / "run")
    with pytest.raises(ConfigError, match="labels"):
        henkan.train({**given, "start": None, "preset": "bert", "labels": None}, output=tmp_path / "run")


def test_a_resumed_run_that_is_not_there_is_told_to_begin(pretrained, files, tmp_path, capsys):
    given = settings(task="classification", start=str(pretrained[1]), data={"train": str(files / "labels.tsv")})
    henkan.train(given, output=tmp_path / "run", resume=True)
    assert "there is no run to go on with, so one begins" in capsys.readouterr().out
    mode = (tmp_path / "run" / "model" / "model.safetensors").stat().st_mode
    assert mode == (tmp_path / "run" / "model" / "config.yaml").stat().st_mode, "as any other file of the model"
