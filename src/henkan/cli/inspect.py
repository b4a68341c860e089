"""``henkan inspect gradients``, ``embeddings`` and ``attention``: pictures of what goes on inside a model.

Each writes NAME.png, NAME.html and NAME.json into a folder. Work and pictures are in :mod:`henkan.inspection`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from henkan.errors import ConfigError, DataError, StorageError

if TYPE_CHECKING:
    from henkan.inspection.gradients import Subject
    from henkan.model import Model

inspect = typer.Typer(help="Pictures of what goes on inside a model.", no_args_is_help=True)

OUTPUT = Annotated[Path, typer.Option(help="Folder for the picture, the page and the numbers.")]
USUAL_CELLS = ("rnn", "rnn@2", "relu-rnn", "lstm-1997", "lstm", "gru")


@inspect.command("gradients", short_help="How far back in time an error reaches.")
def gradients(
    subjects: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL|PRESET|CELL]...",
            help="Cells and presets on a task: rnn, lstm-1997, gru …; rnn@2 has twice its recurrent weights. "
            "Models and presets on pairs.",
            show_default=" ".join(USUAL_CELLS),
        ),
    ] = None,
    task: Annotated[str, typer.Option(help="Without --pairs: adding (the adding problem) or copy (with delay).")] = (
        "adding"
    ),
    length: Annotated[int, typer.Option(help="Of the task: steps of adding, delay of copy.", min=2, max=10_000)] = 100,
    size: Annotated[int, typer.Option(help="Width of the cells on a task.", min=1, max=8192)] = 64,
    updates: Annotated[
        int, typer.Option(help="First do so many updates of plain gradient descent on the task.", min=0)
    ] = 0,
    rate: Annotated[float, typer.Option(help="Learning rate of these updates.", min=0)] = 0.01,
    pairs: Annotated[Path | None, typer.Option(help="Your own: a .tsv or .jsonl of pairs; .gz too.")] = None,
    rows: Annotated[int, typer.Option(help="Sequences or pairs in a batch.", min=1)] = 32,
    batches: Annotated[int, typer.Option(help="Batches to measure.", min=1)] = 4,
    clip: Annotated[float, typer.Option(help="Largest global norm, where gradients are clipped.", min=1e-9)] = 1.0,
    seed: Annotated[int, typer.Option(help="Of fresh weights.")] = 1,
    output: OUTPUT = Path("inspection"),
) -> None:
    """How large errors are on their way back: the norm of dL/dh[t] by distance, with clipping on and off."""
    from henkan.cli.subjects import long_range_task, on_pairs, on_task
    from henkan.inspection.page import gradients_json, gradients_page
    from henkan.inspection.pictures import check_matplotlib, gradients_picture

    check_matplotlib()
    _make(output)
    names = list(subjects or ([] if pairs else USUAL_CELLS))
    if not names:
        raise ConfigError("name a model folder or a preset to read the pairs")
    if pairs is not None:
        if updates:
            raise ConfigError(
                "--updates trains on a task; models read pairs as they are: leave --updates or --pairs out"
            )
        measured = on_pairs(names, pairs, rows, batches, clip, seed)
        remarks = [f"Encoder states, over the first {rows * batches:,} pairs of {pairs.name} at most."]
        counted = "batch"
    else:
        chosen = long_range_task(task, length)
        measured = on_task(names, chosen, size, updates, rate, rows, batches, clip, seed)
        trained = f"after {updates:,} updates of gradient descent" if updates else "with fresh weights"
        remarks = [f"{chosen.name.capitalize()} over {chosen.steps} steps, cells of {size} {trained}."]
        counted = "update" if updates else "batch"
    remarks.append("Distance 0 is the last step that is read; norms are means over the rows that reach so far.")
    remarks += [line for subject in measured if (line := subject.diverged(updates))]
    across = "steps from the end"
    missing = gradients_picture(output / "gradients.png", measured, clip, across, counted)
    page = gradients_page("Gradients through time", remarks, measured, clip, across, counted)
    facts = {"about": remarks[0], "clip": clip, "global_norm_of_each": counted}
    _write(output, "gradients", page, gradients_json(measured, facts))
    _print_flows(measured)
    _tell([output / "gradients.png"], output, "gradients", missing)


@inspect.command("embeddings", short_help="Sentences as points of a map.")
def embeddings(
    model: Annotated[Path, typer.Argument(help="A model folder, or a run folder.")],
    groups: Annotated[
        Path | None,
        typer.Option(
            help="group<TAB>sentence on each line, such as paraphrases, active and passive; .gz too.",
            show_default="English sentences, active and passive",
        ),
    ] = None,
    output: OUTPUT = Path("inspection"),
) -> None:
    """Sentences as points: what the encoder makes of them, on the plane of their largest variance."""
    from henkan.cli.subjects import run_name
    from henkan.inspection.embeddings import PARAPHRASES, neighbours, principal_plane, read_groups, sentence_vectors
    from henkan.inspection.page import map_json, map_page
    from henkan.inspection.pictures import check_matplotlib, map_picture
    from henkan.model import load

    check_matplotlib()
    rows = list(PARAPHRASES) if groups is None else read_groups(groups)
    _make(output)
    loaded = load(model)
    labels, sentences = [group for group, _ in rows], [sentence for _, sentence in rows]
    vectors = sentence_vectors(
        loaded.network, loaded.tokenizers[0], sentences, reverse_source=loaded.config.data.reverse_source
    )
    plane, near = principal_plane(vectors), neighbours(vectors, labels)
    shares = " and ".join(f"{share:.1%}" for share in plane.explained)
    told = [f"{len(rows)} sentences, {vectors.shape[1]:,} numbers each; variance explained: {shares}"]
    if near is not None:
        told.append(
            f"nearest neighbour of the same group: {near.same:.0%} (by chance {near.chance:.0%}); "
            f"distance within groups {near.ratio:.2f} of that between"
        )
    missing = map_picture(output / "embeddings.png", plane, labels, sentences, run_name(model))
    page = map_page(
        f"Sentences in {run_name(model)}", [f"{line[0].upper()}{line[1:]}." for line in told], plane, labels, sentences
    )
    _write(output, "embeddings", page, map_json(plane, near, labels, sentences, {"model": run_name(model)}))
    for line in told:
        typer.echo(line)
    _tell([output / "embeddings.png"], output, "embeddings", missing)


@inspect.command("attention", short_help="Where the model looked, word by word.")
def attention(
    model: Annotated[Path, typer.Argument(help="A model folder, or a run folder.")],
    text: Annotated[list[str] | None, typer.Option(help="A source; several allowed.")] = None,
    source: Annotated[Path | None, typer.Option(help="Instead: sources, one a line; .gz too.")] = None,
    target: Annotated[
        Path | None,
        typer.Option(help="Targets to force, line by line.", show_default="what the model produces"),
    ] = None,
    count: Annotated[int, typer.Option(help="Only the first so many sources.", min=1, max=100)] = 8,
    words: Annotated[
        bool, typer.Option("--words", help="Merge subwords to words, where words have spaces between them.")
    ] = False,
    layer: Annotated[
        int | None, typer.Option(help="Of a Transformer, from 1.", show_default="the one that aligns best")
    ] = None,
    head: Annotated[int | None, typer.Option(help="Of a Transformer, from 1.", show_default="their mean")] = None,
    beam: Annotated[int | None, typer.Option(help="Beam size; 1 is greedy.", show_default="the model's")] = None,
    output: OUTPUT = Path("inspection"),
) -> None:
    """Alignment pictures: where the model looked while it produced each word."""
    from henkan.cli.subjects import run_name
    from henkan.inspection.attention import View, align, describe
    from henkan.inspection.page import attention_json, attention_page
    from henkan.inspection.pictures import alignment_picture, check_matplotlib
    from henkan.model import load

    check_matplotlib()
    sources = _sources(text, source, count)
    targets = None if target is None else _targets(target, len(sources))
    _make(output)
    loaded = load(model)
    pairs = _ids(loaded, sources, targets, beam)
    view = View(layer, head)
    alignments = align(
        loaded.network, loaded.tokenizers, pairs, reverse_source=loaded.config.data.reverse_source, view=view
    )
    if words:
        vocabulary = loaded.config.vocabulary
        cut = [kind.kind != "word" for kind in (vocabulary.source, vocabulary.target or vocabulary.source)]
        alignments = [alignment.words(*cut) for alignment in alignments]
    about = describe(loaded.network, view)
    digits = len(str(len(alignments)))
    pictures = []
    missing = ""
    for number, alignment in enumerate(alignments, start=1):
        name = f"attention-{number:0{digits}}.png" if len(alignments) > 1 else "attention.png"
        pictures.append(output / name)
        missing += alignment_picture(pictures[-1], alignment, f"{run_name(model)}: {about}")
    whose = "the model's own targets" if targets is None else "given targets"
    remarks = [f"{about[0].upper()}{about[1:]}; {whose}."]
    facts = {"model": run_name(model), "weights": about, "targets": whose}
    page = attention_page(f"Attention of {run_name(model)}", remarks, alignments)
    _write(output, "attention", page, attention_json(alignments, facts))
    _tell(pictures, output, "attention", missing)


def _sources(text: Sequence[str] | None, file: Path | None, count: int) -> list[str]:
    from itertools import islice

    from henkan.data.readers import read_lines

    if bool(text) == (file is not None):
        raise ConfigError("give --text once or more, or --source with a file")
    found = list(text or []) if file is None else list(islice(read_lines(file), count))
    if not all(line.strip() for line in found):
        raise DataError("a source is empty; there is nothing to look at")
    return found[:count]


def _targets(file: Path, count: int) -> list[str]:
    from itertools import islice

    from henkan.data.readers import read_lines

    found = list(islice(read_lines(file), count))
    if len(found) < count:
        raise DataError(f"{file}: {len(found)} lines for {count} sources; each source needs its target")
    return found


def _ids(model: "Model", sources: list[str], targets: list[str] | None, beam: int | None) -> list[tuple[Any, Any]]:
    """Source and target of each pair as the model reads and writes them; its own outputs piece by piece."""
    from henkan.text.normalise import normalise

    written = model.tokenizers[1]
    source_ids = model.translator().encode(sources)
    if targets is not None:
        return list(zip(source_ids, written.encode([normalise(line) for line in targets]), strict=True))
    known = {piece: number for number, piece in enumerate(written.pieces(range(written.size)))}
    outputs = [found[0].pieces for found in model.explain(sources, model.options(beam))]
    return list(zip(source_ids, [[known[piece] for piece in pieces] for pieces in outputs], strict=True))


def _print_flows(subjects: Sequence["Subject"]) -> None:
    """A line for each curve."""
    from statistics import median

    from henkan.inspection.curves import label

    lines = [("", "dL/dh at the end", "at the start", "a step", "dL/dc at the end", "at the start", "global norm")]
    for subject in subjects:
        for flow in subject.off.flows:
            cells = ("", "") if flow.cell is None else (f"{flow.cell[0]:.1e}", f"{flow.cell[-1]:.1e}")
            hidden = (f"{flow.hidden[0]:.1e}", f"{flow.hidden[-1]:.1e}", f"x {flow.factor():.3f}")
            norm = f"{median(subject.off.norms):.2g}" if subject.off.norms else "not finite"
            lines.append((label(subject, flow), *hidden, *cells, norm))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for name, *numbers in lines:
        aligned = [number.rjust(width) for number, width in zip(numbers, widths[1:], strict=True)]
        typer.echo("  ".join([name.ljust(widths[0]), *aligned]).rstrip())


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"--output {folder}: cannot be made ({error.strerror}); name another folder") from error


def _write(folder: Path, name: str, page: str, numbers: str) -> None:
    from henkan.folder import write_texts

    write_texts({folder / f"{name}.html": page, folder / f"{name}.json": numbers})


def _tell(pictures: Sequence[Path], folder: Path, name: str, missing: str) -> None:
    if missing:
        shown = "".join(sorted(set(missing)))[:40]
        typer.echo(f"no installed font has {shown}: they are boxes in the PNG; the page shows them right", err=True)
    typer.echo(f"written: {', '.join(map(str, [*pictures, folder / f'{name}.html', folder / f'{name}.json']))}")
