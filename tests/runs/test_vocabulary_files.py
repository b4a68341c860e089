"""Recipes that take their vocabulary from a file: runs of all kinds, without the file afterwards; what is refused."""

import pytest
import vocabularies

import henkan
from henkan.errors import ConfigError, FolderError
from henkan.model import verify
from henkan.recipe import read_recipe, settle
from henkan.settings import Layer
from henkan.text.learning import learn
from henkan.text.tokenizer import TokenizerConfig

LINES = [f"{name} likes {thing}." for name in ("anna", "bert", "carla") for thing in ("tea", "bread", "a map", "me")]
TRAINING = {"steps": 2, "batch_tokens": 256, "precision": "fp32", "processes": 1, "epochs": None, "budget": None}


@pytest.fixture
def files(tmp_path):
    (tmp_path / "text.txt").write_text("\n".join(LINES * 4) + "\n")
    (tmp_path / "labels.tsv").write_text("".join(f"{'ab'[len(line) % 2]}\t{line}\n" for line in LINES * 3))
    (tmp_path / "pairs.tsv").write_text("".join(f"{line}\t{line[::-1]}\n" for line in LINES * 3))
    for name in ("roberta", "gpt2", "t5"):
        getattr(vocabularies, name)().save(str(tmp_path / f"{name}.json"))
    return tmp_path


def recipe(files, task="pretraining", preset="roberta", file="roberta.json", **more):
    data = {
        "pretraining": {"text": str(files / "text.txt")},
        "classification": {"train": str(files / "labels.tsv")},
        "pairs": {"pairs": str(files / "pairs.tsv")},
    }[task]
    section = {"file": str(files / file)}
    vocabulary = {"source": section} if task == "pairs" else section
    given = {"task": task, "preset": preset, "size": "tiny", "data": data, "vocabulary": vocabulary}
    return {**given, "training": TRAINING, **({} if task == "pairs" else {"length": 32}), **more}


@pytest.mark.parametrize(
    ("task", "preset", "file"),
    [
        ("pretraining", "gpt2", "gpt2.json"),
        ("pretraining", "t5", "t5.json"),
        ("classification", "roberta", "roberta.json"),
        ("pairs", "bart", "roberta.json"),
    ],
)
def test_the_file_is_not_needed_again(task, preset, file, files):
    given = recipe(files, task, preset, file)
    model = henkan.train(given, output=files / "run")
    (files / file).unlink()
    assert verify(files / "run")[-1].startswith("greedy outputs equal")
    assert henkan.load(files / "run").predict(LINES[:2]) == model.predict(LINES[:2])
    said = model.config.vocabulary.source if task == "pairs" else model.config.vocabulary
    assert said.vocabulary == model.tokenizers[0].size
    assert henkan.train(given, output=files / "run", resume=True).tokenizers == model.tokenizers


def test_what_is_in_the_file_is_a_setting(files):
    config = read_recipe(settle([Layer(recipe(files), "settings")])[0])
    assert (config.vocabulary.kind, config.vocabulary.mask) == ("byte_bpe", True)
    config = read_recipe(settle([Layer(recipe(files, preset="bert"), "settings")])[0])
    assert (config.vocabulary.kind, config.vocabulary.file) == ("byte_bpe", files / "roberta.json")
    assert config.parameters() == sum(each.numel() for each in config.build(config.vocabulary.vocabulary).parameters())


def test_one_side_of_pairs_may_be_of_a_file(files):
    sides = {"joint": False, "source": {"file": str(files / "t5.json")}, "target": {"kind": "character"}}
    model = henkan.train(recipe(files, "pairs", "bart", vocabulary=sides), output=files / "run")
    assert len(model.tokenizers[0].marks.sentinels) == 5
    assert len(model.tokenizers[1].encode(["anna likes"])[0]) == 10
    sides = {"joint": False, "source": {"file": str(files / "t5.json")}}
    learnt = henkan.train(recipe(files, "pairs", "bart", vocabulary=sides), output=files / "learnt").tokenizers
    assert learnt[0] == model.tokenizers[0] != learnt[1]


def test_what_does_not_go_together(files):
    learn(TokenizerConfig(kind="byte_bpe", vocabulary=270), LINES).save(files / "bare.json")
    for given, said in (
        (recipe(files, file="gpt2.json"), r"hides tokens: .*gpt2\.json has no such token; name another file"),
        (recipe(files, file="bare.json"), r"hides tokens: .*bare\.json has no such token"),
        (recipe(files, preset="t5"), r"needs sentinels: .*roberta\.json has no such token"),
        (
            recipe(files, vocabulary={"file": str(files / "t5.json"), "vocabulary": 60}),
            r"vocabulary is 60, and .* has \d+; leave",
        ),
        (recipe(files, vocabulary={"file": str(files)}), "cannot be read as a vocabulary .*name a tokenizer.json"),
        (recipe(files, start="run"), r"vocabulary\.file: the model that `start` names brings its vocabulary"),
    ):
        with pytest.raises((ConfigError, FolderError), match=said):
            read_recipe(settle([Layer(given, "settings")])[0])


def test_a_whole_configuration_may_be_trained_again(files):
    first = henkan.train(recipe(files, "classification", "roberta", "roberta.json"), output=files / "run")
    again = henkan.train(files / "run" / "config.yaml", output=files / "again")
    assert again.config == first.config
    started = henkan.train(
        {**recipe(files, "classification", "roberta"), "start": str(files / "run"), "vocabulary": {}},
        output=files / "on",
    )
    assert started.config.vocabulary == first.config.vocabulary.model_copy(update={"file": None})
