"""Texts that are longer than a model reads: training and prediction say how many were cut, in one line."""

from collections.abc import Callable
from pathlib import Path

Call = Callable[..., tuple[int, str, str]]


def test_how_many_texts_were_cut(tmp_path: Path, henkan: Call) -> None:
    rows = [f"{label}\t{text}" for label, text in (("yes", "a b c"), ("no", "d e f " * 9)) for _ in range(6)]
    (tmp_path / "labels.tsv").write_text("\n".join(rows) + "\n")
    given = ("task=classification", "preset=bert", "size=tiny", f"data.train={tmp_path / 'labels.tsv'}", "length=16")
    small = ("vocabulary.kind=word", "vocabulary.vocabulary=20", "training.steps=1", "training.processes=1")
    code, out, err = henkan("train", *given, *small, "--output", tmp_path / "run")
    assert code == 0, err
    assert "6 of 12 texts were cut to 16 tokens; the model's `length` is 16" in out
    (tmp_path / "lines.txt").write_text("a b\n" + "d e f " * 9 + "\nc\ta b\n")
    code, out, err = henkan("predict", tmp_path / "run", tmp_path / "lines.txt")
    assert code == 0 and len(out.splitlines()) == 3
    assert err.splitlines()[-1] == "1 of 3 texts were cut to 16 tokens; the model's `length` is 16"
    (tmp_path / "lines.txt").write_text("a b\n")
    assert henkan("predict", tmp_path / "run", tmp_path / "lines.txt")[2] == ""
