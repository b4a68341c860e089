"""The table of a comparison as texts, for the page and the terminal alike."""

from __future__ import annotations

from henkan.compare.findings import Finding, Findings
from henkan.compare.systems import System
from henkan.metrics.score import shown


def head(findings: Findings) -> list[str]:
    """Titles of the columns; the first two are text, the rest numbers."""
    better = "↑" if findings.best.score.higher_is_better else "↓"
    score = f"{findings.best.score.name} {better}"
    return ["system", "made as", "parameters", "tokens/s", "updates", "loss", score, "95 % interval", "to best", "p"]


def row(finding: Finding) -> list[str]:
    """The cells of a system."""
    system, test = finding.system, finding.test
    spread = "" if finding.spread is None else f" ± {finding.spread:.2f}"
    return [
        system.name,
        _made_as(system),
        _large(system.mean("parameters")),
        _plain(system.mean("speed")),
        _plain(system.mean("updates")),
        _number(system.mean("loss")),
        f"{shown(finding.score.value)}{spread}",
        finding.score.interval or "–",
        "best" if test is None else f"{test.difference:+.2f}".replace("-", "−"),
        "" if test is None else f"{test.p:.3f}",
    ]


def _made_as(system: System) -> str:
    """What the name does not say: preset, size, factor of the widths, number of runs."""
    first = system.runs[0]
    told = [] if first.preset == system.name else [first.preset]
    told.append(f"{first.size} × {system.factor:.2f}" if system.widths else first.size)
    return ", ".join([*told, *([f"{len(system.runs)} seeds"] if len(system.runs) > 1 else [])])


def notes(findings: Findings) -> list[str]:
    """What the columns mean, in sentences."""
    score = findings.best.score
    told = [
        f"{score.name}: {score.count:,} segments, {score.signature}",
        f"to best, p: difference to {findings.best.system.name}, two-sided paired bootstrap on the same segments, "
        "not corrected for several tests",
        "loss: of the validation part, nats per token; tokens/s: of the target, in training",
    ]
    systems = [finding.system for finding in findings.systems]
    if any(len(system.runs) > 1 for system in systems):
        told.append("±: standard deviation between seeds; other columns are means over seeds")
    if len({run.vocabularies for system in systems for run in system.runs}) > 1:
        told.append("vocabularies differ in size, so losses per token do not compare")
    return told


def widths(findings: Findings) -> list[tuple[str, str]]:
    """(system, what its widths became) of those that were brought to another's size."""
    systems = [finding.system for finding in findings.systems]
    return [(system.name, f"× {system.factor:.3f}: {', '.join(system.widths)}") for system in systems if system.widths]


def _large(value: float | None) -> str:
    return "–" if value is None else f"{value / 1e6:.2f} M" if value >= 1e6 else f"{value:,.0f}"


def _plain(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
