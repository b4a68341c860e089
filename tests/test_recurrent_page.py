"""What docs/recurrent.md shows can be typed: commands exist, settings make a model."""

import re
import shlex
from pathlib import Path

import pytest
import typer.main

from henkan.cli.app import application
from henkan.config import validate
from henkan.presets import PRESETS
from henkan.recipe import RunConfig, with_preset
from henkan.settings import Layer, parse_overrides
from henkan.tasks.survey import USUAL

PAGE = (Path(__file__).parents[1] / "docs" / "recurrent.md").read_text(encoding="utf-8")
COMMANDS = [
    line
    for block in re.findall(r"```\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("henkan ")
]


def words_of(line: str) -> list[str]:
    return shlex.split(line)[1:]


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_and_option_exists(line: str):
    words = words_of(line)
    group = typer.main.get_command(application(words))
    while hasattr(group, "resolve_command"):
        context = group.make_context("henkan", [], resilient_parsing=True)
        name, group, words = group.resolve_command(context, words)
    group.make_context(name, words)


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.startswith("henkan train ")])
def test_settings_make_a_model(line: str):
    words = words_of(line)
    preset = words[words.index("--preset") + 1]
    told = parse_overrides([word for word in words if "=" in word])
    settings, _ = with_preset([Layer({"preset": preset, "data": {"pairs": "pairs.tsv"}}, "command"), told], USUAL)
    config = validate(RunConfig, settings)
    assert config.model.build(23, 23)


def test_every_run_that_is_used_is_made():
    made = {words[words.index("--output") + 1] for line in COMMANDS if (words := words_of(line))[0] == "train"}
    used = set(re.findall(r"(?:predict|--with) (runs/\S+)", PAGE))
    assert used <= made, used - made


def test_every_recurrent_preset_is_in_the_table():
    recurrent = [preset.name for preset in PRESETS if not preset.name.startswith("transformer")]
    assert not [name for name in recurrent if f"`{name}`" not in PAGE]
