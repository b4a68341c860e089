"""What somebody else scores, by the command line: GLUE's files, and answers as SQuAD 2.0's script reads them."""

import gzip
import json
from pathlib import Path

import pytest

from henkan.settings import read_layer

RECIPES = Path(__file__).parents[2] / "recipes"
SHORT = (
    "preset=bert",
    "size=tiny",
    "training.steps=2",
    "training.processes=1",
    "training.precision=fp32",
    "training.batch_tokens=256",
)
CLASSES = ("entailment", "neutral", "contradiction")


@pytest.fixture(scope="module")
def mnli(tmp_path_factory):
    """MNLI as it is handed out, with a few sentences."""
    archive = tmp_path_factory.mktemp("glue")
    (archive / "MNLI").mkdir()
    (archive / "diagnostic").mkdir()
    texts = [f"{number}\tanna likes tea .\t{'nobody' if number % 2 else 'somebody'} likes tea ." for number in range(9)]
    labelled = "".join(f"{text}\t{CLASSES[number % 3]}\n" for number, text in enumerate(texts))
    for name in ("train", "dev_matched", "dev_mismatched"):
        header = "index\tsentence1\tsentence2\tgold_label\n"
        (archive / "MNLI" / f"{name}.tsv").write_text(header + labelled)
    unlabelled = "index\tsentence1\tsentence2\n" + "".join(f"{text}\n" for text in texts)
    for name in ("MNLI/test_matched", "MNLI/test_mismatched", "diagnostic/diagnostic"):
        (archive / f"{name}.tsv").write_text(unlabelled)
    return archive


def test_mnli_has_two_of_everything(mnli, tmp_path, henkan):
    data = ("data.glue=mnli", f"data.folder={mnli}", "training.epochs=null")
    code, out, err = henkan("train", RECIPES / "glue.yaml", *data, *SHORT, "--output", tmp_path / "run")
    assert code == 0, err
    assert "3 classes (contradiction, entailment, neutral)" in out
    code, out, err = henkan("evaluate", tmp_path / "run", "--data", mnli)
    assert code == 0, err
    assert "accuracy, dev_mismatched.tsv" in out
    assert len(json.loads((tmp_path / "run" / "model" / "metrics.json").read_text())["scores"]) == 2
    code, out, err = henkan("predict", tmp_path / "run", mnli, "--submission", tmp_path / "out")
    assert code == 0, err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["AX.tsv", "MNLI-m.tsv", "MNLI-mm.tsv"]
    header, *rows = (tmp_path / "out" / "MNLI-mm.tsv").read_text().splitlines()
    assert header == "index\tprediction"
    assert [row.split("\t")[0] for row in rows] == [str(number) for number in range(9)]
    assert {row.split("\t")[1] for row in rows} <= set(CLASSES)
    code, _, err = henkan("predict", tmp_path / "run", tmp_path, "--submission", tmp_path / "out")
    assert code != 0
    assert "expected test_matched.tsv of GLUE's mnli" in err


def test_a_threshold_is_stored_and_answers_are_written(tmp_path, henkan):
    paragraphs = []
    for name in ("anna", "bert", "carla", "dora", "emil", "frida"):
        context = f"{name} likes tea and cake ."
        answers = [{"text": "tea", "answer_start": context.index("tea")}]
        paragraphs.append(
            {
                "context": context,
                "qas": [
                    {"id": f"{name}-1", "question": f"what does {name} like ?", "answers": answers},
                    {"id": f"{name}-2", "question": f"where is {name} ?", "answers": [], "is_impossible": True},
                ],
            }
        )
    whole, lines = tmp_path / "train.json", tmp_path / "dev.jsonl.gz"
    whole.write_text(json.dumps({"version": "v2.0", "data": [{"title": "t", "paragraphs": paragraphs}]}))
    with gzip.open(lines, "wt") as file:
        file.writelines(json.dumps(paragraph) + "\n" for paragraph in paragraphs[:3])
    short = ("length=48", "stride=10", "longest_question=24", "training.budget=null", "vocabulary.vocabulary=60")
    data = (f"data.train={whole}", f"data.valid={lines}")
    code, _, err = henkan("train", RECIPES / "jaquad.yaml", *data, *short, *SHORT, "--output", tmp_path / "run")
    assert code == 0, err
    assert read_layer(tmp_path / "run" / "config.yaml").values["threshold"] == "tuned"
    assert isinstance(read_layer(tmp_path / "run" / "model" / "config.yaml").values["threshold"], float)
    code, out, err = henkan("evaluate", tmp_path / "run", "--data", lines)
    assert code == 0, err
    for name in ("answer F1,", "answer exact match, with an answer", "answer F1, without an answer", "best threshold"):
        assert name in out
    code, out, err = henkan("predict", tmp_path / "run", lines, "--submission", tmp_path / "out")
    assert code == 0, err
    said = json.loads((tmp_path / "out" / "predictions.json").read_text())
    odds = json.loads((tmp_path / "out" / "null_odds.json").read_text())
    assert list(said) == list(odds) == [asked["id"] for paragraph in paragraphs[:3] for asked in paragraph["qas"]]
    threshold = read_layer(tmp_path / "run" / "model" / "config.yaml").values["threshold"]
    assert all((answer == "") == (-odds[name] <= threshold) for name, answer in said.items())
