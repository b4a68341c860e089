"""PNG pictures by matplotlib, an extra: ``pip install 'henkan[plots]'``."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from henkan.errors import ConfigError, StorageError
from henkan.inspection.attention import Alignment
from henkan.inspection.curves import Curve, Kind, curves, label
from henkan.inspection.embeddings import Plane
from henkan.inspection.gradients import Subject
from henkan.inspection.labels import place_labels
from henkan.pages.charts import decades, power
from henkan.pages.document import light_colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DOTS_PER_INCH = 150
LARGEST = 24.0
"""Inches of a side, at most."""
INK, SOFT, RULE = "#23262b", "#666b75", "#e6e3db"


def check_matplotlib() -> None:
    """ConfigError where matplotlib is not installed; asked before anything takes time."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise ConfigError("pictures need matplotlib, which is not installed: pip install 'henkan[plots]'") from None


def gradients_picture(path: Path, subjects: Sequence[Subject], clip: float, across: str, counted: str) -> str:
    """Norms without clipping on the left, with it on the right; see :class:`_Picture` for what is returned.

    Args:
        across: what distances count, such as ``steps from the end``.
        counted: what each global norm belongs to: ``batch`` or ``update``.
    """
    kinds: tuple[Kind, ...] = ("hidden", "cell", "norm")
    rows = [kind for kind in kinds if curves(subjects, kind, clipped=False)]
    names = [label(subject, flow) for subject in subjects for flow in subject.off.flows]
    titles = {
        "hidden": "output: ‖dL/dh[t]‖",
        "cell": "cell state: ‖dL/dc[t]‖",
        "norm": f"global norm, each {counted}",
    }
    with _Picture(path, 11, 3.2 * len(rows) + 0.9, names) as picture:
        grid = picture.figure.subplots(len(rows), 2, sharey="row", squeeze=False)
        for kind, pair in zip(rows, grid, strict=True):
            for clipped, axes in zip((False, True), pair, strict=True):
                _scale_by_tens(axes)
                for curve in curves(subjects, kind, clipped):
                    _draw(axes, curve)
                when = f"clipped at {clip:g}" if clipped else "not clipped"
                axes.set_title(f"{titles[kind]}, {when}", loc="left", fontsize=10, color=INK)
                axes.set_xlabel(counted if kind == "norm" else across)
                axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
                axes.grid(axis="y", color=RULE, linewidth=0.8)
            both = curves(subjects, kind, clipped=False) + curves(subjects, kind, clipped=True)
            marks = decades(min(min(curve.ys) for curve in both), max(max(curve.ys) for curve in both))
            pair[0].set_yticks(marks)
            margin = (marks[-1] / marks[0]) ** 0.03  # a line on the lowest mark stays whole
            pair[0].set_ylim(marks[0] / margin, marks[-1] * margin)
        _legend(picture.figure, names)
    return picture.missing


def _scale_by_tens(axes: Axes) -> None:
    from matplotlib.ticker import FuncFormatter, NullLocator

    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: power(value)))
    axes.yaxis.set_minor_locator(NullLocator())


def _style_of(place: int) -> dict[str, Any]:
    return {"color": light_colours()[place % 8], "linestyle": "-" if place < 8 else "--", "linewidth": 1.6}


def _draw(axes: Axes, curve: Curve) -> None:
    marker = "o" if len(curve.ys) < 40 and curve.single else None
    axes.plot(curve.xs, curve.ys, **_style_of(curve.place), marker=marker, markersize=3)


def _legend(figure: Figure, names: Sequence[str]) -> None:
    """Every line once, in the order of the subjects."""
    from matplotlib.lines import Line2D

    lines = [Line2D([], [], **_style_of(place)) for place in range(len(names))]
    columns = max(1, min(6, 100 // (max(map(len, names)) + 6)))
    figure.legend(lines, names, loc="outside upper left", ncols=columns, frameon=False, fontsize=9)


def map_picture(path: Path, plane: Plane, groups: Sequence[str], sentences: Sequence[str], title: str) -> str:
    """Sentences as points, coloured by group and labelled; see :class:`_Picture` for what is returned."""
    colours = light_colours()
    names = list(dict.fromkeys(groups))
    with _Picture(path, 11, 7, [*sentences, *names, title]) as picture:
        axes = picture.figure.subplots()
        axes.set_title(title, loc="left", fontsize=10, color=INK)
        for place, name in enumerate(names):
            across, down = plane.points[[group == name for group in groups]].T
            marker = "osD^vPX*"[place // 8 % 8]
            axes.scatter(across, down, s=34, marker=marker, color=colours[place % 8], label=name, zorder=3)
        shares = [f"component {place + 1}: {share:.0%} of the variance" for place, share in enumerate(plane.explained)]
        axes.set_xlabel(shares[0])
        axes.set_ylabel(shares[1])
        axes.margins(0.12)
        axes.grid(color=RULE, linewidth=0.6)
        picture.figure.legend(loc="outside upper left", ncols=6, frameon=False, fontsize=9)
        picture.figure.draw_without_rendering()  # fixes the layout, so that points have places in pixels
        picture.figure.set_layout_engine("none")
        tones = [colours[names.index(group) % 8] for group in groups]
        _label_points(axes, plane.points, [shortened(sentence) for sentence in sentences], tones)
    return picture.missing


def _label_points(axes: Axes, points: np.ndarray, labels: Sequence[str], colours: Sequence[str]) -> None:
    figure = axes.get_figure(root=True)
    assert figure is not None
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    texts = [axes.annotate(label, (0, 0), xycoords="figure pixels", fontsize=8.5, va="bottom") for label in labels]
    boxes = [text.get_window_extent(renderer) for text in texts]
    places = axes.transData.transform(points)
    frame = axes.get_window_extent(renderer)
    room = (frame.x0, -frame.y1, frame.x1, -frame.y0)  # y downwards
    dot = DOTS_PER_INCH / 18
    found = place_labels([(x, -y) for x, y in places], [(box.width, box.height) for box in boxes], room, dot)
    for text, box, (left, top), colour in zip(texts, boxes, found, colours, strict=True):
        text.set_position((left, -top - box.height))
        text.set_color(colour)


def alignment_picture(path: Path, alignment: Alignment, title: str) -> str:
    """Source words across, target words down, darker where there is more weight; see :class:`_Picture`."""
    rows, columns = alignment.weights.shape
    across = 0.32 * columns + 0.1 * max(map(len, alignment.target)) + 1
    down = 0.28 * rows + 0.1 * max(map(len, alignment.source)) + 0.8
    letters = 10 * min(1.0, LARGEST / across, LARGEST / down)  # as much smaller as the squares are
    width, height = min(LARGEST, max(3.5, across)), min(LARGEST, down)
    with _Picture(path, width, height, [*alignment.source, *alignment.target, title]) as picture:
        axes = picture.figure.subplots()
        axes.imshow(alignment.weights, cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
        axes.set_xticks(
            range(columns), alignment.source, rotation=55, ha="left", rotation_mode="anchor", fontsize=letters
        )
        axes.set_yticks(range(rows), alignment.target, fontsize=letters)
        axes.xaxis.tick_top()
        axes.tick_params(length=0)
        axes.set_xticks(np.arange(columns - 1) + 0.5, minor=True)
        axes.set_yticks(np.arange(rows - 1) + 0.5, minor=True)
        axes.grid(which="minor", color=RULE, linewidth=0.6)
        axes.tick_params(which="minor", length=0)
        caption = fill(title, max(20, int(13 * width)))  # letters of this size to the inch
        picture.figure.supxlabel(caption, fontsize=9, color=SOFT)
    return picture.missing


def shortened(sentence: str, most: int = 60) -> str:
    """A label for a point."""
    return sentence if len(sentence) <= most else sentence[: most - 1] + "…"


class _Picture:
    """A figure to draw on; written as PNG when all went well. Fonts must be known before a letter is drawn.

    Args:
        width, height: in inches.
        texts: what will be written on it.

    Attributes:
        missing: the characters of the texts that no installed font has and that are boxes in the picture.

    Raises:
        StorageError: it cannot be written; an earlier one is intact.
    """

    def __init__(self, path: Path, width: float, height: float, texts: Iterable[str]) -> None:
        from matplotlib import rc_context
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        from henkan.inspection.fonts import families_for

        families, self.missing = families_for(texts)
        self._path = path
        self._during = ExitStack()
        self._during.enter_context(rc_context({"font.family": families, "text.parse_math": False}))
        self._during.enter_context(warnings.catch_warnings())
        warnings.filterwarnings("ignore", "Glyph")  # the caller is told of them
        self.figure = Figure(figsize=(width, height), dpi=DOTS_PER_INCH, layout="constrained")
        FigureCanvasAgg(self.figure)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._during:
            if kind is None:
                self._write()

    def _write(self) -> None:
        for axes in self.figure.axes:
            for spine in axes.spines.values():
                spine.set_color(RULE)
            axes.tick_params(colors=SOFT, labelcolor=INK)
        partial = self._path.with_name(f".{self._path.name}.partial")
        try:
            self.figure.savefig(partial, format="png")
            os.replace(partial, self._path)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise StorageError(
                f"{self._path}: cannot be written ({error.strerror or error}); free some space or check the rights"
            ) from error
