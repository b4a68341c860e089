"""Presets of recurrent models without attention: all that the decoder knows is one vector."""

from __future__ import annotations

from collections.abc import Callable

from henkan.presets.basis import Preset, Settings, dropout, scores, small, validation
from henkan.tasks.survey import Facts


def _plain(cell: Settings, learning_rate: float, bidirectional: bool = False) -> Callable[[Facts], Settings]:
    """One layer below and one above, 512 wide, so that presets differ in the cell alone."""

    def settings(facts: Facts) -> Settings:
        both_ways = {"cell": {**cell, "size": 256}, "bidirectional": "all"}
        layer = {"kind": "recurrent", "cell": {**cell, "size": 512}, "dropout": dropout(facts)}
        model = {
            "embedding": 256,
            "scaled_embedding": True,
            "encoder": {**layer, **both_ways} if bidirectional else layer,
            "decoder": layer,
        }
        return small(facts, model, learning_rate)

    return settings


# Sutskever et al. (2014)


def _seq2seq_small(facts: Facts) -> Settings:
    layers = {"kind": "recurrent", "cell": {"kind": "lstm", "size": 512}, "layers": 4, "dropout": dropout(facts)}
    model = {"embedding": 256, "scaled_embedding": True, "encoder": layers, "decoder": layers}
    return small(facts, model, 2e-3, reverse_source=True)


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
            **validation(facts),
        },
        "decoding": {"beam": 12, "length_penalty": "none"},
        "scores": scores(facts),
    }


# Cho et al. (2014)


def _encdec_small(facts: Facts) -> Settings:
    cell = {"kind": "gru", "size": 512}
    model = {
        "embedding": 256,
        "scaled_embedding": True,
        "encoder": {"kind": "recurrent", "cell": cell, "dropout": dropout(facts)},
        "decoder": {"kind": "context", "cell": cell, "context": 512, "maxout": 256, "dropout": dropout(facts)},
    }
    return small(facts, model, 2e-3)


def _encdec_published(facts: Facts) -> Settings:
    cell = {"kind": "gru", "size": 1000}
    words = {"kind": "word", "vocabulary": 15_000}
    return {
        "vocabulary": {"joint": False, "source": words, "target": words},
        "model": {
            "embedding": 100,
            "encoder": {"kind": "recurrent", "cell": cell},
            "decoder": {"kind": "context", "cell": cell, "context": 1000, "maxout": 500},
        },
        "objective": {"kind": "cross_entropy", "smoothing": 0.0},
        "training": {
            "batch_tokens": 1920,  # 64 pairs; phrases there
            "optimiser": {"kind": "adadelta", "rho": 0.95, "epsilon": 1e-6},
            "schedule": {"kind": "constant"},
            "clip": 1.0,
            **validation(facts),
        },
        "decoding": {"beam": 10, "length_penalty": "plain", "alpha": 1.0},  # there it scores phrases that others found
        "scores": scores(facts),
    }


PRESETS = (
    Preset(
        "seq2seq-2014",
        "Sutskever et al. 2014",
        "4 LSTM layers, reversed source, no attention",
        {"small": _seq2seq_small, "published": _seq2seq_published},
    ),
    Preset(
        "rnn-encdec",
        "Cho et al. 2014",
        "GRU, the source as one vector at every step, maxout output",
        {"small": _encdec_small, "published": _encdec_published},
    ),
    Preset(
        "gru",
        "Cho et al. 2014",
        "one GRU layer, the last state starts the decoder",
        {"small": _plain({"kind": "gru"}, 2e-3)},
    ),
    Preset(
        "lstm-peephole",
        "Gers & Schmidhuber 2000",
        "one LSTM layer whose gates see the cell, the last state starts the decoder",
        {"small": _plain({"kind": "lstm", "peephole": True}, 2e-3)},
    ),
    Preset(
        "lstm",
        "Gers et al. 2000",
        "one LSTM layer, the last state starts the decoder",
        {"small": _plain({"kind": "lstm"}, 2e-3)},
    ),
    Preset(
        "lstm-1997",
        "Hochreiter & Schmidhuber 1997",
        "one LSTM layer without a forget gate, the last state starts the decoder",
        {"small": _plain({"kind": "lstm-1997"}, 2e-3)},
    ),
    Preset(
        "birnn",
        "Schuster & Paliwal 1997",
        "one tanh layer below that reads both ways, one above, the last states start the decoder",
        {"small": _plain({"kind": "rnn"}, 1e-3, bidirectional=True)},
    ),
    Preset(
        "rnn",
        "Elman 1990",
        "one tanh layer, the last state starts the decoder",
        {"small": _plain({"kind": "rnn"}, 1e-3)},
    ),
)
