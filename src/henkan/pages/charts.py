"""Curves as inline SVG that keep their text readable at any width.

The drawing is stretched to the box it is given (``preserveAspectRatio="none"``, strokes that do not scale), while
labels are HTML placed in percent: on a phone the picture gets narrower and the letters stay as they are. A dot is a
line of no length with a round cap, which stretching cannot squash.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

Point = tuple[float, float]

Tone = Literal["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth"]
"""Colours by name; style.css has them for light and for dark."""

TONES: tuple[Tone, ...] = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")


@dataclass(frozen=True)
class Series:
    """One curve.

    Attributes:
        label: for the legend, which names curves of one label once.
        points: (x, y) in order of x.
        tone: colour; in a run's report ``first`` is training and ``second`` validation everywhere.
        dots: mark every point (few, each of its own meaning) and tell its numbers on hovering.
        dashed: a broken line.
    """

    label: str
    points: Sequence[Point]
    tone: Tone = "first"
    dots: bool = False
    dashed: bool = False


def line_chart(
    title: str,
    unit: str,
    series: Sequence[Series],
    *,
    last: float,
    across: str = "update",
    whole: bool = True,
    logarithmic: bool = False,
    floor: float | None = None,
    ceiling: float | None = None,
    best: Point | None = None,
    note: str = "",
) -> str:
    """A figure with title, legend, axes and curves.

    Args:
        title, unit: of the vertical axis.
        series: at least one with a point; on a logarithmic axis every y is above zero.
        last: right end of the horizontal axis, the same for all charts of a page.
        across: what the horizontal axis counts.
        whole: it counts in whole numbers.
        logarithmic: the vertical axis counts powers of ten.
        floor: bottom of the vertical axis, if lower than the lowest point.
        ceiling: top of the vertical axis; what lies above runs out of the picture.
        best: a point to ring.
        note: one sentence under the picture.
    """
    height = math.log10 if logarithmic else float
    points = [point for line in series for point in line.points]
    lowest = min(y for _, y in points)
    lowest = lowest if floor is None else min(floor, lowest)
    highest = max(y for _, y in points) if ceiling is None else max(ceiling, lowest)
    rows = decades(lowest, highest) if logarithmic else ticks(lowest, highest)
    bottom, top = height(rows[0]), height(rows[-1])
    columns = [x for x in ticks(0, last, about=5) if x <= last and not (whole and x % 1)]
    up = top - bottom

    def place(point: Point) -> str:
        return f"{100 * point[0] / last:.2f} {100 * (top - height(point[1])) / up:.2f}"

    grid = "".join(f"M0 {100 * (top - height(y)) / up:.2f}H100" for y in rows)
    curves = [
        f'<path class="line {line.tone}{" dashed" if line.dashed else ""}" '
        f'd="M{"L".join(place(point) for point in line.points)}"/>'
        for line in series
        if len(line.points) > 1
    ]
    # The inner drawing cuts off what lies above the ceiling; dots on the edge of the outer one stay whole.
    drawing = [f'<path class="grid" d="{grid}"/><svg width="100" height="100">{"".join(curves)}</svg>']
    for line in series:
        if line.dots or len(line.points) == 1:
            inside = [point for point in line.points if height(point[1]) <= top]
            told_points = [(place(point), f"{line.label}, {told(point, across)}") for point in inside]
            drawing += [_dot(f"dot {line.tone}", where, title) for where, title in told_points]
    if best is not None:
        drawing.append(_dot("ring", place(best), ""))
        drawing.append(_dot("dot second", place(best), f"best: {told(best, across)}"))
    named = power if logarithmic else compact
    labels = [f'<span class="y" style="bottom:{100 * (height(y) - bottom) / up:.2f}%">{named(y)}</span>' for y in rows]
    labels += [f'<span class="x" style="left:{100 * x / last:.2f}%">{compact(x)}</span>' for x in columns]
    named_once = {line.label: line for line in series}.values() if len(series) > 1 else ()
    keys = "".join(
        f'<span class="key {line.tone}{" dashed" if line.dashed else ""}">{escape(line.label)}</span>'
        for line in named_once
    )
    return (
        f'<figure class="chart"><figcaption><b>{escape(title)}</b> <span class="unit">{escape(unit)}</span>'
        f'<span class="legend">{keys}</span></figcaption><div class="plot">'
        f'<svg viewBox="0 0 100 100" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(title)} by {escape(across)}">{"".join(drawing)}</svg>{"".join(labels)}</div>'
        f"{f'<p class=note>{escape(note)}</p>' if note else ''}</figure>"
    )


def interval_bar(value: float, low: float | None, high: float | None, top: float) -> str:
    """A bar from 0 to ``value`` on an axis that ends at ``top``, with its interval as a whisker."""
    scale = 100 / top if top else 0.0
    whisker = (
        "" if low is None or high is None else f'<path class="whisker" d="M{low * scale:.2f} 5H{high * scale:.2f}"/>'
    )
    return (
        '<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect width="{value * scale:.2f}" height="10"/>{whisker}</svg>'
    )


def ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Round numbers at equal distances, the first at or below ``low`` and the last at or above ``high``."""
    if high <= low:
        margin = abs(low) / 10 or 1.0
        low, high = low - margin, high + margin
    rough = (high - low) / about
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * unit for factor in (1, 2, 2.5, 5, 10) if factor * unit >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(place * step, 12) for place in range(first, last + 1)]


def decades(low: float, high: float, about: int = 5) -> list[float]:
    """Powers of ten at equal ratios, the first at or below ``low`` and the last at or above ``high``; both above 0."""
    first, last = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
    last = max(last, first + 1)
    step = -(-(last - first) // about)
    return [10.0**exponent for exponent in range(last - step * -(-(last - first) // step), last + 1, step)]


def compact(value: float) -> str:
    """A number for an axis: ``12k``, ``2.5M``, ``0.0005``."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{letter}"
    return f"{value:.0e}" if 0 < abs(value) < 1e-4 else f"{value:g}"


def power(value: float) -> str:
    """A power of ten for an axis: ``10⁻⁴``; ``1`` and ``10`` as they are."""
    exponent = round(math.log10(value))
    if exponent in (0, 1):
        return f"{value:g}"
    return "10" + str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def told(point: Point, across: str) -> str:
    """A point in words."""
    where = f"{point[0]:,.0f}" if point[0] >= 100 or point[0] == round(point[0]) else f"{point[0]:.3g}"
    return f"{point[1]:.4g} at {across} {where}"


def thinned(points: Sequence[Point], most: int = 300) -> tuple[list[Point], int]:
    """At most ``most`` points, each the mean of so many neighbours as the second result says."""
    group = -(-len(points) // most) or 1
    means = []
    for start in range(0, len(points), group):
        part = points[start : start + group]
        means.append((sum(x for x, _ in part) / len(part), sum(y for _, y in part) / len(part)))
    return means, group


def _dot(kind: str, place: str, title: str) -> str:
    inside = f"<title>{escape(title)}</title>" if title else ""
    return f'<path class="{kind}" d="M{place}h0">{inside}</path>'
