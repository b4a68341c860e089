"""Labels of words, several choices, translations and mixtures: trained for a few updates as a user does, and asked."""

import json

import pytest

import henkan
from henkan.data.documents import Documents, write_documents
from henkan.data.labelled import LabelledText
from henkan.data.passages import passages
from henkan.encoders.transformer import TransformerEncoderConfig
from henkan.errors import ConfigError, DataError, InputError
from henkan.model import load_any, verify
from henkan.models.encoder_only import EncoderOnlyConfig
from henkan.nn.places import LearnedConfig
from henkan.nn.text_heads import ClassHeadConfig, MaskedHeadConfig
from henkan.objectives.cross_entropy import CrossEntropy
from henkan.tasks.classification import Classification, Labels, Reader
from henkan.tasks.mixture import Mixture
from henkan.tasks.pretraining import Masked, Pretraining
from henkan.text.learning import learn
from henkan.text.tokenizer import TokenizerConfig
from henkan.training.loop import train as train_loop
from henkan.training.options import TrainingConfig

NAMES = ["anna", "bert", "carla", "dora", "emil"]
THINGS = ["tea", "bread", "cake", "soup", "rice"]
TRAINING = {"steps": 3, "batch_tokens": 256, "precision": "fp32", "processes": 1}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Words with labels, questions with choices, and sentences with translations."""
    folder = tmp_path_factory.mktemp("files")
    rows = [f"{name} B-PER\nlikes O\n{thing} O\n" for name in NAMES for thing in THINGS]
    (folder / "words.conll").write_text("\n".join(rows))
    with (folder / "choices.jsonl").open("w") as lines:
        for number, name in enumerate(NAMES * 3):
            asked = {"question": f"who is like {name} ?", "choices": NAMES[:3], "label": number % 3}
            lines.write(json.dumps(asked) + "\n")
    pairs = [f"{name} likes {thing} .\n{thing} is liked by {name} .\n" for name in NAMES for thing in THINGS]
    (folder / "translations.txt").write_text("\n".join(pairs))
    return folder


def recipe(task, train, **more):
    data = {"text" if task == "pretraining" else "train": str(train)}
    return {"task": task, "size": "tiny", "data": data, "vocabulary": {"vocabulary": 280}, "training": TRAINING, **more}


@pytest.fixture(scope="module")
def pretrained(files, tmp_path_factory):
    folder = tmp_path_factory.mktemp("translations") / "run"
    reading = {"translations": True, "next_sentence": False}
    henkan.train(recipe("pretraining", files / "translations.txt", length=40, reading=reading), output=folder)
    return folder


def test_words_with_labels_from_a_model_of_translations(pretrained, files, tmp_path, capsys):
    settings = recipe("tagging", files / "words.conll", start=str(pretrained))
    del settings["vocabulary"]
    henkan.train(settings, output=tmp_path / "run")
    assert "2 labels (B-PER, O)" in capsys.readouterr().out
    model = load_any(tmp_path / "run")
    lines = model.predict(["anna likes  bert .", "", "tea"])
    assert [len(line.split()) for line in lines] == [4, 0, 1]
    assert set(" ".join(lines).split()) <= {"B-PER", "O"}
    assert [score.name for score in model.score(files / "words.conll")] == ["entity F1", "word accuracy"]
    assert verify(tmp_path / "run")[-1].endswith("2 of 2")
    with pytest.raises(InputError, match="line 1: 2 words and 1 labels"):
        model.config.lines(model.network, model.tokenizers).scores(["anna likes"], ["O"])


def test_choices_from_scratch(files, tmp_path):
    henkan.train(recipe("multiple_choice", files / "choices.jsonl", preset="roberta"), output=tmp_path / "run")
    model = load_any(tmp_path / "run")
    asked = {"question": "who ?", "choices": ["anna", "bert", "carla", "dora"]}
    by_json, by_tabs = model.predict([json.dumps(asked), "who ?\tanna\tbert\tcarla\tdora"])
    assert by_json == by_tabs
    assert by_json in NAMES
    assert model.score(files / "choices.jsonl")[0].count == 15
    assert verify(tmp_path / "run")[-1].endswith("2 of 2")
    with pytest.raises(InputError, match="line 1: expected a question and two or more choices"):
        model.predict(["who ?\tanna"])


def test_settings_and_files_that_do_not_fit(files, tmp_path):
    for more, complaint in (
        ({"labels": ["O", "O"]}, "one stands there twice"),
        ({"labels": ["B-PER", "O", "verb"], "scores": ["entity-f1"]}, "'verb' is none"),
        ({"labels": ["B-PER", "O"], "model": {"heads": {"labels": {"labels": 3}}}}, "kind: label, labels: 2"),
    ):
        with pytest.raises(ConfigError, match=complaint):
            henkan.train(recipe("tagging", files / "words.conll", **more), output=tmp_path / "run")
    with pytest.raises(DataError, match="line 1: label 'B-PER' is none of O, X"):
        henkan.train(recipe("tagging", files / "words.conll", labels=["O", "X"]), output=tmp_path / "run")
    uneven = tmp_path / "uneven.jsonl"
    uneven.write_text((files / "choices.jsonl").read_text() + '{"question": "a", "choices": ["b", "c"], "label": 0}\n')
    with pytest.raises(DataError, match=r"line 16 of .*: 2 choices where the first training question has 3"):
        henkan.train(recipe("multiple_choice", uneven), output=tmp_path / "run")
    both = {"translations": True, "next_sentence": True}
    with pytest.raises(ConfigError, match="two kinds of pairs"):
        henkan.train(recipe("pretraining", files / "translations.txt", reading=both), output=tmp_path / "run")


def test_masked_text_and_classes_in_one_encoder(tmp_path):
    sentences = [f"{name} likes {thing} ." for name in NAMES for thing in THINGS]
    tokenizer = learn(TokenizerConfig(kind="word", vocabulary=60, mask=True), sentences)
    write_documents(tmp_path / "text", sentences, tokenizer)
    documents = Documents.open(tmp_path / "text")
    reading = Masked(documents, passages(documents, 14), tokenizer.marks, 0.15, 0)
    texts = [LabelledText(text, None, "yes" if "cake" in text else "no", 1) for text in sentences[:10]]
    masked = Pretraining({"train": reading, "valid": reading}, CrossEntropy())
    labelled = Classification(
        {"train": texts, "valid": texts}, Reader(tokenizer, 16), Labels(["no", "yes"]), ["accuracy"]
    )
    mixture = Mixture({"masked": masked, "cake": labelled}, [1, 2])
    encoder = TransformerEncoderConfig(layers=1, width=32, heads=2, feed_forward=64, positions=LearnedConfig(limit=16))
    heads = {"tokens": MaskedHeadConfig(), "class": ClassHeadConfig(classes=2)}
    model = EncoderOnlyConfig(encoder=encoder, heads=heads).build(tokenizer.size)
    options = TrainingConfig(steps=6, batch_tokens=64, precision="fp32")
    result = train_loop(mixture, model, options, tmp_path / "run")
    assert result.scores.keys() == {"cake.accuracy"}
    assert 0 < result.loss < 10
