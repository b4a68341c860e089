"""The line by name: each preset is an architecture with its data settings, start, objective, optimiser and decoding.

A preset comes in sizes: ``published`` (as in the paper) and ``small`` (trains on two cores); ``auto`` chooses by the
amount of data. The Transformers are sizes of one paper, so each of them has one size only. What is returned is a
plain mapping, the bottom layer of a run's settings: a recipe and the command line go on top.
"""

from __future__ import annotations

import difflib
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

    def choose(self, size: str, facts: Facts) -> str:
        """The size to take for "auto", "small" or "published"; ConfigError if this preset does not come in it."""
        if size == "auto":
            wanted = "published" if facts.pairs >= PLENTY else "small"
            return wanted if wanted in self.sizes else next(iter(self.sizes))
        if size not in self.sizes:
            raise ConfigError(f"size {size!r}: preset {self.name} comes in {', '.join(self.sizes)}, or say auto")
        return size


def find(name: str) -> Preset:
    """ConfigError with the nearest name if there is none."""
    for preset in PRESETS:
        if preset.name == name:
            return preset
    names = [preset.name for preset in PRESETS]
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise ConfigError(f"preset {name!r} is none of {', '.join(names)}{hint}")


def default(facts: Facts) -> str:
    """The preset to take when none is named."""
    if facts.spelled or facts.pairs < FEW:
        return "transformer-tiny"
    return "transformer-base" if facts.pairs >= PLENTY else "transformer-small"


def describe() -> list[tuple[str, str, str, str]]:
    """(name, sizes, paper, summary) of every preset."""
    return [(preset.name, ", ".join(preset.sizes), preset.paper, preset.summary) for preset in PRESETS]


# Shared by all small sizes


def _vocabulary(facts: Facts, size: int) -> Settings:
    """Joint subwords for two sides of running text; otherwise each side in its own units."""
    units = (facts.source.unit, facts.target.unit)
    # fewer subwords for little data: each should be seen often enough to be learnt
    size = min(size, max(1000, facts.pairs // 3 // 500 * 500))
    if units == ("subword", "subword"):
        return {"joint": True, "source": {"kind": "bpe", "vocabulary": size}}
    source, target = ({"kind": "bpe" if unit == "subword" else unit, "vocabulary": size} for unit in units)
    return {"joint": False, "source": source, "target": target}


def _validation(facts: Facts) -> Settings:
    return {"validate_by": "exact-match" if facts.spelled else "bleu"}


def _small(facts: Facts, model: Settings, learning_rate: float, **data: Any) -> Settings:
    """What small sizes have in common: a trapezoid that fits any budget, greedy validation, beam 5."""
    return {
        "data": data,
        "vocabulary": _vocabulary(facts, 8000),
        "model": model,
        "objective": {"kind": "cross_entropy", "smoothing": 0.1},
        "training": {
            "batch_tokens": 2048,
            "optimiser": {"kind": "adamw", "learning_rate": learning_rate, "betas": [0.9, 0.98]},
            "schedule": {"kind": "trapezoid", "warmup": 300, "decay": 0.5},
            **_validation(facts),
        },
        "decoding": {"beam": 5, "length_penalty": "gnmt", "alpha": 1.0, "max_ratio": _longest_ratio(facts)},
        "scores": _scores(facts),
    }


def _longest_ratio(facts: Facts) -> float:
    """Output tokens for each input token, at most: single letters are many more than the subwords they come from."""
    return 12.0 if facts.target.unit == "character" and facts.source.unit != "character" else 3.0


def _dropout(facts: Facts) -> float:
    """More for little data, which is seen more often in the same time."""
    return 0.1 if facts.pairs >= FEW else 0.2


def _scores(facts: Facts) -> list[str]:
    if not facts.spelled:
        return ["bleu", "chrf"]
    return ["phoneme-error-rate", "word-error-share"] if facts.target.unit == "word" else ["exact-match", "chrf"]


# Transformer (Vaswani et al. 2017)


def _transformer_parts(sizes: Settings, facts: Facts) -> Settings:
    joint = _vocabulary(facts, 8000)["joint"]
    return {
        "embedding": sizes["width"],
        "scaled_embedding": True,
        "tied": "all" if joint else "target",
        "encoder": {"kind": "transformer", **sizes},
        "decoder": {"kind": "transformer", **sizes},
    }


def _transformer_small(facts: Facts) -> Settings:
    sizes = {
        "width": 256,
        "heads": 4,
        "feed_forward": 1024,
        "layers": 3,
        "norm": "pre",
        "dropout": _dropout(facts),
    }
    return _small(facts, _transformer_parts(sizes, facts), 2e-3)


def _transformer_tiny(facts: Facts) -> Settings:
    sizes = {
        "width": 128,
        "heads": 4,
        "feed_forward": 512,
        "layers": 4,
        "norm": "pre",
        "dropout": 0.1,
    }
    few = facts.pairs < FEW
    settings = _small(facts, _transformer_parts(sizes, facts), 3e-3 if few else 2e-3)
    return {**settings, "training": {**settings["training"], "batch_tokens": 512 if few else 1024}}


def _transformer_published(
    width: int, heads: int, inner: int, dropout: float, averaged: int
) -> Callable[[Facts], Settings]:
    def settings(facts: Facts) -> Settings:
        sizes = {"width": width, "heads": heads, "feed_forward": inner, "layers": 6, "norm": "post", "dropout": dropout}
        return {
            "vocabulary": _vocabulary(facts, 37_000),
            "model": _transformer_parts(sizes, facts),
            "objective": {"kind": "cross_entropy", "smoothing": 0.1},
            "training": {
                "batch_tokens": 25_000,
                "optimiser": {
                    "kind": "adamw",
                    "learning_rate": (width * 4000) ** -0.5,  # equation 3 at its peak
                    "betas": [0.9, 0.98],
                    "epsilon": 1e-9,
                    "weight_decay": 0.0,
                },
                "schedule": {"kind": "inverse_square_root", "warmup": 4000},
                "average": averaged,
                **_validation(facts),
            },
            "decoding": {"beam": 4, "length_penalty": "gnmt", "alpha": 0.6},
            "scores": _scores(facts),
        }

    return settings


# Recurrent


def _seq2seq_small(facts: Facts) -> Settings:
    layers = {"kind": "recurrent", "cell": {"kind": "lstm", "size": 512}, "layers": 4, "dropout": _dropout(facts)}
    model = {"embedding": 256, "scaled_embedding": True, "encoder": layers, "decoder": layers}
    return _small(facts, model, 2e-3, reverse_source=True)


def _seq2seq_published(facts: Facts) -> Settings:
    cell = {"kind": "lstm", "size": 1000}
    return {
        "data": {"reverse_source": True},
        "vocabulary": {
            "joint": False,
            "source": {"kind": "word", "vocabulary": 160_000},
            "target": {"kind": "word", "vocabulary": 80_000},
        },
        "model": {
            "embedding": 1000,
            "uniform_init": 0.08,
            "encoder": {"kind": "recurrent", "cell": cell, "layers": 4},
            "decoder": {"kind": "recurrent", "cell": cell, "layers": 4},
        },
        "objective": {"kind": "cross_entropy", "smoothing": 0.0},
        "training": {
            "batch_tokens": 4096,  # 128 sentences of similar length
            "optimiser": {"kind": "sgd", "learning_rate": 0.7},
            "schedule": {"kind": "halving", "after": 5.0, "every": 0.5},
            "clip": 5.0,
            **_validation(facts),
        },
        "decoding": {"beam": 12, "length_penalty": "none"},
        "scores": _scores(facts),
    }


def _bahdanau_small(facts: Facts) -> Settings:
    model = {
        "embedding": 256,
        "scaled_embedding": True,
        "encoder": {
            "kind": "recurrent",
            "cell": {"kind": "gru", "size": 256},
            "bidirectional": True,
            "dropout": _dropout(facts),
        },
        "decoder": {
            "kind": "bahdanau",
            "cell": {"kind": "gru", "size": 512},
            "scores": {"kind": "additive", "size": 256},
            "maxout": 256,
            "dropout": _dropout(facts),
        },
    }
    return _small(facts, model, 2e-3)


def _bahdanau_published(facts: Facts) -> Settings:
    words = {"kind": "word", "vocabulary": 30_000}
    return {
        "vocabulary": {"joint": False, "source": words, "target": words},
        "model": {
            "embedding": 620,
            "encoder": {"kind": "recurrent", "cell": {"kind": "gru", "size": 1000}, "bidirectional": True},
            "decoder": {
                "kind": "bahdanau",
                "cell": {"kind": "gru", "size": 1000},
                "scores": {"kind": "additive", "size": 1000},
                "maxout": 500,
            },
        },
        "objective": {"kind": "cross_entropy", "smoothing": 0.0},
        "training": {
            "batch_tokens": 2400,  # 80 sentences
            "optimiser": {"kind": "adadelta", "rho": 0.95, "epsilon": 1e-6},
            "schedule": {"kind": "constant"},
            "clip": 1.0,
            **_validation(facts),
        },
        "decoding": {"beam": 12, "length_penalty": "plain", "alpha": 1.0},
        "scores": _scores(facts),
    }


def _luong_small(facts: Facts) -> Settings:
    model = {
        "embedding": 256,
        "scaled_embedding": True,
        "encoder": {
            "kind": "recurrent",
            "cell": {"kind": "lstm", "size": 256},
            "bidirectional": True,
            "dropout": _dropout(facts),
        },
        "decoder": {
            "kind": "luong",
            "cell": {"kind": "lstm", "size": 512},
            "scores": {"kind": "general"},
            "dropout": _dropout(facts),
        },
    }
    return _small(facts, model, 3e-3)


def _luong_published(facts: Facts) -> Settings:
    cell = {"kind": "lstm", "size": 1000}
    words = {"kind": "word", "vocabulary": 50_000}
    return {
        "data": {"reverse_source": True},
        "vocabulary": {"joint": False, "source": words, "target": words},
        "model": {
            "embedding": 1000,
            "uniform_init": 0.1,
            "encoder": {"kind": "recurrent", "cell": cell, "layers": 4, "dropout": 0.2},
            "decoder": {
                "kind": "luong",
                "cell": cell,
                "layers": 4,
                "scores": {"kind": "general"},
                "dropout": 0.2,
            },
        },
        "objective": {"kind": "cross_entropy", "smoothing": 0.0},
        "training": {
            "batch_tokens": 4096,  # 128 sentences
            "optimiser": {"kind": "sgd", "learning_rate": 1.0},
            "schedule": {"kind": "halving", "after": 8.0, "every": 1.0},
            "clip": 5.0,
            **_validation(facts),
        },
        "decoding": {"beam": 10, "length_penalty": "none"},
        "scores": _scores(facts),
    }


PRESETS = (
    Preset(
        "transformer-tiny",
        "Vaswani et al. 2017",
        "4 + 4 layers of 128, pre-norm; for single words (Yolchuyeva et al. 2019) and for few pairs",
        {"small": _transformer_tiny},
    ),
    Preset(
        "transformer-small",
        "Vaswani et al. 2017",
        "3 + 3 layers of 256, pre-norm, tied embeddings, 8k joint subwords",
        {"small": _transformer_small},
    ),
    Preset(
        "transformer-base",
        "Vaswani et al. 2017",
        "6 + 6 layers of 512, post-norm, tied embeddings",
        {"published": _transformer_published(512, 8, 2048, 0.1, 5)},
    ),
    Preset(
        "transformer-big",
        "Vaswani et al. 2017",
        "6 + 6 layers of 1024, post-norm, tied embeddings",
        {"published": _transformer_published(1024, 16, 4096, 0.3, 20)},
    ),
    Preset(
        "luong-2015",
        "Luong et al. 2015",
        "LSTM, general attention above it, input feeding",
        {"small": _luong_small, "published": _luong_published},
    ),
    Preset(
        "bahdanau-2015",
        "Bahdanau et al. 2015",
        "bidirectional GRU, additive attention inside the recurrence, maxout output",
        {"small": _bahdanau_small, "published": _bahdanau_published},
    ),
    Preset(
        "seq2seq-2014",
        "Sutskever et al. 2014",
        "4 LSTM layers, reversed source, no attention",
        {"small": _seq2seq_small, "published": _seq2seq_published},
    ),
)
