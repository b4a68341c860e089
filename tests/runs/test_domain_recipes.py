"""The recipes of models for one kind of text, and of several tasks in one model, by the command line on toy data."""

from collections.abc import Callable
from pathlib import Path

import pytest

from toys import toy_pairs, write_pairs

RECIPES = Path(__file__).parents[2] / "recipes"
SHORT = ("size=tiny", "training.budget=null", "training.steps=2", "training.processes=1", "training.batch_tokens=512")

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    pairs = toy_pairs(60)
    documents = ["\n".join(target for _, target in pairs[start : start + 4]) for start in range(0, 60, 4)]
    (tmp_path / "text.txt").write_text("\n\n".join(documents) + "\n")
    (tmp_path / "more.txt").write_text("\n\n".join(documents).replace(" ", "") + "\n")  # words of several old ones
    write_pairs(tmp_path / "pairs.tsv", pairs)
    (tmp_path / "source.txt").write_text("".join(f"{source}\n" for source, _ in pairs))
    (tmp_path / "target.txt").write_text("".join(f"{target}\n" for _, target in pairs))
    return tmp_path


def read(text: Path) -> tuple[str, ...]:
    return f"data.text={text}", f"data.valid_text={text}", "length=40"


def test_science_and_then_code(files: Path, henkan: Call):
    text = (*read(files / "text.txt"), "vocabulary.vocabulary=280")
    science = files / "science"
    assert henkan("train", RECIPES / "scibert.yaml", *text, *SHORT, "--output", science)[0] == 0
    given = (*read(files / "more.txt"), f"start={science}", "extend=5", *SHORT)
    code, out, err = henkan("train", RECIPES / "scibert.yaml", *given, "--output", files / "more")
    assert code == 0, err
    assert "rows more in" in out
    roberta = ("preset=roberta", *text, *SHORT, "--output", files / "roberta")
    assert henkan("train", RECIPES / "books-bert.yaml", *roberta)[0] == 0
    given = (f"start={files / 'roberta'}", f"data.pairs={files / 'pairs.tsv'}", *SHORT)
    code, out, err = henkan("train", RECIPES / "codebert.yaml", *given, "--output", files / "code")
    assert code == 0, err
    assert "going on from" in out
    code, out, _ = henkan("evaluate", files / "code", "--data", files / "pairs.tsv")
    assert code == 0
    assert "nats per token" in out
    (files / "line.txt").write_text("ka mo\tto <mask>\n")
    code, out, _ = henkan("predict", files / "code", files / "line.txt")
    assert code == 0
    assert "\t" in out


def test_three_tasks(files: Path, henkan: Call):
    source, target = files / "source.txt", files / "target.txt"
    there = (f"parts.en-de.data.source={source}", f"parts.en-de.data.target={target}")
    back = (f"parts.de-en.data.source={target}", f"parts.de-en.data.target={source}")
    given = (*there, *back, f"parts.spans.data.text={target}", "vocabulary.vocabulary=160", "length=32", *SHORT)
    code, out, err = henkan("train", RECIPES / "multi30k-t5.yaml", *given, "--output", files / "run")
    assert code == 0, err
    assert "an epoch: " in out
    (files / "line.txt").write_text("translate English to German: ka mo\n")
    assert henkan("predict", files / "run", files / "line.txt")[0] == 0
    test = write_pairs(files / "test.tsv", [(f"translate German to English: {b}", a) for a, b in toy_pairs(5)])
    code, out, err = henkan("evaluate", files / "run", "--data", test)
    assert code == 0, err
    assert "de-en: BLEU" in out
    assert henkan("verify", files / "run")[0] == 0
    code, out, err = henkan("explain", RECIPES / "multi30k-t5.yaml", *given)
    assert code == 0, err
    assert "parts.en-de.weight" in out
