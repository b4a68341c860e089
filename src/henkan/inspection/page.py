"""The same pictures as self-contained HTML pages, and the numbers in them as JSON."""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from henkan.inspection.attention import Alignment
from henkan.inspection.curves import Kind, curves, label
from henkan.inspection.embeddings import Neighbours, Plane
from henkan.inspection.gradients import Measured, Subject
from henkan.inspection.labels import place_labels
from henkan.inspection.pictures import shortened
from henkan.pages.charts import TONES, Point, Series, line_chart
from henkan.pages.document import document
from henkan.pages.markup import section, table

CELL = 26
"""Pixels of a square in an alignment picture."""


def gradients_page(
    title: str, remarks: Sequence[str], subjects: Sequence[Subject], clip: float, across: str, counted: str
) -> str:
    """Charts without clipping and with it, and a table; arguments as of the picture, after title and remarks."""
    kinds: list[tuple[Kind, str, str, str]] = [
        ("hidden", "Output", "‖dL/dh[t]‖", across),
        ("cell", "Cell state", "‖dL/dc[t]‖", across),
        ("norm", "Global norm", f"of the gradient of each {counted}", counted),
    ]
    sections = []
    for kind, name, unit, axis in kinds:
        charts = [_norm_chart(subjects, kind, name, unit, axis, clip, clipped) for clipped in (False, True)]
        if all(charts):
            sections.append(section(name, f'<div class="charts even">{"".join(charts)}</div>', unit))
    sections.append(section("Numbers", f'<div class="sheet table">{_norm_table(subjects)}</div>', "not clipped"))
    return document(title, remarks, sections)


def _norm_chart(
    subjects: Sequence[Subject], kind: Kind, name: str, unit: str, axis: str, clip: float, clipped: bool
) -> str:
    drawn = curves(subjects, kind, clipped)
    both = drawn + curves(subjects, kind, not clipped)
    if not drawn:
        return ""
    series = []
    for curve in drawn:
        points: list[Point] = list(zip(curve.xs, curve.ys, strict=True))
        dots = curve.single and len(points) < 40
        series.append(Series(curve.label, points, TONES[curve.place % len(TONES)], dots, curve.place >= len(TONES)))
    heights = [y for curve in both for y in curve.ys]
    return line_chart(
        f"Clipped at {clip:g}" if clipped else "Not clipped",
        f"by {axis}",
        series,
        last=max(max(curve.xs) for curve in both) or 1.0,
        across=axis,
        logarithmic=True,
        floor=min(heights),
        ceiling=max(heights),
    )


def _norm_table(subjects: Sequence[Subject]) -> str:
    rows = []
    for subject in subjects:
        norm = f"{np.median(subject.off.norms):.3g}" if subject.off.norms else "–"
        for flow in subject.off.flows:
            cells = ["–", "–"] if flow.cell is None else [f"{flow.cell[0]:.2e}", f"{flow.cell[-1]:.2e}"]
            hidden = [f"{flow.hidden[0]:.2e}", f"{flow.hidden[-1]:.2e}", f"{flow.factor():.3f}"]
            rows.append([label(subject, flow), f"{len(flow.hidden) - 1}", *hidden, *cells, norm])
    head = ["", "steps", "dL/dh, end", "dL/dh, start", "a step", "dL/dc, end", "dL/dc, start", "global norm"]
    return table(head, rows, texts=(0,))


def map_page(title: str, remarks: Sequence[str], plane: Plane, groups: Sequence[str], sentences: Sequence[str]) -> str:
    """Points with numbers, and what the numbers stand for; on a wide screen the sentences stand beside their points."""
    names = list(dict.fromkeys(groups))
    tones = [TONES[names.index(group) % len(TONES)] for group in groups]
    rows = "".join(
        f'<tr><td class="number"><b class="tone {tone}">{number}</b></td>'
        f'<td dir="auto">{escape(sentence)}</td><td>{escape(group)}</td></tr>'
        for number, (sentence, group, tone) in enumerate(zip(sentences, groups, tones, strict=True), start=1)
    )
    head = '<tr><th class="number">point</th><th>sentence</th><th>group</th></tr>'
    listing = f'<div class="sheet table"><table><thead>{head}</thead><tbody>{rows}</tbody></table></div>'
    picture = f'<div class="sheet map">{_map(plane, sentences, tones)}</div>'
    shares = f"{plane.explained[0]:.0%} of the variance across, {plane.explained[1]:.0%} down"
    return document(title, remarks, [section("Map", picture, shares), section("Sentences", listing)])


def _map(plane: Plane, sentences: Sequence[str], tones: Sequence[str]) -> str:
    """Labels for a wide screen and numbers for a narrow one, each placed for itself; style.css shows the one."""
    width, height, margin = 900.0, 560.0, 40.0
    low, high = plane.points.min(0), plane.points.max(0)
    spread = np.where(high > low, high - low, 1.0)
    unit = (plane.points - low) / spread
    room = np.array([width - 2 * margin, height - 2 * margin])
    places = [(float(x), float(y)) for x, y in margin + np.stack([unit[:, 0], 1 - unit[:, 1]], 1) * room]
    frame = (4.0, 4.0, width - 4, height - 4)
    labels = [f"{number} {shortened(sentence)}" for number, sentence in enumerate(sentences, start=1)]
    beside = place_labels(places, [(7.0 * columns(text) + 4, 16.0) for text in labels], frame, dot=7)
    numbered = place_labels(places, [(19.0 * len(text.split()[0]) + 4, 34.0) for text in labels], frame, dot=10)
    drawing = []
    for (x, y), (left, top), (near, over), text, tone in zip(places, beside, numbered, labels, tones, strict=True):
        drawing.append(
            f'<g class="{tone}"><circle cx="{x:.1f}" cy="{y:.1f}" r="6"><title>{escape(text)}</title></circle>'
            f'<text class="count" x="{near:.1f}" y="{over + 29:.1f}">{text.split()[0]}</text>'
            f'<text class="label" x="{left:.1f}" y="{top + 12:.1f}">{escape(text)}</text></g>'
        )
    return f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="map of sentences">{"".join(drawing)}</svg>'


def attention_page(title: str, remarks: Sequence[str], alignments: Sequence[Alignment]) -> str:
    """One picture for each sentence; a wide one scrolls sideways."""
    sections = []
    for number, alignment in enumerate(alignments, start=1):
        picture = f'<div class="sheet alignment">{_grid(alignment)}</div>'
        sections.append(section(f"Sentence {number}", picture, "target down, source across"))
    return document(title, remarks, sections)


def _grid(alignment: Alignment) -> str:
    down, across = alignment.weights.shape
    left = 12 + max(8 * columns(word) for word in alignment.target)
    slant = 8 * max(columns(word) for word in alignment.source)
    top = 14 + round(0.82 * slant)
    width = left + CELL * across + max(10, round(0.58 * slant))
    height = top + CELL * down + 6
    squares = []
    for row, word in enumerate(alignment.target):
        for column, weight in enumerate(alignment.weights[row]):
            told = f"{word} ← {alignment.source[column]}: {weight:.2f}"
            squares.append(
                f'<rect x="{left + CELL * column}" y="{top + CELL * row}" width="{CELL}" height="{CELL}" '
                f'fill-opacity="{min(1.0, max(0.0, float(weight))):.3f}"><title>{escape(told)}</title></rect>'
            )
    words = [
        f'<text class="target" x="{left - 6}" y="{top + CELL * row + CELL // 2}">{escape(word)}</text>'
        for row, word in enumerate(alignment.target)
    ]
    words += [
        f'<text transform="translate({left + CELL * column + CELL // 2} {top - 6}) rotate(-55)">{escape(word)}</text>'
        for column, word in enumerate(alignment.source)
    ]
    return (
        f'<svg width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="attention weights">{"".join(squares)}{"".join(words)}</svg>'
    )


def columns(text: str) -> int:
    """How wide a text is, in Latin letters: Chinese characters, kana and the like count twice."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def gradients_json(subjects: Sequence[Subject], facts: dict[str, Any]) -> str:
    """Every norm; those that are no numbers are null."""

    def told(measured: Measured) -> dict[str, Any]:
        flows = [
            {"layer": flow.label, "hidden": _numbers(flow.hidden), "cell": _numbers(flow.cell)}
            for flow in measured.flows
        ]
        return {"flows": flows, "global_norms": _numbers(measured.norms)}

    rows = [{"label": subject.label, "off": told(subject.off), "on": told(subject.on)} for subject in subjects]
    return _json({**facts, "distance": "steps from the end, from 0", "subjects": rows})


def map_json(
    plane: Plane, neighbours: Neighbours | None, groups: Sequence[str], sentences: Sequence[str], facts: dict[str, Any]
) -> str:
    """Points, variance explained, how well the groups hold together."""
    rows = [
        {"group": group, "sentence": sentence, "point": _numbers(point)}
        for group, sentence, point in zip(groups, sentences, plane.points, strict=True)
    ]
    told = None if neighbours is None else vars(neighbours)
    return _json({**facts, "variance_explained": _numbers(plane.explained), "neighbours": told, "sentences": rows})


def attention_json(alignments: Sequence[Alignment], facts: dict[str, Any]) -> str:
    """Words and weights; a row of weights for each target word."""
    rows = [
        {"source": own.source, "target": own.target, "weights": [_numbers(row) for row in own.weights]}
        for own in alignments
    ]
    return _json({**facts, "sentences": rows})


def _numbers(values: Sequence[float] | np.ndarray | None) -> list[float | None] | None:
    if values is None:
        return None
    return [float(f"{value:.6g}") if math.isfinite(value) else None for value in values]


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False) + "\n"
