"""Presets of recurrent models with attention."""

from __future__ import annotations

from henkan.presets.basis import Preset, Settings, dropout, scores, small, validation, vocabulary
from henkan.tasks.survey import Facts

# Bahdanau et al. (2015)


def _bahdanau_small(facts: Facts) -> Settings:
    model = {
        "embedding": 256,
        "scaled_embedding": True,
        "encoder": {
            "kind": "recurrent",
            "cell": {"kind": "gru", "size": 256},
            "bidirectional": "all",
            "dropout": dropout(facts),
        },
        "decoder": {
            "kind": "bahdanau",
            "cell": {"kind": "gru", "size": 512},
            "attention": {"kind": "soft", "scores": {"kind": "additive", "size": 256}},
            "maxout": 256,
            "dropout": dropout(facts),
        },
    }
    return small(facts, model, 2e-3)


def _bahdanau_published(facts: Facts) -> Settings:
    words = {"kind": "word", "vocabulary": 30_000}
    return {
        "vocabulary": {"joint": False, "source": words, "target": words},
        "model": {
            "embedding": 620,
            "encoder": {"kind": "recurrent", "cell": {"kind": "gru", "size": 1000}, "bidirectional": "all"},
            "decoder": {
                "kind": "bahdanau",
                "cell": {"kind": "gru", "size": 1000},
                "attention": {"kind": "soft", "scores": {"kind": "additive", "size": 1000}},
                "maxout": 500,
            },
        },
        "objective": {"kind": "cross_entropy", "smoothing": 0.0},
        "training": {
            "batch_tokens": 2400,  # 80 sentences
            "optimiser": {"kind": "adadelta", "rho": 0.95, "epsilon": 1e-6},
            "schedule": {"kind": "constant"},
            "clip": 1.0,
            **validation(facts),
        },
        "decoding": {"beam": 12, "length_penalty": "plain", "alpha": 1.0},
        "scores": scores(facts),
    }


# Luong et al. (2015)


def _luong_small(facts: Facts) -> Settings:
    model = {
        "embedding": 256,
        "scaled_embedding": True,
        "encoder": {
            "kind": "recurrent",
            "cell": {"kind": "lstm", "size": 256},
            "bidirectional": "all",
            "dropout": dropout(facts),
        },
        "decoder": {
            "kind": "luong",
            "cell": {"kind": "lstm", "size": 512},
            "attention": {"kind": "soft", "scores": {"kind": "general"}},
            "dropout": dropout(facts),
        },
    }
    return small(facts, model, 3e-3)


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
                "attention": {"kind": "soft", "scores": {"kind": "general"}},
                "dropout": 0.2,
            },
        },
        "objective": {"kind": "cross_entropy", "smoothing": 0.0},
        "training": {
            "batch_tokens": 4096,  # 128 sentences
            "optimiser": {"kind": "sgd", "learning_rate": 1.0},
            "schedule": {"kind": "halving", "after": 8.0, "every": 1.0},
            "clip": 5.0,
            **validation(facts),
        },
        "decoding": {"beam": 10, "length_penalty": "none"},
        "scores": scores(facts),
    }


# Xu et al. (2015), whose sources are pictures


def _hard_small(facts: Facts) -> Settings:
    model = {
        "embedding": 256,
        "scaled_embedding": True,
        "encoder": {
            "kind": "recurrent",
            "cell": {"kind": "lstm", "size": 256},
            "bidirectional": "all",
            "dropout": dropout(facts),
        },
        "decoder": {
            "kind": "bahdanau",
            "cell": {"kind": "lstm", "size": 512},
            "attention": {"kind": "hard", "scores": {"kind": "additive", "size": 256}},
            "maxout": 256,
            "dropout": dropout(facts),
        },
    }
    return {**small(facts, model, 2e-3), "objective": {"kind": "reinforce", "smoothing": 0.1}}


# Wu et al. (2016)


def _gnmt_parts(embedding: int, size: int, layers: int, hidden: int, dropped: float) -> Settings:
    cell = {"kind": "lstm", "size": size}
    stack = {"cell": cell, "layers": layers, "residual_from": 3, "dropout": dropped}
    return {
        "embedding": embedding,
        "encoder": {"kind": "recurrent", **stack, "bidirectional": "first"},
        "decoder": {
            "kind": "gnmt",
            **stack,
            "attention": {"kind": "soft", "scores": {"kind": "additive", "size": hidden}},
        },
    }


def _gnmt_small(facts: Facts) -> Settings:
    model = {**_gnmt_parts(256, 256, 4, 256, dropout(facts)), "scaled_embedding": True}
    return {**small(facts, model, 2e-3), "vocabulary": vocabulary(facts, 8000, "wordpiece")}


def _gnmt_published(facts: Facts) -> Settings:
    return {
        "vocabulary": vocabulary(facts, 32_000, "wordpiece"),
        "model": {**_gnmt_parts(1024, 1024, 8, 1024, 0.2), "uniform_init": 0.04},
        "objective": {"kind": "cross_entropy", "smoothing": 0.0},
        "training": {
            "batch_tokens": 4096,  # 128 sentences
            # the first 60,000 updates there; SGD at 0.5 follows
            "optimiser": {"kind": "adamw", "learning_rate": 2e-4, "betas": [0.9, 0.999], "weight_decay": 0.0},
            "schedule": {"kind": "constant"},
            "clip": 5.0,
            **validation(facts),
        },
        "decoding": {"beam": 8, "length_penalty": "gnmt", "alpha": 0.2, "coverage": 0.2},
        "scores": scores(facts),
    }


PRESETS = (
    Preset(
        "gnmt-2016",
        "Wu et al. 2016",
        "deep LSTM, first encoder layer both ways, residual from the third, attention to all decoder layers",
        {"small": _gnmt_small, "published": _gnmt_published},
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
        "hard-attention",
        "Xu et al. 2015",
        "LSTM that looks at one position of the source, drawn while training (REINFORCE)",
        {"small": _hard_small},
    ),
)
