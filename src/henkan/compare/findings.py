"""Which system is best, by how much, and whether that could be chance.

A system of several runs (seeds) scores the mean of their scores. Its interval and its tests resample the segments of
the test set, the same for every run, and take that mean in each resample: they tell how far another test set of the
kind might change the score. How far another seed would, the spread tells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import stdev
from typing import Any

import numpy as np

from henkan.compare.systems import System, check_same_test
from henkan.errors import ConfigError
from henkan.metrics import MEASURES, Comparison, LengthBand, Measurement, Score, by_length, compare
from henkan.metrics.score import Metric

BANDS = 8
"""Bands of source length, at most; fewer for a small test set."""

SMALLEST_BAND = 100
"""Segments in a band, about, where that leaves three bands."""

RESAMPLES = 1000


@dataclass(frozen=True)
class Finding:
    """What was found about one system.

    Attributes:
        score: of the test set, the mean over runs, with its interval.
        each: the score of each run.
        spread: the standard deviation of ``each`` (n - 1); None for one run.
        test: the system minus the best one; None for the best.
        bands: the score by source length.
    """

    system: System
    score: Score
    each: list[float]
    spread: float | None
    test: Comparison | None
    bands: list[LengthBand]

    def to_json(self) -> dict[str, Any]:
        """Its entry in compare.json."""
        system = self.system
        runs = [
            {
                "folder": str(run.folder),
                "seed": run.seed,
                "score": score,
                "parameters": run.parameters,
                "tokens_per_second": run.speed,
                "updates": run.updates,
                "seconds": run.seconds,
                "validation_loss": run.loss,
                "vocabularies": run.vocabularies,
            }
            for run, score in zip(system.runs, self.each, strict=True)
        ]
        return {
            "name": system.name,
            "preset": system.runs[0].preset,
            "size": system.runs[0].size,
            "factor": system.factor,
            "widths": list(system.widths),
            "runs": runs,
            "score": self.score.to_json(),
            "spread": self.spread,
            "against_best": None if self.test is None else self.test.to_json(),
            "by_length": [band.to_json() for band in self.bands],
        }


@dataclass(frozen=True)
class Findings:
    """All systems in the order in which they were given, and which is the best."""

    systems: list[Finding]
    best: Finding
    metric: str  # its name on the command line
    length_unit: str

    def to_json(self) -> dict[str, Any]:
        """What stands in compare.json."""
        return {
            "metric": self.metric,
            "segments": self.best.score.count,
            "length_unit": self.length_unit,
            "best": self.best.system.name,
            "systems": [finding.to_json() for finding in self.systems],
        }


def find(systems: Sequence[System], metric: str | None = None, resamples: int = RESAMPLES) -> Findings:
    """Score every system and test it against the best.

    Args:
        metric: a name of ``henkan.metrics.MEASURES``; None: the first score that the first run's recipe names.
        resamples: of each bootstrap.

    Raises:
        FolderError: the systems were scored on different test sets.
    """
    assert systems, "nothing to compare"
    check_same_test(systems)
    metric = metric or next(iter(systems[0].runs[0].scores), "bleu")
    if metric not in MEASURES:
        raise ConfigError(f"metric {metric!r}: expected one of {', '.join(MEASURES)}")
    scored = systems[0].runs[0].scored
    measured = [[MEASURES[metric](run.scored.outputs, scored.references) for run in system.runs] for system in systems]
    joined = [mean_of(runs) for runs in measured]
    scores = [measurement.score(resamples) for measurement in joined]
    sign = 1 if scores[0].higher_is_better else -1
    best = max(range(len(scores)), key=lambda place: sign * scores[place].value)
    spaced = any(" " in source for source in scored.sources)
    lengths = [len(source.split()) if spaced else len(source) for source in scored.sources]
    bands = min(BANDS, max(3, len(lengths) // SMALLEST_BAND))
    findings = []
    for place, system in enumerate(systems):
        each = [run.value() for run in measured[place]]
        findings.append(
            Finding(
                system,
                scores[place],
                each,
                stdev(each) if len(each) > 1 else None,
                None if place == best else compare(joined[best], joined[place], resamples),
                by_length(joined[place], lengths, bands, resamples),
            )
        )
    return Findings(findings, findings[best], metric, "words of the source" if spaced else "characters of the source")


@dataclass(frozen=True)
class MeanMetric:
    """The mean of one score over several runs, whose counts lie side by side."""

    metric: Metric
    runs: int

    @property
    def name(self) -> str:
        """Of the score."""
        return self.metric.name

    @property
    def higher_is_better(self) -> bool:
        """Of the score."""
        return self.metric.higher_is_better

    def value(self, sums: np.ndarray) -> float:
        """Counts (runs * k,) to the mean of the runs' scores."""
        return float(np.mean([self.metric.value(own) for own in np.split(sums, self.runs)]))

    def details(self, sums: np.ndarray) -> dict[str, Any]:
        """Those of each run."""
        return {"runs": [self.metric.details(own) for own in np.split(sums, self.runs)]}

    def signature(self, resamples: int) -> str:
        """The score's, and of how many runs it is the mean."""
        return f"{self.metric.signature(resamples)}|mean-of:{self.runs}"


def mean_of(runs: Sequence[Measurement]) -> Measurement:
    """Several runs' outputs for one test set as one measurement, whose score is the mean of theirs."""
    if len(runs) == 1:
        return runs[0]
    return Measurement(MeanMetric(runs[0].metric, len(runs)), np.concatenate([run.counts for run in runs], axis=1))
