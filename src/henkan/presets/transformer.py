"""Presets of the Transformer (Vaswani et al. 2017)."""

from __future__ import annotations

from collections.abc import Callable

from henkan.presets.basis import FEW, Preset, Settings, dropout, scores, small, validation, vocabulary
from henkan.tasks.survey import Facts


def _transformer_parts(sizes: Settings, facts: Facts) -> Settings:
    joint = vocabulary(facts, 8000)["joint"]
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
        "dropout": dropout(facts),
    }
    return small(facts, _transformer_parts(sizes, facts), 2e-3)


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
    settings = small(facts, _transformer_parts(sizes, facts), 3e-3 if few else 2e-3)
    return {**settings, "training": {**settings["training"], "batch_tokens": 512 if few else 1024}}


def _transformer_published(
    width: int, heads: int, inner: int, dropout: float, averaged: int
) -> Callable[[Facts], Settings]:
    def settings(facts: Facts) -> Settings:
        sizes = {"width": width, "heads": heads, "feed_forward": inner, "layers": 6, "norm": "post", "dropout": dropout}
        return {
            "vocabulary": vocabulary(facts, 37_000),
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
                **validation(facts),
            },
            "decoding": {"beam": 4, "length_penalty": "gnmt", "alpha": 0.6},
            "scores": scores(facts),
        }

    return settings


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
)
