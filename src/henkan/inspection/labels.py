"""Where to write beside points so that as little as possible lies on top of something else."""

from __future__ import annotations

import math
from collections.abc import Sequence

Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""

_DIRECTIONS = [(math.cos(angle), math.sin(angle)) for angle in (0.0, 0.6, -0.6, math.pi, 2.5, -2.5, 1.57, -1.57)]
_RADII = (9.0, 16.0, 26.0, 40.0, 60.0)
_LINE = 1000.0  # what one label on another costs, beside its area


def place_labels(
    points: Sequence[tuple[float, float]], sizes: Sequence[tuple[float, float]], room: Box, dot: float = 6.0
) -> list[tuple[float, float]]:
    """Left and top of each label.

    Labels are placed in the order of the points, each where it is cheapest: near its point, off other labels, off
    points, inside the room.

    Args:
        points: (x, y), y downwards.
        sizes: width and height of each label.
        room: what the labels should stay inside.
        dot: half the width of a point.
    """
    dots = [(x - dot, y - dot, x + dot, y + dot) for x, y in points]
    placed: list[Box] = []
    for (x, y), (width, height) in zip(points, sizes, strict=True):
        best, least = (x, y), math.inf
        for radius in _RADII:
            for across, down in _DIRECTIONS:
                left = x + across * radius - (width if across < -0.1 else width / 2 if abs(across) <= 0.1 else 0.0)
                top = y + down * radius - height / 2
                box = (left, top, left + width, top + height)
                cost = radius + sum(_LINE * (shared > 0) + shared for shared in (overlap(box, b) for b in placed))
                cost += sum(4 * overlap(box, point) for point in dots)
                cost += 50 * (width * height - overlap(box, room))
                if cost < least:
                    best, least = (left, top), cost
        placed.append((*best, best[0] + width, best[1] + height))
    return [(left, top) for left, top, _, _ in placed]


def overlap(first: Box, second: Box) -> float:
    """The area that two boxes share."""
    across = min(first[2], second[2]) - max(first[0], second[0])
    down = min(first[3], second[3]) - max(first[1], second[1])
    return max(0.0, across) * max(0.0, down)
