"""What an encoder-decoder's settings refuse and with which words, and how gradients reach what they build."""

from typing import Any, get_args

import pytest
import torch
from pydantic import ValidationError

import zoo
from henkan.models.encoder_decoder import EncoderDecoderConfig
from henkan.nn.cells import CellConfig
from henkan.tensors import IGNORE

LSTM = {"kind": "lstm", "size": 8}
TRANSFORMER = {"kind": "transformer", "width": 8, "heads": 2, "feed_forward": 8, "layers": 1}
RECURRENT = {"kind": "recurrent", "cell": LSTM}
ADDITIVE = {"kind": "soft", "scores": {"kind": "additive", "size": 4}}
BAHDANAU = {"kind": "bahdanau", "cell": LSTM, "attention": ADDITIVE, "maxout": 8}

REFUSED = {
    "embedding 6 is not the width of the encoder, 8": {"embedding": 6, "encoder": TRANSFORMER, "decoder": TRANSFORMER},
    "tied 'target' needs a decoder as wide as the embedding: 8 is not 6": {
        "embedding": 6,
        "tied": "target",
        "encoder": RECURRENT,
        "decoder": {"kind": "luong", "cell": LSTM},
    },
    "a luong decoder starts from a recurrent encoder's last state": {
        "encoder": TRANSFORMER,
        "decoder": {"kind": "luong", "cell": LSTM},
    },
    "bridge {kind: backward} needs an encoder whose last layer reads both ways: bidirectional: all": {
        "encoder": RECURRENT,
        "decoder": BAHDANAU,
    },
    "2 decoder layers of 8 cannot start from encoder layers of [8]": {
        "encoder": RECURRENT,
        "decoder": {"kind": "luong", "cell": LSTM, "layers": 2},
    },
    "gru cells cannot start from the last state of lstm cells: only an LSTM's has a cell beside the output": {
        "encoder": RECURRENT,
        "decoder": {"kind": "recurrent", "cell": {"kind": "gru", "size": 8}},
    },
    "lstm-1997 cells cannot start from the last state of rnn cells": {
        "encoder": {"kind": "recurrent", "cell": {"kind": "rnn", "size": 8}},
        "decoder": {"kind": "luong", "cell": {"kind": "lstm-1997", "size": 8}},
    },
    "dot scores need equal widths: the query has 8, the keys have 16": {
        "encoder": {**RECURRENT, "bidirectional": True},
        "decoder": {**BAHDANAU, "attention": {"kind": "soft", "scores": {"kind": "dot"}}},
    },
    "copying points at words by attention, which a recurrent decoder does not have": {
        "copying": True,
        "encoder": RECURRENT,
        "decoder": {"kind": "recurrent", "cell": LSTM},
    },
    "width 8 is not a multiple of heads 3": {"encoder": {**TRANSFORMER, "heads": 3}, "decoder": TRANSFORMER},
}


def config(settings: dict[str, Any]) -> EncoderDecoderConfig:
    return EncoderDecoderConfig.model_validate({"embedding": 8} | settings)


CELL_KINDS = get_args(get_args(CellConfig)[0])


@pytest.mark.parametrize("cell", CELL_KINDS)
def test_cells_say_what_their_states_are_made_of(cell):
    assert cell.parts == len(cell(size=3).build(2).start(1))


@pytest.mark.parametrize("message", REFUSED)
def test_refused(message):
    with pytest.raises(ValidationError) as refusal:
        config(REFUSED[message])
    assert message in str(refusal.value)


def test_a_transformer_may_follow_a_recurrent_encoder():
    wide = {**RECURRENT, "cell": {"kind": "gru", "size": 5}, "bidirectional": True}
    model = config({"encoder": wide, "decoder": TRANSFORMER}).build(11, 12)
    assert model.decoder.layers[0].source_attention.pairs.in_features == 10


def test_all_tied_needs_one_vocabulary():
    tied = config({"tied": "all", "encoder": TRANSFORMER, "decoder": TRANSFORMER})
    with pytest.raises(ValueError, match="11 is not 12"):
        tied.build(11, 12)


def test_copying_needs_one_vocabulary():
    copying = config({"copying": True, "encoder": TRANSFORMER, "decoder": TRANSFORMER})
    with pytest.raises(ValueError, match="copying needs one vocabulary: 11 is not 12"):
        copying.build(11, 12)


def test_uniform_start():
    """Sutskever et al. (2014): every weight in [-0.08, 0.08]."""
    model = config({"uniform_init": 0.08, "encoder": RECURRENT, "decoder": {"kind": "recurrent", "cell": LSTM}})
    for name, parameter in model.build(11, 12).named_parameters():
        assert 0.03 < parameter.detach().abs().max() <= 0.08, name


@pytest.mark.parametrize("name", [name for name, found in zoo.CONFIGS.items() if found.copying])
def test_gradients_of_copying_flow_through_the_attention(name):
    """Along a random direction, by finite differences; most of the probability is pointed, not written."""
    model, batch = zoo.build(zoo.CONFIGS[name]), zoo.batch(zoo.tokens([4, 6, 5]), zoo.tokens([3, 5, 2]))
    torch.nn.init.constant_(model.head.gate.bias, -4.0)
    direction = [torch.randn_like(parameter) for parameter in model.parameters()]
    labels = batch.source.ids[:, : batch.target.ids.shape[1]].where(batch.target.mask, IGNORE)

    def loss() -> torch.Tensor:
        return model(batch).heads["tokens"].loss(labels, 0.1)[0]

    @torch.no_grad()
    def moved(step: float) -> float:
        for parameter, along in zip(model.parameters(), direction, strict=True):
            parameter += step * along
        found = loss().item()
        for parameter, along in zip(model.parameters(), direction, strict=True):
            parameter -= step * along
        return found

    gradients = torch.autograd.grad(loss(), list(model.parameters()))
    expected = sum((gradient * along).sum().item() for gradient, along in zip(gradients, direction, strict=True))
    assert (moved(1e-5) - moved(-1e-5)) / 2e-5 == pytest.approx(expected, rel=1e-5, abs=1e-5)
