"""What docs/tasks.md shows can be typed: commands exist, and recipes are complete on files of the forms it shows."""

import json
import re
import shlex
from pathlib import Path

import pytest
import typer.main

from henkan.cli.app import application
from henkan.recipe import TASKS, given_layers, kind, read_recipe, settings_layers
from henkan.settings import merge

PAGE = (Path(__file__).parents[1] / "docs" / "tasks.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
RECIPES = {text.split()[1]: text for form, text in BLOCKS if form}  # the first line is a comment with the name
LINES = [line for form, text in BLOCKS if not form for line in text.splitlines() if "henkan " in line]
COMMANDS = [line[line.index("henkan ") :] for line in LINES]
NAMES = ["anna", "bert", "carla", "dora", "emil", "fritz"]
THINGS = ["tea", "bread", "cake", "soup", "rice", "milk"]


def write_files(folder: Path) -> None:
    """Every file that the page names, in the form it shows, with a few lines each."""
    told = [(name, thing) for name in NAMES for thing in THINGS]
    liked = [f"{name} likes {thing} ." for name, thing in told]
    labelled = "".join(f"{('bad', 'good')[number % 2]}\t{line}\n" for number, line in enumerate(liked))
    tagged = "\n".join(f"{name} B-PER\nlikes O\n{thing} O\n" for name, thing in told)
    choices = [
        {"question": f"who likes {thing} ?", "choices": [name, "the day", "it"], "label": 0} for name, thing in told
    ]
    asked = [
        {
            "context": line,
            "qas": [
                {
                    "id": line,
                    "question": f"what does {name} like ?",
                    "answers": [{"text": thing, "answer_start": line.index(thing)}],
                }
            ],
        }
        for line, (name, thing) in zip(liked, told, strict=True)
    ]
    turns = [{"source": f"what does {name} like ?", "target": f"{thing} ."} for name, thing in told]
    pairs = "".join(
        f"{line} it is so .\t{thing} for {name} .\n" for line, (name, thing) in zip(liked, told, strict=True)
    )
    for ending in ("", "-test"):
        (folder / f"books{ending}.txt").write_text("\n".join(f"{line}\n{line}\n" for line in liked))
        (folder / f"reviews{ending}.tsv").write_text(labelled)
        (folder / f"entities{ending}.conll").write_text(tagged)
        (folder / f"choices{ending}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in choices))
        (folder / f"questions{ending}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in asked))
        for name in ("summaries", "code"):
            (folder / f"{name}{ending}.tsv").write_text(pairs)
    (folder / "dialogue.jsonl").write_text("".join(json.dumps(turn) + "\n" for turn in turns))
    (folder / "glue" / "SST-2").mkdir(parents=True)
    for part in ("train", "dev"):
        rows = "".join(f"{line}\t{number % 2}\n" for number, line in enumerate(liked))
        (folder / "glue" / "SST-2" / f"{part}.tsv").write_text("sentence\tlabel\n" + rows)
    rows = "".join(f"{number}\t{line}\n" for number, line in enumerate(liked))
    (folder / "glue" / "SST-2" / "test.tsv").write_text("index\tsentence\n" + rows)
    for name, text in RECIPES.items():
        (folder / name).write_text(text)


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tasks")
    write_files(folder)
    return folder


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_are_complete(files, name, monkeypatch):
    """Without the model to start from, which a test has no time to train."""
    monkeypatch.chdir(files)
    changes = ["start=null"] if "start:" in RECIPES[name] else []
    given = given_layers(Path(name), changes)
    chosen = kind(merge(given))
    layers = settings_layers(Path(name), changes) if chosen is kind({}) else chosen.settle(given)[0]
    assert isinstance(read_recipe(layers), chosen)


def test_every_task_is_in_the_table():
    assert not [task for task in TASKS if f"| `{task}` |" not in PAGE and task != "vectors"]


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_and_option_exists(line):
    words = shlex.split(line)[1:]
    group = typer.main.get_command(application(words))
    while hasattr(group, "resolve_command"):
        context = group.make_context("henkan", [], resilient_parsing=True)
        _, group, words = group.resolve_command(context, words)
    group.make_context("", words)


def test_every_run_and_recipe_that_is_used_is_made():
    trained = [words for line in COMMANDS if (words := shlex.split(line))[1] == "train"]
    made = {words[words.index("--output") + 1] for words in trained}
    used = set(re.findall(r"(?:predict|evaluate|start:) (runs/\w+)", PAGE)) - {"runs/name"}
    assert used <= made, used - made
    assert {words[2] for words in trained} == RECIPES.keys()
