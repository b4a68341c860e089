"""The page of a run, section by section, from what :mod:`henkan.report.history` read."""

from datetime import UTC, datetime
from html import escape

from henkan.metrics.score import shown
from henkan.pages.charts import interval_bar
from henkan.pages.document import document
from henkan.pages.markup import duration, folded, section, table
from henkan.report.curves import training_section
from henkan.report.history import Run, number


def page(run: Run) -> str:
    """The whole HTML document."""
    sections = [_scores(run), training_section(run), _by_length(run), _samples(run), _data(run), _settings(run)]
    return document(run.name, _remarks(run), sections)


def _remarks(run: Run) -> list[str]:
    lines = [_outcome(run)]
    if run.resumes:
        lines.append(f"Resumed {'once' if run.resumes == 1 else f'{run.resumes} times'}.")
    if run.unreadable:
        lines.append(f"{run.unreadable} unreadable lines of events.jsonl are left out.")
    return lines


def _outcome(run: Run) -> str:
    if not run.updates and not run.validations and not run.end:
        return ""
    last = max(number(event, "update") or 0 for event in [*run.updates, *run.validations, run.end])
    parts = [f"{last:,.0f} updates"]
    elapsed = number(run.end, "elapsed") or max((number(event, "elapsed") or 0 for event in run.updates), default=0)
    if elapsed:
        parts.append(f"in {duration(elapsed)}")
    best = number(run.end, "best_update") if run.end else number(run.best, "update")
    if best is not None:
        parts.append(f"– best by validation at update {best:,.0f}")
    ended = f"Ended: {run.end['reason']}." if run.end.get("reason") else "" if run.end else "Not finished."
    return f"{' '.join(parts)}. {ended}"


def _scores(run: Run) -> str:
    if not run.scores:
        return ""
    cards = []
    for score in run.scores:
        better = "higher is better" if score.higher_is_better else "lower is better"
        spread = f"{score.interval} (95 % interval)" if score.interval else "no interval"
        cards.append(
            f'<div class="sheet score"><h3>{escape(score.name)} · {better}</h3>'
            f'<div class="value">{shown(score.value)}</div><p>{spread}</p>'
            f"{interval_bar(score.value, score.low, score.high, max(100.0, score.value, score.high or 0))}"
            f"<code>{escape(score.signature).replace('|', '|<wbr>')}</code></div>"
        )
    counts = sorted({score.count for score in run.scores})
    segments = " and ".join(f"{count:,}" for count in counts)
    return section("Test scores", f'<div class="scores">{"".join(cards)}</div>', f"{segments} segments")


def _by_length(run: Run) -> str:
    if not run.bands:
        return ""
    top = max(max(band.score.value, band.score.high or 0) for band in run.bands)
    rows = []
    for band in run.bands:
        score = band.score
        span = f"{band.shortest}" if band.shortest == band.longest else f"{band.shortest}–{band.longest}"
        bar = interval_bar(score.value, score.low, score.high, top)
        cells = [span, bar, f"<b>{shown(score.value)}</b>", score.interval, f"{score.count:,}"]
        kinds = ["number", "wide", "number", "number", "number"]
        cells = [f'<td class="{kind}">{cell}</td>' for kind, cell in zip(kinds, cells, strict=True)]
        rows.append(f"<tr>{''.join(cells)}</tr>")
    name = run.bands[0].score.name
    head = (
        f'<tr><th class="number">{escape(run.length_unit)}</th><th></th><th class="number">{escape(name)}</th>'
        '<th class="number">95 % interval</th><th class="number">segments</th></tr>'
    )
    sheet = f'<div class="sheet table"><table><thead>{head}</thead><tbody>{"".join(rows)}</tbody></table></div>'
    return section(f"{name} by length", sheet)


def _samples(run: Run) -> str:
    cards = []
    for sample in run.samples:
        rows = [
            ("source", sample.source),
            *(("reference", text) for text in sample.references),
            ("output", sample.output),
        ]
        cells = [f'<dt>{label}</dt><dd dir="auto" class="{label}">{escape(text) or "–"}</dd>' for label, text in rows]
        cards.append(f"<dl>{''.join(cells)}</dl>")
    return section("Samples", f'<div class="sheet samples">{"".join(cards)}</div>', "test set") if cards else ""


def _data(run: Run) -> str:
    content = "".join(f"<li>{escape(fact)}</li>" for fact in run.facts)
    content = f'<ul class="sheet">{content}</ul>' if content else ""
    if run.filtered is not None:
        told = run.filtered
        title = f"{told.kept:,} training pairs kept, {sum(told.dropped.values()):,} left out"
        reasons = told.dropped.items()
        rows = [[reason, f"{count:,}", " / ".join(told.samples.get(reason, []))] for reason, count in reasons]
        content += folded(title, f"<div>{table(['reason', 'pairs', 'for example'], rows, texts=(0, 2))}</div>")
    return section("Data", content) if content else ""


def _settings(run: Run) -> str:
    facts = []
    for key, value in run.start.items():
        if key == "event" or not isinstance(value, str | int | float):
            continue
        if key == "time" and not isinstance(value, str) and 0 <= value < 1 << 36:
            value = datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        elif isinstance(value, int) and not isinstance(value, bool) and key != "seed":
            value = f"{value:,}"
        facts.append(f"<dt>{escape(key.replace('_', ' '))}</dt><dd>{escape(str(value))}</dd>")
    parts = [f'<div class="sheet samples"><dl>{"".join(facts)}</dl></div>'] if facts else []
    if run.config:
        parts.append(folded("config.yaml", f"<pre>{escape(run.config)}</pre>"))
    return section("Settings and machine", "".join(parts)) if parts else ""
