"""What was measured, as one table of ratios and as JSON."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

Series = list[float]
"""One number for each round."""


@dataclass(frozen=True)
class Comparison:
    """Henkan beside one peer, in rounds that alternated.

    Attributes:
        work: what both did.
        peer: the other toolkit, with what it was set to.
        unit: of the speeds; more is better.
        henkan: Henkan's speed in each round.
        other: the peer's speed in the same rounds.
        henkan_memory, other_memory: MiB at the peak.
    """

    work: str
    peer: str
    unit: str
    henkan: Series
    other: Series
    henkan_memory: float
    other_memory: float

    @property
    def ratios(self) -> Series:
        """How many times as fast Henkan is, in each round."""
        return [own / other for own, other in zip(self.henkan, self.other, strict=True)]


HEAD = (
    "work",
    "beside",
    "times as fast: median",
    "lowest",
    "highest",
    "Henkan",
    "peer",
    "unit",
    "Henkan MiB",
    "peer MiB",
)


def table(comparisons: Sequence[Comparison]) -> str:
    """A Markdown table: median, lowest and highest of the ratios of paired rounds, and the median speeds."""
    rows = [" | ".join(HEAD), " | ".join("---" if place < 2 else "---:" for place in range(len(HEAD)))]
    for found in comparisons:
        ratios = found.ratios
        cells = [found.work, found.peer]
        cells += [f"{ratio:.2f}" for ratio in (statistics.median(ratios), min(ratios), max(ratios))]
        cells += [f"{statistics.median(speeds):,.0f}" for speeds in (found.henkan, found.other)]
        cells += [found.unit, f"{found.henkan_memory:,.0f}", f"{found.other_memory:,.0f}"]
        rows.append(" | ".join(cells))
    return "".join(f"| {row} |\n" for row in rows)


def spread(series: Sequence[float]) -> str:
    """Median, lowest and highest of shares."""
    return f"{statistics.median(series):.1%} ({min(series):.1%} to {max(series):.1%})"
