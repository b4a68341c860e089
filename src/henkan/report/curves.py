"""The training section: loss, validation scores, learning rate, gradient norm and speed by update."""

from henkan.pages.charts import Series, line_chart, thinned
from henkan.pages.markup import duration, folded, section, table
from henkan.report.history import Run, number

SPELLED = {"bleu": "BLEU", "chrf": "chrF", "ter": "TER"}
"""Names of validation scores as people write them."""


def training_section(run: Run) -> str:
    """HTML; empty if nothing was logged that has a curve."""
    last = max((number(event, "update") or 0 for event in [*run.updates, *run.validations]), default=0) or 1
    charts = _loss_chart(run, last)
    for name in run.validation_scores:
        points = run.validation_points(name)
        best = run.best_of(points)
        series = [Series(_spelled(name), points, "second", dots=True)]
        note = f"{best[1]:.4g} at the best update." if best else ""
        charts.append(line_chart(_spelled(name), "validation", series, last=last, best=best, note=note))
    for key, title, unit in (
        ("learning_rate", "Learning rate", ""),
        ("gradient_norm", "Gradient norm", "before clipping"),
        ("tokens_per_second", "Speed", "tokens per second"),
    ):
        points, _ = thinned(run.update_points(key))
        if points:
            charts.append(line_chart(title, unit, [Series(title, points)], last=last, floor=0))
    if not charts:
        return ""
    grid = f'<div class="charts">{"".join(charts)}</div>'
    return section("Training", grid + (_validations(run) if run.validations else ""), "by update")


def _loss_chart(run: Run, last: float) -> list[str]:
    logged, validation = run.update_points("loss"), run.validation_points("loss")
    training, group = thinned(logged)
    series = [Series("training", training)] if training else []
    series += [Series("validation", validation, "second", dots=True)] if validation else []
    if not series:
        return []
    # The first updates are far above the rest and would squeeze it flat.
    settled = [(x, y) for x, y in training if x >= 0.1 * last] or training
    ceiling = max(y for _, y in [*settled, *validation])
    best = run.best_of(validation)
    notes = []
    if group > 1:
        notes.append(f"Training loss: means of {group} logged updates.")
    if logged and logged[0][1] > 1.2 * ceiling:
        notes.append(f"It starts at {logged[0][1]:.4g}, above the picture.")
    if best:
        notes.append(f"Best by validation: {best[1]:.4g} at update {best[0]:,.0f}.")
    note = " ".join(notes)
    return [line_chart("Loss", "nats per unit", series, last=last, ceiling=ceiling, best=best, note=note)]


def _validations(run: Run) -> str:
    columns = [dict(run.validation_points(name)) for name in ("loss", *run.validation_scores, "elapsed")]
    rows = []
    for event in run.validations:
        update = number(event, "update") or 0.0
        *values, elapsed = [column.get(update) for column in columns]
        numbers = ["–" if value is None else f"{value:.4g}" for value in values]
        spent = "–" if elapsed is None else duration(elapsed)
        rows.append([f"{update:,.0f}", *numbers, spent, "best so far" if event.get("best") is True else ""])
    head = ["update", "loss", *map(_spelled, run.validation_scores), "elapsed", ""]
    return folded(f"All {len(rows)} validations", f"<div>{table(head, rows)}</div>")


def _spelled(name: str) -> str:
    return SPELLED.get(name, name.replace("_", " "))
