"""A score, its interval, and whether two systems differ: all from what a metric counted in each segment.

    hypotheses, references --(a metric)--> Measurement --> Score, scores by length, Comparison with another system

A :class:`Measurement` keeps the counts of every segment apart from the formula that turns their sums into a score
(the sufficient statistics of sacreBLEU). A bootstrap then only adds up counts: no text is read twice.

Resampling draws segments with replacement (Efron 1979; Koehn 2004 for translation) from NumPy's default generator
with seed 12345, row after row. These are sacreBLEU's own draws, so intervals agree with its command line, and all
systems scored on the same segments share them, which is what makes the comparison paired.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import numpy as np

from henkan.errors import InputError

SEED = 12345
"""sacreBLEU's seed; part of every signature that has an interval."""


@dataclass(frozen=True)
class Score:
    """One number about a test set, with the recipe that makes it comparable.

    Attributes:
        name: as people write it: ``BLEU``, ``chrF2``, ``phoneme error rate``.
        value: in percent, 0 to 100 (error rates may exceed 100).
        signature: how it was computed; two values compare only if their signatures agree.
        low, high: the 95 % bootstrap interval, None if it was not computed.
        count: segments scored.
        details: what the value is made of (n-gram precisions, errors, lengths), ready for JSON.
        higher_is_better: False for error rates.
    """

    name: str
    value: float
    signature: str
    low: float | None
    high: float | None
    count: int
    details: dict[str, Any] = field(default_factory=dict)
    higher_is_better: bool = True

    def to_json(self) -> dict[str, Any]:
        """The fields as a dictionary that ``json`` can write."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "Score":
        """The score that :meth:`to_json` wrote.

        Raises:
            InputError: ``fields`` are not those of a score.
        """
        try:
            score = cls(**fields)
            numbers = [score.value, *(bound for bound in (score.low, score.high) if bound is not None)]
            valid = all(isinstance(number, int | float) and np.isfinite(number) for number in numbers)
        except TypeError:
            valid = False
        if not valid or not isinstance(score.name, str) or not isinstance(score.signature, str):
            raise InputError(f"score {str(dict(fields))[:200]}: expected name, value, signature, low, high and count")
        return score

    def __str__(self) -> str:
        return f"{self.name} {shown(self.value)}{self.interval and f' [{self.interval}]'}"

    @property
    def interval(self) -> str:
        """The 95 % interval as people read it, ``"31.0–35.2"``; empty if there is none."""
        return "" if self.low is None or self.high is None else f"{shown(self.low)}–{shown(self.high)}"


def shown(value: float) -> str:
    """One decimal, as papers print scores; two below 10, where error rates are told apart by them."""
    return f"{value:.2f}" if abs(value) < 9.995 else f"{value:.1f}"


class Metric(Protocol):
    """The formula of a score: from the sums of counts over segments to a number."""

    @property
    def name(self) -> str:
        """As in :class:`Score`."""
        ...

    @property
    def higher_is_better(self) -> bool:
        """As in :class:`Score`."""
        ...

    def value(self, sums: np.ndarray) -> float:
        """The score, in percent, of counts (k,) summed over segments."""
        ...

    def details(self, sums: np.ndarray) -> dict[str, Any]:
        """What the score is made of, ready for JSON."""
        ...

    def signature(self, resamples: int) -> str:
        """The recipe; ``resamples`` is 0 if no interval is given."""
        ...


@dataclass(frozen=True)
class Measurement:
    """What one metric counted for one system on one test set.

    Attributes:
        metric: turns sums of counts into a score.
        counts: (segments, k), float64.
    """

    metric: Metric
    counts: np.ndarray

    def value(self) -> float:
        """The score alone: no resampling, for use while training."""
        return self.metric.value(self.counts.sum(0))

    def score(self, bootstrap: int = 1000) -> Score:
        """The score with its signature and 95 % interval; ``bootstrap=0`` leaves the interval out."""
        sums = self.counts.sum(0)
        low, high = interval(self.resampled(bootstrap)) if bootstrap else (None, None)
        return Score(
            name=self.metric.name,
            value=self.metric.value(sums),
            signature=self.metric.signature(bootstrap),
            low=low,
            high=high,
            count=len(self.counts),
            details=self.metric.details(sums),
            higher_is_better=self.metric.higher_is_better,
        )

    def resampled(self, bootstrap: int) -> np.ndarray:
        """The score of each bootstrap resample of the segments, (bootstrap,)."""
        if bootstrap < 1:
            raise InputError(f"{bootstrap} bootstrap resamples: expected at least 1")
        segments = len(self.counts)
        generator = np.random.default_rng(SEED)
        scores = np.empty(bootstrap)
        for row in range(bootstrap):
            # How often each segment was drawn, instead of the draws: sums without copying the counts.
            drawn = np.bincount(generator.integers(0, segments, size=segments), minlength=segments)
            scores[row] = self.metric.value(drawn @ self.counts)
        return scores


def interval(samples: np.ndarray) -> tuple[float, float]:
    """The 95 % percentile interval: a fortieth of the samples lies below it and a fortieth above."""
    ordered = np.sort(samples)
    outside = len(ordered) // 40
    return float(ordered[outside]), float(ordered[len(ordered) - 1 - outside])


@dataclass(frozen=True)
class LengthBand:
    """The score of the segments whose length lies in ``shortest`` … ``longest``, both included."""

    shortest: int
    longest: int
    score: Score

    def to_json(self) -> dict[str, Any]:
        """The fields as a dictionary that ``json`` can write."""
        return asdict(self)


def by_length(
    measurement: Measurement, lengths: Sequence[int], bands: int = 5, bootstrap: int = 1000
) -> list[LengthBand]:
    """The score apart for short and long segments, in bands of about equally many segments.

    Args:
        measurement: what was counted.
        lengths: of each segment, in any unit (words of the source, say).
        bands: at most so many; fewer where many segments have the same length.
        bootstrap: resamples for the interval of each band; 0 for none.
    """
    if len(lengths) != len(measurement.counts):
        raise InputError(f"{len(lengths)} lengths for {len(measurement.counts)} segments: expected one each")
    length = np.asarray(lengths)
    inner = np.quantile(length, np.arange(1, bands) / bands, method="lower")
    band_of = np.searchsorted(np.unique(inner), length, side="left")
    found = []
    for band in np.unique(band_of):
        chosen = band_of == band
        part = Measurement(measurement.metric, measurement.counts[chosen])
        found.append(LengthBand(int(length[chosen].min()), int(length[chosen].max()), part.score(bootstrap)))
    return found


@dataclass(frozen=True)
class Comparison:
    """A second system against a first one, by paired bootstrap on the same segments (Koehn 2004).

    Attributes:
        name: of the metric.
        difference: second minus first, in points of the score.
        low, high: the 95 % interval of that difference.
        p: chance of a difference at least this large, in either direction, if the systems were equally good
            (bootstrap distribution shifted to zero, Efron & Tibshirani 1993; 1 for identical systems).
        p_sacrebleu: the figure that ``sacrebleu --paired-bs`` prints for the same files. It counts one tail only, so
            it is about half of ``p`` and calls one in ten equal systems different at 0.05; here to be compared with.
        resamples: how many were drawn.
    """

    name: str
    difference: float
    low: float
    high: float
    p: float
    p_sacrebleu: float
    resamples: int

    def to_json(self) -> dict[str, Any]:
        """The fields as a dictionary that ``json`` can write."""
        return asdict(self)


def compare(first: Measurement, second: Measurement, bootstrap: int = 1000) -> Comparison:
    """Whether ``second`` differs from ``first``, measured by the same metric on the same segments."""
    if len(first.counts) != len(second.counts):
        raise InputError(
            f"a paired test of {len(first.counts)} and {len(second.counts)} segments: expected the same segments"
        )
    assert first.metric.name == second.metric.name, "a paired test of two metrics"
    difference = second.value() - first.value()
    differences = second.resampled(bootstrap) - first.resampled(bootstrap)
    low, high = interval(differences)
    # Sums of floats may differ in their last bits, so a tie needs a tolerance.
    tie = 1e-9
    as_large = int((np.abs(differences - differences.mean()) >= abs(difference) - tie).sum())
    size = np.abs(differences)
    one_tail = int((size - size.mean() > abs(difference) + tie).sum())
    return Comparison(
        name=first.metric.name,
        difference=difference,
        low=low,
        high=high,
        p=(as_large + 1) / (bootstrap + 1),
        p_sacrebleu=(one_tail + 1) / (bootstrap + 1),
        resamples=bootstrap,
    )


def paired(measurements: Sequence[Measurement], bootstrap: int = 1000) -> list[Comparison]:
    """Every system but the first compared with the first."""
    return [compare(measurements[0], other, bootstrap) for other in measurements[1:]]


def check_segments(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> None:
    """Refuses what no metric can score.

    Args:
        hypotheses: one output per segment, empty ones allowed.
        references: per segment, one or more right answers.

    Raises:
        InputError: unequal counts, no segment at all, or a segment without a reference.
    """
    if len(hypotheses) != len(references):
        raise InputError(
            f"{len(hypotheses)} hypotheses for {len(references)} segments with references: expected one each"
        )
    if not hypotheses:
        raise InputError("no segments to score: expected at least one hypothesis with its references")
    for number, answers in enumerate(references, start=1):
        if isinstance(answers, str):
            raise InputError(f"references of segment {number}: a string; expected a list of strings, one per reference")
        if not answers:
            raise InputError(f"references of segment {number}: none; expected at least one")


def reference_count(references: Sequence[Sequence[str]]) -> str:
    """For a signature: how many references each segment has, ``"var"`` if not all have equally many."""
    counts = {len(answers) for answers in references}
    return str(counts.pop()) if len(counts) == 1 else "var"
