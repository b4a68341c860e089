"""``henkan presets``, ``henkan explain`` and ``henkan schema``: what exists and what would be used."""

from typing import Annotated, Any

import typer


def presets() -> None:
    """List the architectures by name, with their sizes and the papers they come from."""
    from henkan.presets import describe

    typer.echo(_columns([("PRESET", "SIZES", "PAPER", ""), *map(_texts, describe())]))


def explain(
    recipe: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RECIPE.yaml] [KEY.PATH=VALUE …]", help="A recipe, and settings that win over it."),
    ] = None,
) -> None:
    """Show every effective setting of a run, and where it came from: the recipe, its preset, or the default."""
    from henkan.cli.words import split_words
    from henkan.config import origins
    from henkan.recipe import file_layers, given_layers, kind, read_recipe, settings_layers
    from henkan.settings import Layer, merge

    file, words = split_words(recipe or [])
    given = given_layers(file, words)
    chosen = kind(merge(given))
    if chosen is kind({"task": "pretraining"}) and "data" not in merge(given):
        given = [Layer({"data": {"text": "TEXT.txt"}}, "an example: no text is named"), *given]
    layers = settings_layers(file, words) if chosen is kind({}) else chosen.settle(given)[0]
    layers = [*layers, *file_layers(given)]
    settings = read_recipe(layers)
    settings.check_places()
    found = origins(settings, layers)
    typer.echo(_columns([("SETTING", "VALUE", "FROM"), *map(_texts, found)]))


def schema(task: Annotated[str, typer.Option(help="The recipe's task.")] = "pairs") -> None:
    """Print the JSON Schema of a recipe: point your editor at it and it completes and checks what you write."""
    import json

    from henkan.config import json_schema
    from henkan.recipe import kind

    typer.echo(json.dumps(json_schema(kind({"task": task})), indent=2, ensure_ascii=False))


def _texts(row: tuple[Any, ...]) -> tuple[str, ...]:
    """A row as texts, values as they would be written in a recipe."""
    return tuple(_text(cell) for cell in row)


def _text(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_text, value)) or "[]"
    return str(value)


def _columns(rows: list[tuple[str, ...]]) -> str:
    """Rows as lines, each column as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)
