"""compare.html: the table, the score by source length, learning by time, and outputs side by side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path

from henkan.compare import rows
from henkan.compare.findings import Finding, Findings
from henkan.folder import write_texts
from henkan.metrics.score import shown
from henkan.pages.charts import TONES, Point, Series, interval_bar, line_chart
from henkan.pages.document import document
from henkan.pages.markup import folded, section, table

SAMPLES = 8
"""Sources whose outputs are shown side by side."""

_SCORE = 4  # place of the score among the columns of numbers; its interval follows
_LESS_NEEDED = (1, 2, 3)  # of these columns: a narrow screen leaves them out, so that the score is seen

_SPELLED = {"loss": "Validation loss", "bleu": "BLEU", "chrf": "chrF", "ter": "TER"}


def write_comparison(findings: Findings, folder: Path, facts: Sequence[str] = ()) -> Path:
    """Write compare.html and compare.json into a folder, in place of earlier ones, and return the page's path.

    Args:
        facts: sentences for the head of the page.

    Raises:
        StorageError: they cannot be written; earlier ones are intact.
    """
    told = json.dumps({"facts": list(facts), **findings.to_json()}, ensure_ascii=False, indent=1)
    texts = {folder / "compare.html": page(findings, facts), folder / "compare.json": told + "\n"}
    write_texts(texts)
    return folder / "compare.html"


def page(findings: Findings, facts: Sequence[str]) -> str:
    """The whole HTML document."""
    names = [finding.system.name for finding in findings.systems]
    title = " · ".join(names) if len(names) <= 3 else f"{len(names)} systems on one test set"
    sections = [_scores(findings), _by_length(findings), _learning(findings), _widths(findings), _samples(findings)]
    return document(title, facts, sections)


def _scores(findings: Findings) -> str:
    top = max(max(finding.score.value, finding.score.high or 0) for finding in findings.systems)
    first, _, *titles = rows.head(findings)
    kinds = ["number less" if place in _LESS_NEEDED else "number" for place in range(len(titles))]
    titled = zip(kinds, titles, strict=True)
    head = f"<th>{escape(first)}</th>" + "".join(f'<th class="{kind}">{escape(title)}</th>' for kind, title in titled)
    body = []
    for finding in findings.systems:
        score = finding.score
        name, made_as, *numbers = map(escape, rows.row(finding))
        numbers[_SCORE] = f"<b>{numbers[_SCORE]}</b>"
        numbers[_SCORE + 1] += interval_bar(score.value, score.low, score.high, top)
        cells = "".join(f'<td class="{kind}">{cell}</td>' for kind, cell in zip(kinds, numbers, strict=True))
        body.append(f'<tr><td><b>{name}</b><br><span class="unit">{made_as}</span></td>{cells}</tr>')
    content = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"
    notes = (escape(note).replace("|", "|<wbr>") for note in rows.notes(findings))
    told = "".join(f'<p class="note">{note}</p>' for note in notes)
    return section("Scores", f'<div class="sheet table">{content}</div>{told}')


def _by_length(findings: Findings) -> str:
    best = findings.best
    if len(best.bands) < 2:
        return ""
    lengths = _lengths(findings)
    middles = _middles(lengths, best)
    series = [
        Series(
            finding.system.name,
            [(middle, band.score.value) for middle, band in zip(middles, finding.bands, strict=True)],
            TONES[place % len(TONES)],
            dots=True,
            dashed=place >= len(TONES),
        )
        for place, finding in enumerate(findings.systems)
    ]
    note = (
        f"Each point is the score of a band of about {best.score.count // len(best.bands):,} segments, "
        "drawn at its mean length."
    )
    unit = f"by {findings.length_unit}"
    chart = line_chart(best.score.name, unit, series, last=middles[-1] * 1.02, across="length", floor=0, note=note)
    head = [findings.length_unit, *(finding.system.name for finding in findings.systems), "segments"]
    cells = []
    for place, band in enumerate(best.bands):
        span = f"{band.shortest}" if band.shortest == band.longest else f"{band.shortest}–{band.longest}"
        scores = [finding.bands[place].score for finding in findings.systems]
        told = [f"{shown(score.value)} [{score.interval}]" for score in scores]
        cells.append([span, *told, f"{band.score.count:,}"])
    numbers = folded("The same in numbers, with 95 % intervals", f'<div class="across">{table(head, cells)}</div>')
    return section(f"{best.score.name} by source length", f'<div class="charts">{chart}</div>{numbers}')


def _lengths(findings: Findings) -> list[int]:
    sources = findings.best.system.runs[0].scored.sources
    words = findings.length_unit.startswith("words")
    return [len(source.split()) if words else len(source) for source in sources]


def _middles(lengths: Sequence[int], finding: Finding) -> list[float]:
    """The mean length of each band's segments."""
    middles = []
    for band in finding.bands:
        inside = [length for length in lengths if band.shortest <= length <= band.longest]
        middles.append(sum(inside) / len(inside))
    return middles


def _learning(findings: Findings) -> str:
    """Validation loss and scores by minutes of training, a line for each run, a colour for each system."""
    runs = [run for finding in findings.systems for run in finding.system.runs]
    scores = list(dict.fromkeys(name for run in runs for name in run.history.validation_scores))
    last = max((minutes for run in runs for minutes, _ in run.by_time("loss")), default=0.0)
    charts = []
    for name in ("loss", *scores):
        series = [
            Series(
                finding.system.name,
                points,
                TONES[place % len(TONES)],
                dots=len(runs) <= len(TONES),
                dashed=place >= len(TONES),
            )
            for place, finding in enumerate(findings.systems)
            for points in (run.by_time(name) for run in finding.system.runs)
            if points
        ]
        if series and last:
            title = _SPELLED.get(name, name.replace("_", " "))
            unit = "nats per token, by minutes" if name == "loss" else "validation, greedy, by minutes"
            ceiling = _settled([line.points for line in series], last) if name == "loss" else None
            charts.append(line_chart(title, unit, series, last=last, across="minute", whole=False, ceiling=ceiling))
    return section("Learning", f'<div class="charts even">{"".join(charts)}</div>', "by time") if charts else ""


def _settled(curves: Sequence[Sequence[Point]], last: float) -> float:
    """The highest value after the first tenth of the time or at a curve's end: what is above would squeeze the rest."""
    return max(y for points in curves for x, y in points if x >= 0.1 * last or (x, y) == points[-1])


def _widths(findings: Findings) -> str:
    told = rows.widths(findings)
    if not told:
        return ""
    content = table(["system", "widths"], told, texts=(0, 1))
    return section("Matched size", f'<div class="sheet table">{content}</div>', "what became of the widths")


def _samples(findings: Findings) -> str:
    scored = findings.best.system.runs[0].scored
    step = max(1, len(scored.sources) // SAMPLES)
    cards = []
    for place in range(0, len(scored.sources), step)[:SAMPLES]:
        lines = [("source", "source", scored.sources[place])]
        lines += [("reference", "reference", answer) for answer in scored.references[place]]
        for finding in findings.systems:
            kind = "output" if finding is findings.best else "other"
            lines.append((finding.system.name, kind, finding.system.runs[0].scored.outputs[place]))
        cells = [
            f'<dt>{escape(label)}</dt><dd dir="auto" class="{kind}">{escape(text) or "–"}</dd>'
            for label, kind, text in lines
        ]
        cards.append(f"<dl>{''.join(cells)}</dl>")
    return section("Outputs", f'<div class="sheet samples even">{"".join(cards)}</div>', "spread over the test set")
