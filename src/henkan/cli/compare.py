"""``henkan compare``: several runs in one table, or presets trained alike and then compared."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from henkan.cli.score import METRICS
from henkan.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from henkan.compare.findings import Findings
    from henkan.compare.systems import System


_LESS_NEEDED = (1, 4, 5, 3, 2)
"""Columns that a narrow terminal leaves out, the first first; the page has them all."""


def compare(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RUN …] | [KEY.PATH=VALUE …]",
            help="Run folders that were scored by `henkan evaluate` on one test set; or, with --presets, settings "
            "for all that are trained.",
        ),
    ] = None,
    presets: Annotated[
        str | None, typer.Option(help="Train these instead: gru,luong-2015; `henkan presets` lists them.")
    ] = None,
    variant: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=PRESET,KEY.PATH=VALUE,…",
            help="One more to train: a preset with other settings, such as "
            "forwards=seq2seq-2014,data.reverse_source=false. Several allowed.",
        ),
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="A corpus from `henkan data list`, in its parts; or the files below.")
    ] = None,
    to: Annotated[str | None, typer.Option(help="Language, of homeassistant-ui.", show_default="de")] = None,
    source: Annotated[Path | None, typer.Option(help="Sources to train on, one a line; .gz too.")] = None,
    target: Annotated[Path | None, typer.Option(help="Their targets, line by line.")] = None,
    pairs: Annotated[Path | None, typer.Option(help="Instead: pairs in one file, .tsv or .jsonl; .gz too.")] = None,
    valid_source: Annotated[Path | None, typer.Option(help="The same for validation;")] = None,
    valid_target: Annotated[Path | None, typer.Option(help="without them, a part of")] = None,
    valid_pairs: Annotated[Path | None, typer.Option(help="the pairs is held out.")] = None,
    test_source: Annotated[Path | None, typer.Option(help="Sources to score on.")] = None,
    test_reference: Annotated[
        list[Path] | None, typer.Option(help="Right answers, one a line; several files allowed.")
    ] = None,
    test_pairs: Annotated[
        Path | None, typer.Option(help="Instead: a .tsv of sources and one or more right answers each.")
    ] = None,
    budget: Annotated[
        str | None, typer.Option(help="Time to train each, scoring not included: 90s, 10m, 2h.", show_default="20m")
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(help="Train each once for every seed, such as 1,2,3; tells mean and spread.")
    ] = None,
    matched: Annotated[
        bool | None,
        typer.Option(
            "--matched/--no-matched",
            help="Scale the widths of all so that they have as many parameters as the first.",
            show_default="matched",
        ),
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help=f"One of {', '.join(METRICS)}.", show_default="the first of the recipe")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Folder for compare.html and compare.json, and for the runs to be trained.", show_default="."
        ),
    ] = None,
) -> None:
    """Compare models on one test set: scores with intervals, paired tests against the best, scores by source length,
    learning by time; in a table and a page.

    `henkan compare RUN RUN …` compares runs that are there. `henkan compare --presets A,B,… --data NAME --budget 10m
    --output DIR` first trains each of them alike; the same command again goes on where it was stopped.
    """
    from rich.console import Console

    files: dict[str, Any] = {
        "source": source,
        "target": target,
        "pairs": pairs,
        "valid_source": valid_source,
        "valid_target": valid_target,
        "valid_pairs": valid_pairs,
    }
    tests = {"test_source": test_source, "test_reference": test_reference, "test_pairs": test_pairs}
    told = {"to": to, "data": data, "budget": budget, "seeds": seeds, "matched": matched, **files, **tests}
    console = Console(soft_wrap=True, highlight=False, markup=False, emoji=False)
    if presets is None and not variant:
        if idle := [name for name, value in told.items() if value is not None]:
            raise ConfigError(f"--{idle[0].replace('_', '-')}: only with --presets or --variant, which are trained")
        folders = [Path(word) for word in what or []]
        if misplaced := [str(folder) for folder in folders if "=" in str(folder) and not folder.exists()]:
            raise ConfigError(f"{misplaced[0]}: settings go with --presets or --variant; finished runs keep theirs")
        if len(folders) < 2:
            raise ConfigError("name at least two run folders, or --presets to train some")
        from henkan.compare.systems import systems_of

        _tell(systems_of(folders), metric, output or Path(), [], console)
        return
    if output is None:
        raise ConfigError("--output: name the folder of the comparison, for example --output runs/line")
    from henkan.compare.bench import Bench
    from henkan.compare.plan import contenders, plan

    chosen = contenders([name for name in (presets or "").split(",") if name], variant or [])
    numbers = _seeds(seeds)
    settings, test = _corpus(data, to, files, tests, output, console)
    trials = plan(
        chosen,
        settings,
        what or [],
        training={} if budget is None else {"budget": budget},
        seeds=numbers,
        matched=matched is not False,
        tell=console.print,
    )
    output.mkdir(parents=True, exist_ok=True)
    bench = Bench(trials, test, output, console)
    systems = bench.work()
    _tell(systems, metric, output, [_terms(budget, matched is not False, what or []), *bench.failures], console)


def _corpus(
    name: str | None, to: str | None, files: dict[str, Any], tests: dict[str, Any], output: Path, console: "Console"
) -> tuple[dict[str, str], list[tuple[str, list[str]]]]:
    """The ``data`` settings and the test set, from a corpus by name or from files."""
    from henkan.compare.corpora import corpus
    from henkan.data.readers import read_answers, read_references

    if name is not None:
        if given := [key for key, value in {**files, **tests}.items() if value is not None]:
            raise ConfigError(f"--{given[0].replace('_', '-')}: --data {name} brings its own files; leave one out")
        return corpus(name, to, output / "data", console.print)
    if to is not None:
        raise ConfigError(f"--to {to}: only with --data homeassistant-ui; leave it out")
    source, references, pairs = tests["test_source"], tests["test_reference"], tests["test_pairs"]
    if [pairs is not None, source is not None, bool(references)] not in ([True, False, False], [False, True, True]):
        raise ConfigError("give --test-source and --test-reference, or --test-pairs, or --data with a corpus by name")
    test = read_references(pairs) if pairs is not None else read_answers(source, references)
    return {key: str(path) for key, path in files.items() if path is not None}, test


def _seeds(text: str | None) -> list[int]:
    words = text.split(",") if text is not None else []
    if not all(word.strip().isdecimal() for word in words) or len(set(words)) < len(words):
        raise ConfigError(f"--seeds {text}: expected different whole numbers with commas between, such as 1,2,3")
    return [int(word) for word in words]


def _terms(budget: str | None, matched: bool, overrides: Sequence[str]) -> str:
    """How all were trained, in a sentence."""
    told = [f"each trained for {budget}" if budget else "trained by the settings of their recipes"]
    told.append("brought to the size of the first" if matched else "each of its own size")
    sentence = ", ".join([*told, *overrides])
    return f"{sentence[0].upper()}{sentence[1:]}."


def _tell(systems: "list[System]", metric: str | None, output: Path, facts: list[str], console: "Console") -> None:
    """Compare, write the page, print the table."""
    from henkan.compare.findings import find
    from henkan.compare.page import write_comparison

    findings = find(systems, metric)
    page = write_comparison(findings, output, facts)
    _show(findings, console)
    for fact in facts[1:]:
        console.print(fact)
    console.print(f"page: {page}   numbers: {page.with_suffix('.json')}")


def _show(findings: "Findings", console: "Console") -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    from henkan.compare import rows

    titles, lines = rows.head(findings), [rows.row(finding) for finding in findings.systems]
    widths = [max(map(len, column)) + 3 for column in zip(titles, *lines, strict=True)]
    if not console.is_terminal:
        console.width = max(console.width, sum(widths))  # a pipe or a file is as wide as need be
    shown = list(range(len(titles)))
    for place in _LESS_NEEDED:
        if sum(widths[kept] for kept in shown) > console.width:
            shown.remove(place)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for place in shown:
        table.add_column(titles[place], justify="left" if place < 2 else "right", no_wrap=True)
    for finding, cells in zip(findings.systems, lines, strict=True):
        style = "bold" if finding is findings.best else ""
        table.add_row(*(Text(cells[place], style) for place in shown))
    console.print(table)
    for note in rows.notes(findings):
        console.print(note, style="dim")
