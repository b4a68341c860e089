"""The command ``henkan``: which commands there are, and how errors end it.

Only the module of the command that was asked for is imported, so ``henkan --help`` does not wait for torch.
"""

import time

STARTED = time.monotonic()  # before anything slow is imported: a budget of ten minutes counts from here

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Annotated, Any, NoReturn

import typer

from henkan.cli import process
from henkan.errors import HenkanError, Stopped


@dataclass(frozen=True)
class Command:
    """One command: ``attribute`` of ``module`` is its function, or a Typer app with commands of its own."""

    name: str
    summary: str
    module: str
    attribute: str
    hidden: bool = False


COMMANDS = (
    Command("demo", "Train a real model on real data in minutes; nothing to prepare.", "henkan.cli.demo", "demo"),
    Command("train", "Train a model on your own pairs, or by a recipe.", "henkan.cli.train", "train"),
    Command("predict", "Run a model over a file or standard input.", "henkan.cli.predict", "predict"),
    Command("translate", "The same as predict.", "henkan.cli.predict", "predict", hidden=True),
    Command("evaluate", "Score a model on held-out pairs.", "henkan.cli.evaluate", "evaluate"),
    Command("score", "Score the output of any system; test several against the first.", "henkan.cli.score", "score"),
    Command("compare", "Several models in one table; or train some alike first.", "henkan.cli.compare", "compare"),
    Command("inspect", "Pictures of gradients, sentence vectors and attention.", "henkan.cli.inspect", "inspect"),
    Command("verify", "Re-run the self-test that a model carries.", "henkan.cli.verify", "verify"),
    Command("import", "A Hugging Face checkpoint as a model of ours.", "henkan.cli.import_", "import_"),
    Command("export", "A model for Hugging Face transformers, CTranslate2 or ONNX.", "henkan.cli.export", "export"),
    Command("data", "Corpora by name: list, get, stats; dialogues as pairs: replies.", "henkan.cli.data", "data"),
    Command("presets", "List the architectures and their sizes.", "henkan.cli.explain", "presets"),
    Command("explain", "Show the effective settings and where each came from.", "henkan.cli.explain", "explain"),
    Command("schema", "Print the JSON Schema of a recipe, for editors.", "henkan.cli.explain", "schema"),
)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and leave with its exit code: 0, 2 for bad input, 1 for a failure, 130 or 143 if stopped."""
    arguments, debug = _without_debug(sys.argv[1:] if arguments is None else arguments)
    process.prepare()
    try:
        application(arguments)(arguments, prog_name="henkan")
    except Stopped as stopped:
        if not stopped.told:
            typer.echo(str(stopped), err=True)
        _leave(stopped.exit_code, debug)
    except HenkanError as error:
        if not error.told:
            _print_error(str(error))
        _leave(error.exit_code, debug)
    except KeyboardInterrupt:
        _leave(130, debug)
    except OSError as error:
        _print_error(str(error))
        _leave(1, debug)
    except Exception as error:
        _print_error(f"unexpected {type(error).__name__}: {error}")
        if not debug:
            typer.echo("This is a fault of Henkan, not yours; the same command with --debug shows where.", err=True)
        _leave(1, debug)
    sys.exit(0)


def application(arguments: Sequence[str]) -> typer.Typer:
    """All commands; only the module of the one that ``arguments`` name is imported."""
    app = typer.Typer(
        name="henkan",
        callback=_options,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    asked = next((word for word in arguments if not word.startswith("-")), None)
    for command in COMMANDS:
        what = _load(command) if command.name == asked else _stand_in
        if isinstance(what, typer.Typer):
            app.add_typer(what, name=command.name, short_help=command.summary, hidden=command.hidden)
        else:
            app.command(command.name, short_help=command.summary, hidden=command.hidden)(what)
    return app


def _load(command: Command) -> Any:
    return getattr(import_module(command.module), command.attribute)


def _stand_in() -> None:
    """Stands in the list of commands for one that was not asked for."""


def _show_version(wanted: bool) -> None:
    if wanted:
        from henkan import __version__

        typer.echo(f"henkan {__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the whole traceback of an error; allowed anywhere.")
    ] = False,
) -> None:
    """Turn one sequence into another: train, judge, explain and run encoder-decoder models on your own pairs."""


def _without_debug(arguments: Sequence[str]) -> tuple[list[str], bool]:
    """The arguments without ``--debug``, which is taken wherever it stands before a bare ``--``."""
    words = list(arguments)
    end = words.index("--") if "--" in words else len(words)
    kept = [word for word in words[:end] if word != "--debug"]
    return kept + words[end:], len(kept) < end


def _print_error(message: str) -> None:
    typer.echo(typer.style("error:", fg="red", bold=True) + f" {message}", err=True)


def _leave(code: int, debug: bool) -> NoReturn:
    if debug:
        import traceback

        traceback.print_exc()
    sys.exit(code)
