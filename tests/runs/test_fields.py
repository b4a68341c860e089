"""Pairs under other keys, told what is to be done with them: from training to scores by the command line."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import henkan
from henkan.tasks.translator import Translator
from toys import toy_pairs

PREFIX = "say: "
PAIRS = toy_pairs(60)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A model of a few updates, and a test file with two sources that it knows and three that it does not."""
    folder = tmp_path_factory.mktemp("fields")
    rows = [{"question": source.split(), "answers": [target, "another"]} for source, target in PAIRS]
    tests = [*rows[:2], *({"question": f"ka {n} mo", "answers": ["mo ka", "ka"]} for n in ("mi", "ta", "li"))]
    for name, part in (("train.jsonl", rows), ("test.jsonl", tests)):
        (folder / name).write_text("".join(f"{json.dumps(row)}\n" for row in part))
    (folder / "test.tsv").write_text("ka mo\tmo ka\tka\n")
    recipe = {
        "preset": "transformer-tiny",
        "data": {
            "pairs": str(folder / "train.jsonl"),
            "fields": {"source": "question", "target": "answers"},
            "prefix": PREFIX,
        },
        "scores": ["rouge-1", "exact-match"],
        "training": {"steps": 3, "batch_tokens": 256, "precision": "fp32", "processes": 1},
    }
    henkan.train(recipe, output=folder / "run")
    return folder


def test_the_prefix_is_of_the_model(trained: Path):
    model = henkan.load(trained / "run")
    assert model.config.data.prefix == PREFIX
    bare = Translator.of(model.network, model.tokenizers, False, model.config.decoding)
    sources = [source for source, _ in PAIRS[:4]]
    expected = [found[0] for found in bare.predict([PREFIX + source for source in sources])]
    assert model.plain_translator().encode(sources) == bare.encode([PREFIX + source for source in sources])
    found = [found[0] for found in model.plain_translator().predict(sources)]
    assert [one.log_prob for one in found] == [one.log_prob for one in expected]
    without = model.config.model_copy(update={"data": model.config.data.model_copy(update={"prefix": ""})})
    targets = [target for _, target in PAIRS[:4]]
    forced = without.lines(model.network, model.tokenizers).scores([PREFIX + source for source in sources], targets)
    assert model.log_probs(PAIRS[:4]) == pytest.approx(forced, abs=1e-5)
    assert model.plain_translator().predict([" "])[0][0].score == 0.0, "a blank line is not searched"


def test_scores_with_several_answers_and_without_known_sources(trained: Path, henkan: Callable):
    code, out, err = henkan("evaluate", trained / "run", "--pairs", trained / "test.jsonl", "--unseen")
    assert code == 0, err
    assert "nrefs:2" in out and "without the 2 sources that are in the training files:" in out
    told = json.loads((trained / "run" / "metrics.json").read_text())
    assert told["unseen"]["seen"] == 2
    assert [score["name"] for score in told["unseen"]["scores"]] == [score["name"] for score in told["scores"]]


def test_a_file_of_another_kind_is_read_as_usual(trained: Path, henkan: Callable):
    code, out, err = henkan("evaluate", trained / "run", "--pairs", trained / "test.tsv")
    assert code == 0, err
    assert "nrefs:2" in out and "without the" not in out
