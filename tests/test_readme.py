"""What the README shows can be typed."""

import ast
import re
import shlex
from pathlib import Path

import pytest
import typer.main

from henkan.cli.app import application

PAGES = [Path(__file__).parents[1] / name for name in ("README.md", "README.ja.md")]
BLOCKS = {page.name: re.findall(r"```(\w*)\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL) for page in PAGES}
COMMANDS = sorted(
    {
        line.partition("#")[0].strip()
        for blocks in BLOCKS.values()
        for _, text in blocks
        for line in text.splitlines()
        if line.startswith("henkan ")
    }
)


def shown(page: str) -> list[list[str]]:
    """The words of every line with a command, the language of the example aside."""
    lines = [line.partition("#")[0] for _, text in BLOCKS[page] for line in text.splitlines() if "henkan" in line]
    return [re.sub(r"\.(de|ja)\b", ".xx", line).split() for line in lines]


def test_both_pages_show_the_same_commands():
    assert shown("README.md") == shown("README.ja.md")


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_and_option_exists(line: str):
    words = shlex.split(line)[1:]
    group = typer.main.get_command(application(words))
    name, command, rest = group.resolve_command(group.make_context("henkan", [], resilient_parsing=True), words)
    assert command is not None
    command.make_context(name, rest)


def test_python_code_is_python():
    code = [text for blocks in BLOCKS.values() for language, text in blocks if language == "python"]
    assert len(code) == len(PAGES)
    for text in code:
        ast.parse(text)
