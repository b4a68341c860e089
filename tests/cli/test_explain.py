"""presets, explain and schema: what they print about the recipes there really are."""

import json
from pathlib import Path

import pytest

from henkan.cli.app import main
from henkan.cli.explain import _columns
from henkan.presets import PRESETS, families


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    out, err = capsys.readouterr()
    assert not left.value.code, err
    return out


def test_columns_are_aligned():
    assert _columns([("NAME", "VALUE", ""), ("a.b", "3", "default"), ("c", "", "")]) == (
        "NAME  VALUE\na.b   3      default\nc"
    )


def test_presets_lists_every_preset(capsys):
    names = [line.split()[0] for line in printed(capsys, "presets").splitlines()[1:]]
    assert names == [preset.name for preset in (*PRESETS, *families.PRESETS)]


def test_explain_shows_each_setting_with_its_value_and_origin(capsys, tmp_path: Path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("preset: luong-2015\nsize: small\ndata:\n  pairs: none.tsv\n", encoding="utf-8")
    lines = printed(capsys, "explain", str(recipe), "training.seed=7").splitlines()
    rows = {line.split()[0]: " ".join(line.split()[1:]) for line in lines}
    assert rows["preset"] == "luong-2015 recipe.yaml, line 1"
    assert rows["data.pairs"] == "none.tsv recipe.yaml, line 4"
    assert rows["training.seed"] == "7 command line"
    assert rows["model.encoder.kind"].endswith("preset luong-2015 (small)")
    assert {line.rsplit("  ")[-1] for line in lines} >= {"default", "command line"}


def test_explain_lists_all_problems_of_recipe_and_words(capsys, tmp_path: Path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("preset: luong-2015\ndata: {pairs: none.tsv}\ntraining: {sede: 5}\n", encoding="utf-8")
    with pytest.raises(SystemExit) as left:
        main(["explain", str(recipe), "steps=3"])
    assert left.value.code == 2
    err = capsys.readouterr().err
    assert "  line 3   training.sede: unknown field; did you mean `seed`?" in err
    assert "command line: 1 problem\n  steps: unknown field; did you mean `training.steps`?" in err


def rows_of(printed_text: str) -> dict[str, str]:
    return {line.split()[0]: " ".join(line.split()[1:]) for line in printed_text.splitlines()}


@pytest.mark.parametrize("task", ["", "task: pretraining\n"])
def test_explain_shows_which_length_wins(capsys, tmp_path: Path, task: str):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"{task}training:\n  budget: 30m\n", encoding="utf-8")
    rows = rows_of(printed(capsys, "explain", str(recipe)))
    assert rows["training.budget"].startswith("1800.0 recipe.yaml, line ")
    rows = rows_of(printed(capsys, "explain", str(recipe), "training.steps=100"))
    assert rows["training.steps"] == "100 command line"
    assert rows["training.budget"] == "null default"
    with pytest.raises(SystemExit) as left:
        main(["explain", str(recipe), "training.steps=100", "training.epochs=2"])
    assert left.value.code == 2
    assert "got `steps` and `epochs`" in capsys.readouterr().err


def test_explain_reads_settings_without_a_recipe(capsys):
    rows = rows_of(printed(capsys, "explain", "task=pretraining", "preset=gpt2"))
    assert rows["preset"] == "gpt2 command line"
    assert rows["data.text"] == "TEXT.txt an example: no text is named"
    assert rows["training.budget"] == "1200.0 preset gpt2 (mini)"
    rows = rows_of(printed(capsys, "explain", "preset=luong-2015"))
    assert rows["data.pairs"] == "PAIRS.tsv an example: no pairs are named"
    with pytest.raises(SystemExit) as left:
        main(["explain", "one.yaml", "two.yaml"])
    assert left.value.code == 2
    assert "one.yaml, two.yaml: one recipe at a time" in capsys.readouterr().err


def test_schema_is_json_and_knows_the_sections(capsys):
    schema = json.loads(printed(capsys, "schema"))
    assert {"data", "model", "training"} <= set(schema["properties"])
