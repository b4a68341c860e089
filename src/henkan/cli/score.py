"""``henkan score``: the output of any system against references, with intervals and paired tests."""

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from henkan.errors import ConfigError, InputError

if TYPE_CHECKING:
    from rich.table import Table

    from henkan.metrics import Comparison, Measurement, Score

METRICS = (
    *("bleu", "chrf", "ter", "exact-match", "phoneme-error-rate", "word-error-share"),
    *("rouge-1", "rouge-2", "rouge-l", "answer-exact", "answer-f1"),
)
"""The names of ``henkan.metrics.MEASURES``, here so that ``--help`` need not import it."""

References = list[list[str]]


def score(
    hypothesis: Annotated[
        list[Path],
        typer.Option(help="Output of a system, one segment a line. Several: each is tested against the first."),
    ],
    reference: Annotated[
        list[Path],
        typer.Option(
            help="Right answers, one a line; several files are several references. "
            "A .tsv holds the source and one or more answers a line; a source on several lines is one segment."
        ),
    ],
    metric: Annotated[
        list[str] | None, typer.Option(help=f"{', '.join(METRICS)}. Several allowed.", show_default="bleu, chrf, ter")
    ] = None,
    tokenize: Annotated[
        str | None,
        typer.Option(
            help="How BLEU cuts words: 13a, intl, zh, char, none, ja-mecab …", show_default="by the references"
        ),
    ] = None,
    bootstrap: Annotated[
        int, typer.Option(help="Resamples for intervals and tests; 0 leaves both out.", min=0, max=1_000_000)
    ] = 1000,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Score any system's output: signature, 95 % interval, and paired tests of several outputs against the first."""
    from rich.console import Console

    from henkan.metrics import paired

    measures = _measures(metric or ["bleu", "chrf", "ter"], tokenize)
    systems, references = _read(hypothesis, reference)
    names = [path.name for path in hypothesis]
    names = names if len(set(names)) == len(names) else [str(path) for path in hypothesis]

    measured = [[measure(lines, references) for lines in systems] for measure in measures]
    scores = [[system.score(bootstrap) for system in row] for row in measured]
    tests = [paired(row, bootstrap) if bootstrap else [] for row in measured]

    if as_json:
        result = {
            "segments": len(references),
            "references": [str(path) for path in reference],
            "systems": [
                {
                    "hypothesis": str(path),
                    "scores": [row[number].to_json() for row in scores],
                    "against_first": [row[number - 1].to_json() for row in tests if row and number],
                }
                for number, path in enumerate(hypothesis)
            ],
        }
        typer.echo(json.dumps(result, ensure_ascii=False, indent=2))
        return
    console = Console()
    console.print(_table(names, scores, tests))
    for row in scores:
        console.print(f"{row[0].name}  {row[0].signature}", style="dim", soft_wrap=True, highlight=False, markup=False)
    if any(tests):
        drawn = f"{bootstrap} resamples of the same {len(references)} segments"
        note = f"p: two-sided paired bootstrap against {names[0]}, {drawn}"
        console.print(note, style="dim", soft_wrap=True, highlight=False, markup=False)


def _measures(names: Sequence[str], tokenize: str | None) -> list[Callable[[list[str], References], "Measurement"]]:
    from henkan.metrics import MEASURES
    from henkan.metrics.bleu import measure_bleu

    unknown = [name for name in names if name not in MEASURES]
    if unknown:
        raise ConfigError(f"metric {unknown[0]!r}: expected one of {', '.join(MEASURES)}")
    if tokenize and "bleu" not in names:
        raise ConfigError(f"--tokenize {tokenize}: only BLEU cuts words; add --metric bleu or leave it out")
    bleu = partial(measure_bleu, tokenize=tokenize)
    return [bleu if name == "bleu" else MEASURES[name] for name in dict.fromkeys(names)]


def _read(hypotheses: Sequence[Path], references: Sequence[Path]) -> tuple[list[list[str]], References]:
    """The lines of each system, and per segment its references from all files.

    Raises:
        InputError: the files do not have equally many segments.
    """
    from henkan.data.readers import read_lines, read_references

    answers: list[References] = []
    for path in references:
        if path.name.removesuffix(".gz").endswith(".tsv"):
            answers.append([list(targets) for _, targets in read_references(path)])
        else:
            answers.append([[line] for line in read_lines(path)])
    systems = [list(read_lines(path)) for path in hypotheses]
    counts = [len(lines) for lines in answers] + [len(lines) for lines in systems]
    for path, count in zip([*references, *hypotheses], counts, strict=True):
        if count != counts[0]:
            raise InputError(
                f"{path}: {count} segments, but {references[0]} has {counts[0]}; "
                "expected one line per segment in every file"
            )
    return systems, [[answer for file in files for answer in file] for files in zip(*answers, strict=True)]


def _table(names: Sequence[str], scores: "list[list[Score]]", tests: "list[list[Comparison]]") -> "Table":
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    from henkan.metrics.score import shown

    several = len(names) > 1
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("metric")
    if several:
        table.add_column("system", overflow="fold")
    table.add_column("score", justify="right")
    table.add_column("95 % interval", justify="right")
    if any(tests):
        table.add_column("difference", justify="right")
        table.add_column("95 % interval", justify="right")
        table.add_column("p", justify="right")
    for row, compared in zip(scores, tests, strict=True):
        for number, (name, result) in enumerate(zip(names, row, strict=True)):
            cells = [f"{result.name} {'↑' if result.higher_is_better else '↓'}" if number == 0 else ""]
            cells += [escape(name)] if several else []
            cells += [f"[bold]{shown(result.value)}[/bold]", result.interval or "–"]
            if number and compared:
                test = compared[number - 1]
                cells += [f"{test.difference:+.2f}", f"{test.low:+.2f} to {test.high:+.2f}", f"{test.p:.3f}"]
            table.add_row(*cells, end_section=several and number == len(names) - 1)
    return table
