"""What presets are made of: a row of the table, and the settings that do not depend on the architecture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from henkan.errors import ConfigError
from henkan.tasks.survey import Facts

Settings = dict[str, Any]

PLENTY = 1_000_000
"""Pairs from which ``auto`` takes a published size."""

FEW = 20_000
"""Pairs below which a model should be tiny, see each of them often, and change after each few of them."""


@dataclass(frozen=True)
class Preset:
    """One row of ``henkan presets``."""

    name: str
    paper: str
    summary: str
    sizes: dict[str, Callable[[Facts], Settings]]
    usual: tuple[str, str] = ("small", "published")  # what auto takes below PLENTY pairs, and from there on

    def choose(self, size: str, facts: Facts) -> str:
        """The size to take for "auto", or the one named; ConfigError if this preset does not come in it."""
        if size == "auto":
            wanted = self.usual[facts.pairs >= PLENTY]
            return wanted if wanted in self.sizes else next(iter(self.sizes))
        if size not in self.sizes:
            raise ConfigError(f"size {size!r}: preset {self.name} comes in {', '.join(self.sizes)}, or say auto")
        return size


def vocabulary(facts: Facts, size: int, subwords: str = "bpe") -> Settings:
    """Joint subwords for two sides of running text; otherwise each side in its own units."""
    units = (facts.source.unit, facts.target.unit)
    # fewer subwords for little data: each should be seen often enough to be learnt
    size = min(size, max(1000, facts.pairs // 3 // 500 * 500))
    if units == ("subword", "subword"):
        return {"joint": True, "source": {"kind": subwords, "vocabulary": size}}
    source, target = ({"kind": subwords if unit == "subword" else unit, "vocabulary": size} for unit in units)
    return {"joint": False, "source": source, "target": target}


def validation(facts: Facts) -> Settings:
    """What chooses the best of a run, among ``training``."""
    return {"validate_by": "exact-match" if facts.spelled else "bleu"}


def small(facts: Facts, model: Settings, learning_rate: float, **data: Any) -> Settings:
    """What small sizes have in common: a trapezoid that fits any budget, greedy validation, beam 5."""
    return {
        "data": data,
        "vocabulary": vocabulary(facts, 8000),
        "model": model,
        "objective": {"kind": "cross_entropy", "smoothing": 0.1},
        "training": {
            "batch_tokens": 2048,
            "optimiser": {"kind": "adamw", "learning_rate": learning_rate, "betas": [0.9, 0.98]},
            "schedule": {"kind": "trapezoid", "warmup": 300, "decay": 0.5},
            **validation(facts),
        },
        "decoding": {"beam": 5, "length_penalty": "gnmt", "alpha": 1.0, "max_ratio": _longest_ratio(facts)},
        "scores": scores(facts),
    }


def further(settings: Settings) -> Settings:
    """A preset's settings for a model that is trained already, which brings its network and its vocabulary.

    A third of the learning rate from scratch, as where labels are learnt, and a short warm-up, after which it falls
    to the end: what was learnt before is kept, and a minute is enough to see it help. Dropout stays the model's own.
    """
    training = settings["training"]
    rates = {name: rate / 3 for name, rate in training["optimiser"].items() if name == "learning_rate"}
    kept = {name: value for name, value in settings.items() if name not in ("model", "vocabulary", "data")}
    return kept | {
        "training": {
            **training,
            "optimiser": {**training["optimiser"], **rates},
            "schedule": {"kind": "trapezoid", "warmup": 100, "decay": 0.9},
        }
    }


def _longest_ratio(facts: Facts) -> float:
    """Output tokens for each input token, at most: single letters are many more than the subwords they come from."""
    return 12.0 if facts.target.unit == "character" and facts.source.unit != "character" else 3.0


def dropout(facts: Facts) -> float:
    """More for little data, which is seen more often in the same time."""
    return 0.1 if facts.pairs >= FEW else 0.2


def scores(facts: Facts) -> list[str]:
    """What is reported of the test set."""
    if not facts.spelled:
        return ["bleu", "chrf"]
    return ["phoneme-error-rate", "word-error-share"] if facts.target.unit == "word" else ["exact-match", "chrf"]
