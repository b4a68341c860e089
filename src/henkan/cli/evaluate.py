"""``henkan evaluate``: a model's scores on held-out pairs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from henkan.cli.given import refuse_given
from henkan.cli.score import METRICS
from henkan.errors import ConfigError

if TYPE_CHECKING:
    from henkan.models.inference import Precision


def evaluate(
    context: typer.Context,
    model: Annotated[Path, typer.Argument(help="A model folder, or a run folder.")],
    others: Annotated[
        list[Path] | None,
        typer.Option("--with", help="One more model: score the mean of all. Several allowed; nothing is written."),
    ] = None,
    source: Annotated[Path | None, typer.Option(help="Sources, one a line; .gz too.")] = None,
    reference: Annotated[
        list[Path] | None, typer.Option(help="Right answers, one a line; several files allowed.")
    ] = None,
    pairs: Annotated[
        Path | None,
        typer.Option(
            help="Instead: a .tsv of sources and one or more right answers each, or a .jsonl; .gz too. "
            "The fields of the recipe are read where the file has such."
        ),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="For other tasks: a test file of the kind that the model was trained on.")
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(help=f"{', '.join(METRICS)}. Several allowed.", show_default="those of the recipe"),
    ] = None,
    beam: Annotated[int | None, typer.Option(help="Beam size; 1 is greedy.", show_default="the model's")] = None,
    outputs: Annotated[Path | None, typer.Option(help="Also write the model's outputs there, one a line.")] = None,
    unseen: Annotated[
        bool,
        typer.Option("--unseen", help="Also score without the sources that are in the recipe's training files, too."),
    ] = False,
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
) -> None:
    """Score a model: signatures, 95 % intervals, scores by length; written to metrics.json and the run's report."""
    import torch

    from henkan.data.readers import read_answers
    from henkan.evaluation import evaluate as score
    from henkan.evaluation import record
    from henkan.metrics.score import shown
    from henkan.model import load
    from henkan.tasks.workers import Workers

    if data is not None:
        why = "--data is for models that do not turn text into text"
        refuse_given(context, {"model", "data", "precision", "threads"}, why)
        if threads is not None:
            torch.set_num_threads(threads)
        score_lines(model, data, cast("Precision", precision))
        return
    if [pairs is not None, source is not None, bool(reference)] not in ([True, False, False], [False, True, True]):
        raise ConfigError("give --pairs with a .tsv, or --source and --reference; --data for models of other tasks")
    if outputs is not None and not outputs.parent.is_dir():
        raise ConfigError(f"--outputs {outputs}: there is no folder {outputs.parent}")
    metrics = list(dict.fromkeys(metric or []))
    if unknown := [name for name in metrics if name not in METRICS]:
        raise ConfigError(f"metric {unknown[0]!r}: expected one of {', '.join(METRICS)}")
    workers = Workers.usual(processes, threads)
    workers.prepare()
    loaded = load(model, *(others or []), precision=cast("Precision", precision))
    if pairs is not None:
        rows = loaded.config.references(pairs)
    else:
        assert source is not None and reference is not None
        rows = read_answers(source, reference)
    sources, references = [row[0] for row in rows], [row[1] for row in rows]
    training = loaded.config.data.training() if unseen else None
    typer.echo(f"predicting {len(sources):,} outputs", err=True)
    evaluation = score(loaded, sources, references, loaded.options(beam), metrics, workers, training)
    if outputs is not None:
        outputs.write_text("".join(f"{line}\n" for line in evaluation.outputs), encoding="utf-8", newline="\n")
    for found in evaluation.scores:
        typer.echo(f"{found.name} {shown(found.value)}  (95 % interval {found.interval})")
        typer.echo(f"  {found.signature}")
    if evaluation.unseen is not None and not evaluation.unseen.scores:
        typer.echo("every source is in the training files, so no score is without them")
    elif evaluation.unseen is not None:
        typer.echo(f"without the {evaluation.unseen.seen:,} sources that are in the training files:")
        for found in evaluation.unseen.scores:
            typer.echo(f"  {found.name} {shown(found.value)}  (95 % interval {found.interval})")
    if evaluation.cut:
        typer.echo(f"{evaluation.cut:,} outputs were cut at their largest length before they ended")
    if not others:  # what several models reach together belongs to none of their folders
        typer.echo(f"written to {record(evaluation, model)}")


def score_lines(model: Path, data: Path, precision: "Precision") -> None:
    """Scores of a model of another task, printed and kept in its folder."""
    import json

    from henkan.folder import replace_file
    from henkan.metrics.score import shown
    from henkan.model import LineModel, load_any

    loaded = load_any(model, precision=precision)
    if not isinstance(loaded, LineModel):
        raise ConfigError(f"{model}: a model of pairs; give --source and --reference, or --pairs")
    scores = loaded.score(data)
    for found in scores:
        typer.echo(
            f"{found.name} {shown(found.value)}" + (f"  (95 % interval {found.interval})" * bool(found.interval))
        )
        typer.echo(f"  {found.signature}")
    folder = model if (model / "manifest.json").is_file() else model / "model"
    text = json.dumps({"scores": [score.to_json() for score in scores]}, ensure_ascii=False, indent=1) + "\n"
    replace_file(folder, "metrics.json", text)
    typer.echo(f"written to {folder / 'metrics.json'}")
