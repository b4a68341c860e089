"""A tiny model of every family, and batches for it. A new cell, scorer or decoder gets one entry here.

Sizes are so small that every law runs in milliseconds, weights so large that a slip shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from henkan.models.decoder_only import DecoderOnly, DecoderOnlyConfig
from henkan.models.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from henkan.nn.init import uniform_everywhere
from henkan.tensors import IGNORE, Batch, Output, State, Tokens

VOCABULARY = 13

TRANSFORMER = {"kind": "transformer", "width": 8, "heads": 2, "feed_forward": 12, "layers": 2, "dropout": 0.3}
ADDITIVE = {"kind": "additive", "size": 5}


def _transformer(tied: str = "none", **changes: Any) -> dict[str, Any]:
    sizes = TRANSFORMER | changes
    return {"embedding": 8, "scaled_embedding": True, "tied": tied, "encoder": sizes, "decoder": sizes}


def _recurrent(encoder: dict[str, Any], decoder: dict[str, Any], tied: str = "none") -> dict[str, Any]:
    return {
        "embedding": 6,
        "tied": tied,
        "encoder": {"kind": "recurrent", "dropout": 0.3, **encoder},
        "decoder": {"dropout": 0.3, **decoder},
    }


def _cell(kind: str, size: int = 6) -> dict[str, Any]:
    return {"kind": kind, "size": size}


def _soft(scores: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "soft", "scores": scores}


def _luong(scores: dict[str, Any], layers: int, input_feeding: bool) -> dict[str, Any]:
    """The published shape: as many unidirectional layers below as above."""
    stack = {"cell": _cell("lstm"), "layers": layers}
    return _recurrent(stack, {"kind": "luong", "attention": _soft(scores), "input_feeding": input_feeding, **stack})


def _attending(attention: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """One attention in every kind of recurrence."""
    named = {}
    for name, decoder in _AROUND.items():
        settings = {"cell": _cell("lstm"), "attention": {"scores": ADDITIVE} | attention, **decoder}
        named[name] = _recurrent({"cell": _cell("lstm", 3), "bidirectional": True}, settings)
    return named


def _bahdanau(kind: str) -> dict[str, Any]:
    """The published shape: both directions below, the backward half starts the decoder."""
    return _recurrent(
        {"cell": _cell(kind, 4), "bidirectional": True},
        {"kind": "bahdanau", "cell": _cell(kind), "attention": _soft(ADDITIVE), "maxout": 6},
    )


def _seq2seq(kind: str, layers: int = 2) -> dict[str, Any]:
    stack = {"cell": _cell(kind), "layers": layers}
    return _recurrent(stack, {"kind": "recurrent", **stack})


def _gnmt(cell: str, encoder: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """Three layers of both: the first below reads both ways, the third of each adds its input."""
    below = {"cell": _cell(cell), "layers": 3, "bidirectional": "first", "residual_from": 3}
    above = {"kind": "gnmt", "cell": _cell(cell), "layers": 3, "attention": _soft(ADDITIVE)}
    return _recurrent(below | (encoder or {}), above | changes)


def _family(tied: str, *, top: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """One of the families after the first Transformer; ``top`` is for the model, the rest for both stacks."""
    sizes = TRANSFORMER | changes
    return {"embedding": 8, "tied": tied, "encoder": sizes, "decoder": sizes} | (top or {})


_SCORES: dict[str, dict[str, Any]] = {
    "dot": {"kind": "dot"},
    "general": {"kind": "general"},
    "additive": ADDITIVE,
    "concat": {"kind": "concat", "size": 5},
}
_AROUND: dict[str, dict[str, Any]] = {
    "luong, fed": {"kind": "luong"},
    "luong, not fed": {"kind": "luong", "input_feeding": False},
    "bahdanau": {"kind": "bahdanau", "maxout": 6},
}
_ATTENTIONS: dict[str, dict[str, Any]] = {
    "gated": {"kind": "soft", "gate": True},
    "coverage": {"kind": "coverage"},
    "local-m": {"kind": "local", "centre": "monotonic", "window": 1},
    "local-p": {"kind": "local", "centre": "predictive", "window": 2},
    "hard": {"kind": "hard"},
    "hard, learnt baseline": {"kind": "hard", "baseline": "learnt", "evaluation": "expectation"},
}
_T5: dict[str, Any] = {
    "norm": "pre",
    "normalisation": "rms",
    "biased": False,
    "scaled": False,
    "head_width": 3,
    "inner_dropout": 0.1,
    "last_dropout": 0.1,
    "positions": {"kind": "t5", "buckets": 8, "limit": 6},
}
_GPT2: dict[str, Any] = TRANSFORMER | {
    "kind": "causal",
    "norm": "pre",
    "activation": "gelu_tanh",
    "positions": {"kind": "learned", "limit": 90},
}
_BOTH_WAYS = {"cell": _cell("lstm", 3), "bidirectional": True, "layers": 2}
_BACKWARD = {"kind": "backward"}

_SETTINGS: dict[str, dict[str, Any]] = {
    "transformer, post-norm": _transformer(norm="post"),
    "transformer, pre-norm, all tied": _transformer(norm="pre", tied="all"),
    "transformer, post-norm, target tied, gelu": _transformer(norm="post", tied="target", activation="gelu"),
    "transformer over a recurrent encoder": _transformer(norm="pre", tied="target")
    | {"encoder": {"kind": "recurrent", "cell": {"kind": "lstm", "size": 3}, "bidirectional": True, "dropout": 0.3}},
    "transformer, pre-norm, one layer, one head": _transformer(norm="pre", layers=1, heads=1),
    **{
        f"luong, {scores}, {layers} layers, {'fed' if fed else 'not fed'}": _luong(_SCORES[scores], layers, fed)
        for scores in _SCORES
        for layers in (1, 2)
        for fed in (True, False)
    },
    "t5": _family("all", top={"scaled_output": True}, **_T5),
    "t5 1.1": _family("inputs", gated=True, **_T5 | {"activation": "gelu_tanh"}),
    "bart": _family(
        "all",
        top={"output_bias": True},
        positions={"kind": "learned", "limit": 90, "offset": 2},
        embedding_norm=True,
        activation="gelu",
    ),
    "marian": _family(
        "all",
        top={"output_bias": True, "scaled_embedding": True},
        positions={"kind": "sinusoidal", "stacked": True},
        activation="silu",
    ),
    "rotary, grouped keys, rms norms": _family(
        "none", positions={"kind": "rotary"}, heads=4, key_heads=2, norm="pre", normalisation="rms", gated=True
    ),
    "linear biases": _family("target", positions={"kind": "linear"}, heads=3, head_width=4),
    "luong, both directions below": _recurrent(
        _BOTH_WAYS, {"kind": "luong", "cell": _cell("lstm"), "layers": 2}, tied="all"
    ),
    "luong, gru, projected start": _recurrent(
        _BOTH_WAYS, {"kind": "luong", "cell": _cell("gru", 5), "layers": 2, "bridge": _BACKWARD}
    ),
    "bahdanau, gru": _bahdanau("gru"),
    "bahdanau, lstm": _bahdanau("lstm"),
    "bahdanau, last state, dot": _recurrent(
        _BOTH_WAYS,
        {
            "kind": "bahdanau",
            "cell": _cell("lstm"),
            "attention": _soft({"kind": "dot"}),
            "maxout": 6,
            "bridge": {"kind": "last"},
        },
        tied="target",
    ),
    **{
        f"{name}, {attention}": settings
        for attention, chosen in _ATTENTIONS.items()
        for name, settings in _attending(chosen).items()
    },
    "seq2seq, lstm": _seq2seq("lstm"),
    "seq2seq, gru": _seq2seq("gru"),
    "seq2seq, rnn": _seq2seq("rnn", layers=1),
    "seq2seq, both directions below": _recurrent(
        _BOTH_WAYS, {"kind": "recurrent", "cell": _cell("lstm"), "layers": 2}, tied="target"
    ),
    "stack, first layer both ways, residual": _recurrent(
        {"cell": _cell("lstm"), "layers": 3, "bidirectional": "first", "residual_from": 3},
        {"kind": "recurrent", "cell": _cell("lstm"), "layers": 2, "residual_from": 2},
    ),
    "stack, sum of directions, zoneout": _recurrent(
        {"cell": _cell("gru"), "layers": 2, "bidirectional": "all", "merge": "sum", "residual_from": 2, "zoneout": 0.2},
        {"kind": "recurrent", "cell": _cell("gru"), "layers": 2, "zoneout": 0.2},
    ),
    "stack, mean of directions, variational dropout": _recurrent(
        {"cell": _cell("lstm"), "bidirectional": "all", "merge": "mean", "variational": True},
        {"kind": "recurrent", "cell": _cell("lstm"), "variational": True, "zoneout": 0.1},
    ),
    "stack, gru, variational dropout, zoneout": _recurrent(
        {"cell": _cell("gru"), "layers": 2, "variational": True},
        {"kind": "recurrent", "cell": _cell("gru"), "layers": 2, "variational": True, "zoneout": 0.1},
    ),
    "stack, projected start": _recurrent(
        _BOTH_WAYS, {"kind": "recurrent", "cell": _cell("rnn", 5), "bridge": {"kind": "projected"}, "variational": True}
    ),
    "context, gru": _recurrent(
        {"cell": _cell("gru")}, {"kind": "context", "cell": _cell("gru"), "context": 5, "maxout": 6}, tied="target"
    ),
    "context, lstm, both directions below": _recurrent(
        _BOTH_WAYS, {"kind": "context", "cell": _cell("lstm", 4), "context": 7, "maxout": 5}
    ),
    "gnmt": _gnmt("lstm"),
    "gnmt, the same step asks": _gnmt("lstm", query="same"),
    "gnmt, gru, last states, coverage": _gnmt(
        "gru", {"merge": "sum"}, attention={"kind": "coverage", "scores": ADDITIVE}, bridge={"kind": "last"}
    ),
    "copying, transformer, all tied": _transformer(norm="pre", tied="all") | {"copying": True},
    "copying, luong, fed": _luong(_SCORES["general"], 2, True) | {"copying": True},
    "copying, bahdanau, gru": _bahdanau("gru") | {"copying": True},
}

_CAUSAL_SETTINGS: dict[str, dict[str, Any]] = {
    "gpt2": {"decoder": _GPT2},
    "gpt2, untied, output bias": {"decoder": _GPT2, "tied": False, "output_bias": True},
    "causal, rotary, one key head, rms norms": {
        "decoder": _GPT2
        | {"positions": {"kind": "rotary"}, "heads": 2, "key_heads": 1, "normalisation": "rms", "gated": True}
    },
    "causal, linear biases, post-norm": {"decoder": _GPT2 | {"positions": {"kind": "linear"}, "norm": "post"}},
    "causal, t5 biases": {"decoder": _GPT2 | {"positions": {"kind": "t5", "buckets": 8, "limit": 6}}},
    "causal, no positions": {"decoder": _GPT2 | {"positions": {"kind": "none"}}},
}

CAUSAL_CONFIGS = {name: DecoderOnlyConfig.model_validate(settings) for name, settings in _CAUSAL_SETTINGS.items()}
CONFIGS = {name: EncoderDecoderConfig.model_validate(settings) for name, settings in _SETTINGS.items()}


def build(config: EncoderDecoderConfig, dtype: torch.dtype = torch.float64) -> EncoderDecoder:
    """In evaluation mode, every weight large and random: biases, norms and all."""
    model = config.build(VOCABULARY, VOCABULARY).to(dtype).eval()
    uniform_everywhere(model, 0.8)
    return model


class Continuing(DecoderOnly):
    """A model without a source, for laws that hand every model one."""

    def forward(self, batch: Batch) -> Output:
        return super().forward(replace(batch, source=None))

    def start(self, source: Tokens | None, rows: int, capacity: int) -> State:
        return super().start(None, rows, capacity)

    def encode(self, source: Tokens) -> None:
        return None


def build_causal(config: DecoderOnlyConfig, dtype: torch.dtype = torch.float64) -> Continuing:
    """As :func:`build`."""
    made = config.build(VOCABULARY)
    model = Continuing(made.decoder, made.head).to(dtype).eval()
    uniform_everywhere(model, 0.8)
    return model


def loss(output: Output, labels: dict[str, Tensor], smoothing: float = 0.0) -> Tensor:
    """Something that every parameter of a model learns through."""
    return output.heads["tokens"].loss(labels["tokens"], smoothing)[0] + choices(
        output.extras, labels["tokens"] != IGNORE
    )


def choices(extras: dict[str, Tensor], mask: Tensor) -> Tensor:
    """What attention that chooses, and its baseline, learn through beside the loss; 0 for all others."""
    found = [extras[name][mask].sum() for name in ("log_probability", "baseline") if name in extras]
    return sum(found, torch.zeros(()))


def tokens(lengths: Sequence[int], columns: int | None = None) -> Tokens:
    """Random ids; what lies under the padding is random too, because it must not matter."""
    columns = max(lengths) if columns is None else columns
    mask = torch.arange(columns) < torch.tensor(lengths)[:, None]
    return Tokens(torch.randint(0, VOCABULARY, mask.shape), mask)


def rows(chosen: Tokens, which: slice | Tensor | list[int]) -> Tokens:
    """Some of the rows."""
    return Tokens(chosen.ids[which], chosen.mask[which])


def columns(chosen: Tokens, which: slice) -> Tokens:
    """Some of the columns."""
    return Tokens(chosen.ids[:, which], chosen.mask[:, which])


def batch(source: Tokens, target: Tokens) -> Batch:
    """A batch whose labels follow from the target, position by position: cut the target and you cut the labels."""
    labels = {"tokens": ((target.ids * 5 + 1) % VOCABULARY).masked_fill(~target.mask, IGNORE)}
    return Batch(torch.arange(len(source.ids)), source, target, labels, {"tokens": int(target.mask.sum())})
