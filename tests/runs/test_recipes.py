"""Every recipe in the repository trains: a few updates on toy pairs."""

from pathlib import Path

import pytest

import henkan
from toys import toy_pairs, write_pairs

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))


def test_there_are_recipes():
    assert RECIPES


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_it_trains(recipe: Path, tmp_path: Path):
    pairs = toy_pairs(60)
    if recipe.stem == "cmudict":
        pairs = [(source.replace(" ", ""), target) for source, target in pairs]
    file = write_pairs(tmp_path / "pairs.tsv", pairs)
    length = ["training.budget=null", "training.steps=2"]
    model = henkan.train(recipe, [f"data.pairs={file}", *length], output=tmp_path / "run")
    assert len(model.predict(["ka mo"])) == 1


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_it_is_explained_without_any_pairs(henkan, recipe: Path):
    code, out, err = henkan("explain", recipe)
    assert code == 0, err
    assert "an example: no pairs are named" in out and f"{recipe.name}, line" in out
