"""What is drawn of measured gradients: the same curves in a PNG and on a page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from henkan.inspection.gradients import Flow, Measured, Subject

FLOOR = 1e-12
"""Norms below this are left out: errors that small change no weight, and would squeeze all others flat."""

CEILING = 1e12
"""Likewise above."""

Kind = Literal["hidden", "cell", "norm"]


@dataclass(frozen=True)
class Curve:
    """A line of a picture; points that are zero, not finite or out of the picture are left out."""

    label: str
    place: int  # of the line among all lines, the same in every panel: its colour
    xs: list[float]
    ys: list[float]
    single: bool  # points stand for something each: mark them


def curves(subjects: Sequence[Subject], kind: Kind, clipped: bool) -> list[Curve]:
    """The curves of one panel, in the order of the subjects; none where no subject has any."""
    found: list[Curve] = []
    place = 0
    for subject in subjects:
        measured = subject.on if clipped else subject.off
        if kind == "norm":
            found += _curve(subject.label, place, np.array(measured.norms), 1, True)
        for number, flow in enumerate(measured.flows):
            values = flow.hidden if kind == "hidden" else flow.cell
            if kind != "norm" and values is not None:
                found += _curve(label(subject, flow), place + number, values, 0, False)
        place += len(measured.flows)
    return found


def label(subject: Subject, flow: Flow) -> str:
    """A line's name: the subject's, and the layer's where there are several."""
    measured: Measured = subject.off
    return subject.label if len(measured.flows) == 1 else f"{subject.label}, {flow.label}"


def _curve(name: str, place: int, values: np.ndarray, first: int, single: bool) -> list[Curve]:
    kept = [(first + x, float(y)) for x, y in enumerate(values) if math.isfinite(y) and FLOOR <= y <= CEILING]
    return [Curve(name, place, [x for x, _ in kept], [y for _, y in kept], single)] if kept else []
