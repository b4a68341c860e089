"""``henkan predict`` (and ``translate``): lines in, lines out, in order, as they are ready."""

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from henkan.cli.given import refuse_given

if TYPE_CHECKING:
    from henkan.model import LineModel, TextModel
    from henkan.models.inference import Precision


class Format(Enum):
    """What a line of output is."""

    TEXT = "text"
    TSV = "tsv"
    JSONL = "jsonl"


_OF_EVERY_TASK = {"model", "file", "others", "precision", "threads"}
"""Parameters that mean something for models which do not search as well."""


def predict(
    context: typer.Context,
    model: Annotated[Path, typer.Argument(help="A model folder, or a run folder.")],
    file: Annotated[Path, typer.Argument(help="One input a line; - is standard input.")] = Path("-"),
    others: Annotated[
        list[Path] | None,
        typer.Option("--with", help="One more model: predict with the mean of all. Several allowed."),
    ] = None,
    beam: Annotated[int | None, typer.Option(help="Beam size; 1 is greedy.", show_default="the model's")] = None,
    n_best: Annotated[int, typer.Option(help="Outputs for each input.")] = 1,
    length_penalty: Annotated[str | None, typer.Option(help="gnmt, plain or none.", show_default="the model's")] = None,
    alpha: Annotated[
        float | None, typer.Option(help="Strength of the length penalty.", show_default="the model's")
    ] = None,
    coverage: Annotated[
        float | None,
        typer.Option(help="Strength of the penalty for source left unattended.", show_default="the model's"),
    ] = None,
    max_ratio: Annotated[
        float | None, typer.Option(help="Longest output, in tokens for each input token.", show_default="the model's")
    ] = None,
    max_length: Annotated[
        int | None, typer.Option(help="Longest output in tokens.", show_default="the model's")
    ] = None,
    align: Annotated[
        bool, typer.Option("--align", help="With each output, where its tokens looked (tsv, jsonl).")
    ] = False,
    output_format: Annotated[
        Format, typer.Option("--format", help="text; tsv: score, output; jsonl: all.")
    ] = Format.TEXT,
    long_lines: Annotated[
        str, typer.Option(help="Inputs over --longest: split at sentence ends and joined again, or refuse.")
    ] = "split",
    longest: Annotated[
        int | None, typer.Option(help="Longest input in tokens.", show_default="the longest trained on", min=8)
    ] = None,
    precision: Annotated[
        str, typer.Option(help="Of products on a processor: auto (bf16 where it is made for that), fp32, bf16, int8.")
    ] = "auto",
    processes: Annotated[
        int | None,
        typer.Option(help="Processes that share the work.", show_default="one for each processor, at most 8", min=1),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="Threads of each process.", show_default="processors / processes", min=1)
    ] = None,
    submission: Annotated[
        Path | None,
        typer.Option(
            help="Write there, under their official names, the outputs for the test data in FILE: GLUE's folder or one "
            "of its test files, or a file of questions as SQuAD's.",
            metavar="FOLDER",
        ),
    ] = None,
) -> None:
    """Run a model, or the mean of several, over a file or standard input."""
    import sys

    import torch

    from henkan.errors import ConfigError
    from henkan.model import LineModel, load_any
    from henkan.prediction import Predictor, windows
    from henkan.tasks.workers import Workers
    from henkan.training.signals import raising

    if long_lines not in ("split", "refuse"):
        raise ConfigError(f"--long-lines {long_lines!r}: expected split or refuse")
    if align and output_format is Format.TEXT:
        raise ConfigError("--align: text has no room for it; choose --format tsv or jsonl")
    processors = torch.get_num_threads()
    workers = Workers.usual(processes, threads)
    workers.prepare()
    loaded = load_any(model, *(others or []), precision=cast("Precision", precision))
    if submission is not None or isinstance(loaded, LineModel):
        torch.set_num_threads(threads or processors)  # they run in this process alone
    if submission is not None:
        refuse_given(context, _OF_EVERY_TASK | {"submission"}, "--submission writes files of a form of their own")
        submit(loaded, file, submission)
        return
    if isinstance(loaded, LineModel):
        why = f"a model of the task {loaded.config.task} does not search, and writes plain lines in one process"
        refuse_given(context, _OF_EVERY_TASK, why)
        say_lines(loaded, file)
        return
    longest = longest or max(8, loaded.config.data.filters.max_length)
    given = {
        "beam": max(loaded.config.decoding.beam, n_best) if beam is None else beam,
        "n_best": n_best,
        "length_penalty": length_penalty,
        "alpha": alpha,
        "coverage": coverage,
        "max_ratio": max_ratio,
        "max_length": max_length,
    }
    predictor = Predictor(
        loaded,
        {name: value for name, value in given.items() if value is not None},
        align,
        longest,
        long_lines == "split",
        workers,
    )
    with raising("what was written is whole lines from the first on"):
        for rows in predictor.rows(windows(file), output_format.value):
            sys.stdout.write("".join(f"{row}\n" for row in rows))
            sys.stdout.flush()
    if predictor.split:
        typer.echo(f"{predictor.split:,} inputs over {longest} tokens were translated in parts", err=True)
    if predictor.cut:
        cure = "raise --max-ratio or --max-length"
        typer.echo(f"{predictor.cut:,} outputs were cut at their largest length before they ended; {cure}", err=True)


def say_lines(model: "LineModel", file: Path) -> None:
    """Labels, answers or continuations for the lines of a file, as they are ready; they are no search's."""
    import sys

    from henkan.prediction import windows
    from henkan.tasks.base import Cutting
    from henkan.training.signals import raising

    speaker = model.config.lines(model.network, model.tokenizers)
    with raising("what was written is whole lines from the first on"):
        for _, lines in windows(file):
            sys.stdout.write("".join(f"{output}\n" for output in speaker.predict(lines)))
            sys.stdout.flush()
    if isinstance(speaker, Cutting) and (said := speaker.cut.sentence()):
        typer.echo(said, err=True)


def submit(model: "LineModel | TextModel", tests: Path, folder: Path) -> None:
    """Files that somebody else scores, for test data in its official form."""
    from henkan.errors import ConfigError
    from henkan.model import LineModel
    from henkan.recipe.base import Submitting

    if not isinstance(model, LineModel) or not isinstance(model.config, Submitting):
        raise ConfigError(f"--submission: models of the task {model.config.task} have none; leave it out")
    for path in model.config.submit(model.network, model.tokenizers, tests, folder):
        typer.echo(f"written: {path}")
