"""``henkan train``: flags are short names for settings of a recipe; everything else is in ``henkan.run``."""

from pathlib import Path
from typing import Annotated

import typer

from henkan.cli.words import split_words
from henkan.errors import ConfigError


def train(
    recipe: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RECIPE.yaml] [KEY.PATH=VALUE …]", help="A recipe, and settings that win over it."),
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Run folder to make, or to go on with.")] = None,
    source: Annotated[Path | None, typer.Option(help="Sources, one a line; .gz too.")] = None,
    target: Annotated[Path | None, typer.Option(help="Targets, line by line those of the sources.")] = None,
    pairs: Annotated[Path | None, typer.Option(help="Instead: pairs in one file, .tsv or .jsonl; .gz too.")] = None,
    valid_source: Annotated[Path | None, typer.Option(help="The same for validation;")] = None,
    valid_target: Annotated[Path | None, typer.Option(help="without them, a part of")] = None,
    valid_pairs: Annotated[Path | None, typer.Option(help="the pairs is held out.")] = None,
    preset: Annotated[
        str | None, typer.Option(help="Architecture; see `henkan presets`.", show_default="by the amount of data")
    ] = None,
    size: Annotated[str | None, typer.Option(help="auto, small or published.", show_default="auto")] = None,
    budget: Annotated[
        str | None, typer.Option(help="Time until the model is written: 90s, 10m, 2h.", show_default="20m")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Instead of a budget: so many updates.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Instead of a budget: so often through the pairs.")] = None,
    processes: Annotated[
        str | None, typer.Option(help="Processes on this machine: a number or auto.", show_default="auto")
    ] = None,
    threads: Annotated[str | None, typer.Option(help="Threads of each: a number or auto.", show_default="auto")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --output.")] = False,
) -> None:
    """Train a model on your own pairs, or by a recipe."""
    from henkan.cli.app import STARTED

    file, words = split_words(recipe or [])
    if output is None:
        raise ConfigError("--output: name the folder of the run, for example --output runs/first")
    flags: dict[str, object] = {
        "preset": preset,
        "size": size,
        "data.source": source,
        "data.target": target,
        "data.pairs": pairs,
        "data.valid_source": valid_source,
        "data.valid_target": valid_target,
        "data.valid_pairs": valid_pairs,
        "training.budget": budget,
        "training.steps": steps,
        "training.epochs": epochs,
        "training.processes": processes,
        "training.threads": threads,
    }

    from henkan.run import train as run

    run(
        file,
        [*(f"{name}={_quoted(value)}" for name, value in flags.items() if value is not None), *words],
        output=output,
        resume=resume,
        started=STARTED,
    )


def _quoted(value: object) -> str:
    """A path as a YAML text, whatever it looks like; other values as they are."""
    return "'" + str(value).replace("'", "''") + "'" if isinstance(value, Path) else str(value)
