"""Presets of the families that are pretrained on text: BERT and those after it, in four sizes each.

A family brings its network (:mod:`henkan.models.sizes`), its vocabulary, what it reads, and how it is trained, for
pretraining and for what comes after. Sizes ``tiny`` to ``base`` are those of Turc et al. (2019).
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import get_args

from henkan.errors import ConfigError
from henkan.models.sizes import FAMILIES, POOLERS, Kind, Size
from henkan.presets.basis import Preset, Settings, small, vocabulary
from henkan.tasks.survey import Facts

__all__ = ["PRESETS", "Family", "Size", "find"]

_RATES: dict[str, dict[str, float]] = {
    "pre": {"tiny": 1e-3, "mini": 1e-3, "small": 5e-4, "base": 1e-4},
    "post": {"tiny": 1e-3, "mini": 5e-4, "small": 3e-4, "base": 1e-4},
}
"""Highest learning rates of pretraining, by where the norms are; those of the papers are for batches of 256 sentences.
At twice the rate `bert` mini stays where it knows how frequent words are and no more (docs/log.md)."""

_FINE_RATES: dict[str, float] = {"tiny": 3e-4, "mini": 3e-4, "small": 1e-4, "base": 3e-5}
"""Of fine-tuning, and from scratch; Turc et al. (2019) choose among 3e-4, 1e-4, 5e-5 and 3e-5, small models more."""

_PAIRS_RATES: dict[str, float] = {"tiny": 2e-3, "mini": 1e-3, "small": 5e-4, "base": 2e-4}
"""Of pairs from scratch; a model that is pretrained takes a third, see :func:`henkan.presets.basis.further`."""


@dataclass(frozen=True)
class Family:
    """One row of ``henkan presets``."""

    kind: Kind
    paper: str
    summary: str
    vocabulary: Settings
    reading: Settings | None  # None: it is not pretrained on running text
    tasks: tuple[str, ...]

    @property
    def name(self) -> str:
        """As it is called in a recipe."""
        return self.kind

    def pretraining(self, size: str) -> Settings:
        """Settings of a pretraining recipe below ``preset`` and ``size``."""
        if self.reading is None:
            raise ConfigError(f"preset {self.kind} does not learn from running text; it is a translator")
        model = self.model(size)
        norm = (model.get("encoder") or model["decoder"])["norm"]
        return {
            "vocabulary": self.vocabulary,
            "reading": self.reading,
            "length": 128,
            "model": model,
            "training": {
                "batch_tokens": 4096,
                "optimiser": {
                    "kind": "adamw",
                    "learning_rate": _RATES[norm][size],
                    "betas": [0.9, 0.98],
                    "weight_decay": 0.01,
                },
                "schedule": {"kind": "trapezoid", "warmup": 200, "decay": 0.5},
                "validate_by": "loss",
            },
        }

    def classification(self, size: str, started: bool) -> Settings:
        """Of a recipe whose head reads one vector of a text: what the family's dense layer makes of the first.

        Args:
            started: from a pretrained model, whose network is not said here, but for that layer, which it may lack.
        """
        settings = self._task(size, started, 128)
        pooler = POOLERS.get(self.kind)
        if pooler is None:
            return settings
        return {**settings, "model": {**settings.get("model", {}), "pooler": pooler.model_dump(mode="json")}}

    def tagging(self, size: str, started: bool) -> Settings:
        """Of a recipe whose head reads every token; ``started`` as in :meth:`classification`."""
        return self._task(size, started, 128)

    def question_answering(self, size: str, started: bool) -> Settings:
        """Of a question-answering recipe."""
        settings = self._task(size, started, 256)
        span: Settings = {"heads": {"span": {"kind": "span"}}}
        return {**settings, "stride": 96, "model": {**settings.get("model", {}), **span}}

    def pairs(self) -> Preset:
        """As a preset of pairs, from scratch; for a family with encoder and decoder."""
        sizes: dict[str, Callable[[Facts], Settings]] = {size: partial(self._pairs, size) for size in get_args(Size)}
        return Preset(self.name, self.paper, self.summary, sizes, ("mini", "base"))

    def model(self, size: str) -> Settings:
        """The network's settings."""
        chosen = next((known for known in get_args(Size) if known == size), None)
        if chosen is None:
            raise ConfigError(f"size {size!r}: preset {self.kind} comes in {', '.join(get_args(Size))}")
        return FAMILIES[self.kind](chosen).model_dump(mode="json")

    def _pairs(self, size: str, facts: Facts) -> Settings:
        units = vocabulary(facts, self.vocabulary["vocabulary"], self.vocabulary["kind"])
        tied = {} if units["joint"] else {"tied": "target"}
        settings = small(facts, {**self.model(size), **tied}, _PAIRS_RATES[size])
        return {**settings, "vocabulary": units}

    def _task(self, size: str, started: bool, length: int) -> Settings:
        whole = self.model(size)
        model = {} if started else {"model": {**whole, "heads": {}}}
        return {
            **({} if started else {"vocabulary": {**self.vocabulary, "mask": False}}),
            **model,
            "length": length,
            "training": {
                "epochs": 4,
                "batch_tokens": 1024,
                "optimiser": _adamw(_FINE_RATES[size]),
                "schedule": {"kind": "trapezoid", "warmup": 50, "decay": 0.9},
            },
        }


def _adamw(rate: float) -> Settings:
    return {"kind": "adamw", "learning_rate": rate, "betas": [0.9, 0.98], "weight_decay": 0.01}


def find(name: str) -> Family:
    """ConfigError with the nearest name if there is none."""
    by_name: Mapping[str, Family] = {family.name: family for family in PRESETS}
    if name in by_name:
        return by_name[name]
    near = difflib.get_close_matches(name, by_name, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise ConfigError(f"preset {name!r}: this task has {', '.join(by_name)}{hint}")


_ENCODER = ("pretraining", "classification", "question_answering")

PRESETS = (
    Family(
        "bert",
        "Devlin et al. 2019",
        "masked words, ten fixed masks for each text, and whether a sentence follows",
        {"kind": "wordpiece", "vocabulary": 8000, "mask": True},
        {"kind": "masked", "masks": 10, "next_sentence": True},
        _ENCODER,
    ),
    Family(
        "roberta",
        "Liu et al. 2019",
        "masked words, a new mask each time, full sentences",
        {"kind": "byte_bpe", "vocabulary": 8000, "mask": True},
        {"kind": "masked"},
        _ENCODER,
    ),
    Family(
        "deberta",
        "He et al. 2021",
        "disentangled attention over content and distance; places only where masked words are told",
        {"kind": "unigram", "vocabulary": 8000, "mask": True},
        {"kind": "masked"},
        _ENCODER,
    ),
    Family(
        "gpt2",
        "Radford et al. 2019",
        "the next token, pre-norm, learned positions",
        {"kind": "byte_bpe", "vocabulary": 8000},
        {"kind": "next"},
        ("pretraining",),
    ),
    Family(
        "t5",
        "Raffel et al. 2020",
        "lost spans written out, relative positions in buckets",
        {"kind": "unigram", "vocabulary": 8000, "sentinels": 100},
        {"kind": "spans"},
        ("pretraining", "pairs"),
    ),
    Family(
        "bart",
        "Lewis et al. 2020",
        "spoilt text written as it was",
        {"kind": "byte_bpe", "vocabulary": 8000, "mask": True},
        {"kind": "denoising"},
        ("pretraining", "pairs"),
    ),
    Family(
        "marian",
        "Junczys-Dowmunt et al. 2018",
        "a translator, post-norm, as the OPUS-MT models are",
        {"kind": "unigram", "vocabulary": 8000},
        None,
        ("pairs",),
    ),
)
