"""A tiny model of every family, and batches for it. A new cell, scorer or decoder gets one entry here.

Sizes are so small that every law runs in milliseconds, weights so large that a slip shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from henkan.models.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from henkan.nn.init import uniform_everywhere
from henkan.tensors import IGNORE, Batch, Tokens

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


def _luong(scores: dict[str, Any], layers: int, input_feeding: bool) -> dict[str, Any]:
    """The published shape: as many unidirectional layers below as above."""
    stack = {"cell": _cell("lstm"), "layers": layers}
    return _recurrent(stack, {"kind": "luong", "scores": scores, "input_feeding": input_feeding, **stack})


def _bahdanau(kind: str) -> dict[str, Any]:
    """The published shape: both directions below, the backward half starts the decoder."""
    return _recurrent(
        {"cell": _cell(kind, 4), "bidirectional": True},
        {"kind": "bahdanau", "cell": _cell(kind), "scores": ADDITIVE, "maxout": 6},
    )


def _seq2seq(kind: str, layers: int = 2) -> dict[str, Any]:
    stack = {"cell": _cell(kind), "layers": layers}
    return _recurrent(stack, {"kind": "recurrent", **stack})


_SCORES: dict[str, dict[str, Any]] = {"dot": {"kind": "dot"}, "general": {"kind": "general"}, "additive": ADDITIVE}
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
        {"kind": "bahdanau", "cell": _cell("lstm"), "scores": {"kind": "dot"}, "maxout": 6, "bridge": {"kind": "last"}},
        tied="target",
    ),
    "seq2seq, lstm": _seq2seq("lstm"),
    "seq2seq, gru": _seq2seq("gru"),
    "seq2seq, rnn": _seq2seq("rnn", layers=1),
    "seq2seq, both directions below": _recurrent(
        _BOTH_WAYS, {"kind": "recurrent", "cell": _cell("lstm"), "layers": 2}, tied="target"
    ),
}

CONFIGS = {name: EncoderDecoderConfig.model_validate(settings) for name, settings in _SETTINGS.items()}


def build(config: EncoderDecoderConfig, dtype: torch.dtype = torch.float64) -> EncoderDecoder:
    """In evaluation mode, every weight large and random: biases, norms and all."""
    model = config.build(VOCABULARY, VOCABULARY).to(dtype).eval()
    uniform_everywhere(model, 0.8)
    return model


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
