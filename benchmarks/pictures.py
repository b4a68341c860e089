"""Growth curves as pictures: both axes by powers, with lines that show what proportional growth looks like.

matplotlib draws them (``pip install 'henkan[plots]'``), as SVG to go into a page and as PNG.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from henkan.pages.charts import compact
from henkan.pages.document import light_colours

INK, SOFT, RULE = "#23262b", "#666b75", "#e6e3db"
MARKERS = "osD^v"

Point = tuple[float, float]


def growth_picture(
    path: Path, title: str, across: str, unit: str, curves: Sequence[tuple[str, Sequence[Point]]]
) -> str:
    """Draw ``path`` (PNG) and return the same as SVG.

    Args:
        across, unit: what the axes count.
        curves: the name and the points (size, cost) of each; all above zero, sizes ascending.
    """
    settings = {"svg.fonttype": "none", "svg.hashsalt": path.stem, "font.size": 9.5, "font.family": "sans-serif"}
    with matplotlib.rc_context({**settings, "axes.edgecolor": RULE, "text.color": INK}):
        figure = Figure(figsize=(5.4, 3.9), layout="constrained", facecolor="white")
        axes = figure.subplots()
        _scales(axes, [point for _, points in curves for point in points])
        for place, (_, points) in enumerate(curves):
            _guide(axes, points, labelled=place == 0)
        for (name, points), colour, marker in zip(curves, light_colours(), MARKERS, strict=False):
            label = f"{name}, last slope {_last_slope(points):.2f}"
            axes.plot(*zip(*points, strict=True), color=colour, marker=marker, markersize=4, linewidth=1.8, label=label)
        axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
        axes.set_xlabel(across, color=SOFT)
        axes.set_ylabel(unit, color=SOFT)
        axes.legend(frameon=False, loc="upper left")
        figure.savefig(path, dpi=150)
        svg = io.StringIO()
        figure.savefig(svg, format="svg", metadata={"Date": None})
    return svg.getvalue()[svg.getvalue().index("<svg") :]


def _scales(axes: Axes, points: Sequence[Point]) -> None:
    """Powers on both axes, a mark at each size that was measured, and at 1, 2 and 5 upwards."""
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    sizes = sorted({size for size, _ in points})
    axes.xaxis.set_major_locator(FixedLocator(sizes))
    low, high = min(cost for _, cost in points), max(cost for _, cost in points)
    low, high = low / 1.6, high * (high / low) ** 0.35 * 1.5  # the legend stands above the curves
    axes.set_xlim(sizes[0] / 1.15, sizes[-1] * 1.3)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if high / low < 3000 else (1,)
    marks = [step * 10.0**decade for decade in decades for step in steps if low <= step * 10.0**decade <= high]
    axes.set_ylim(low, high)
    axes.yaxis.set_major_locator(FixedLocator(marks))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: _mark(float(f"{value:.6g}"))))
    axes.tick_params(colors=SOFT, length=0)
    axes.grid(color=RULE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _mark(value: float) -> str:
    """``8k``, but ``8,192`` where it is no round thousand."""
    return f"{value:,.0f}" if 1000 < value < 100_000 and value % 1000 else compact(value)


def _last_slope(points: Sequence[Point]) -> float:
    """Between the last two points: 1 is proportional, 2 quadratic."""
    (size, cost), (last_size, last_cost) = points[-2:]
    return math.log(last_cost / cost) / math.log(last_size / size)


def _guide(axes: Axes, points: Sequence[Point], labelled: bool) -> None:
    """Proportional growth, through the last point: a curve that is flatter has costs that do not grow."""
    size, cost = points[-1]
    ends = (points[0][0], size)
    axes.plot(
        ends,
        [cost * end / size for end in ends],
        color=SOFT,
        linewidth=1,
        linestyle=(0, (4, 3)),
        label="slope 1: twice the size, twice the cost" if labelled else None,
        zorder=1,
    )
