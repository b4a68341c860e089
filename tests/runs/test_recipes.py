"""Every recipe in the repository trains: a few updates on toy pairs."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

import henkan
from henkan.settings import read_layer
from toys import toy_pairs, write_pairs

ALL = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))
RECIPES = [path for path in ALL if "task:" not in path.read_text()]  # of pairs


def test_there_are_recipes():
    assert len(RECIPES) > 3


def test_a_text_is_read_and_then_labelled(tmp_path: Path, henkan: Callable[..., tuple[int, str, str]]):
    """Pretraining and what goes on from it, by the command line."""
    words = [" ".join(target.split()) for _, target in toy_pairs(80)]
    (tmp_path / "text.txt").write_text("\n".join(words) + "\n")
    rows = "".join(f"{number % 2}\t{word}\n" for number, word in enumerate(words))
    for part in ("train", "dev"):
        with gzip.open(tmp_path / f"cola.{part}.tsv.gz", "wt") as file:
            file.write(rows)
    short = ("size=tiny", "training.steps=2", "training.processes=1")
    books, cola = (path for path in ALL if path.stem in ("books-bert", "glue"))
    text = (f"data.text={tmp_path / 'text.txt'}", "length=40", "vocabulary.vocabulary=60")
    assert henkan("train", books, *text, *short, "--output", tmp_path / "books")[0] == 0
    given = (f"start={tmp_path / 'books'}", f"data.folder={tmp_path}")
    assert henkan("train", cola, *given, *short[1:], "--output", tmp_path / "cola")[0] == 0
    code, out, _ = henkan("evaluate", tmp_path / "cola", "--data", tmp_path / "cola.dev.tsv.gz")
    assert code == 0
    assert "Matthews correlation" in out
    (tmp_path / "lines.txt").write_text("\n".join(words[:3]) + "\n")
    code, out, _ = henkan("predict", tmp_path / "cola", tmp_path / "lines.txt")
    assert code == 0
    assert set(out.split()) <= {"0", "1"}
    assert len(out.split()) == 3
    code, _, err = henkan("predict", tmp_path / "cola", tmp_path / "lines.txt", "--beam", "2")
    assert code == 2
    assert "a model of the task classification does not search" in err
    code, _, err = henkan("evaluate", tmp_path / "cola", "--data", tmp_path / "cola.dev.tsv.gz", "--unseen")
    assert code == 2
    assert "--unseen: --data is for models that do not turn text into text; leave it out" in err
    code, out, err = henkan("explain", cola, *given)
    assert code == 0, err
    assert "GLUE's cola" in out


def write_fields(folder: Path, pairs: list[tuple[str, str]], fields: dict[str, int | str] | None) -> Path:
    """A file of pairs with the columns or keys that a recipe reads."""
    if fields is None:
        return write_pairs(folder / "pairs.tsv", pairs)
    rows = [{fields["source"]: source, fields["target"]: target} for source, target in pairs]
    if isinstance(fields["source"], str):
        path = folder / "pairs.jsonl"
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
        return path
    path = folder / "pairs.tsv"
    width = max(map(int, fields.values())) + 1
    lines = ("\t".join(row.get(column, "x") for column in range(width)) for row in rows)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_it_trains(recipe: Path, tmp_path: Path):
    pairs = toy_pairs(60)
    if recipe.stem == "cmudict":
        pairs = [(source.replace(" ", ""), target) for source, target in pairs]
    file = write_fields(tmp_path, pairs, read_layer(recipe).values.get("data", {}).get("fields"))
    length = ["training.steps=2"]
    model = henkan.train(recipe, [f"data.pairs={file}", *length], output=tmp_path / "run")
    assert len(model.predict(["ka mo"])) == 1


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_it_is_explained_without_any_pairs(henkan, recipe: Path):
    code, out, err = henkan("explain", recipe)
    assert code == 0, err
    assert "an example: no pairs are named" in out and f"{recipe.name}, line" in out
