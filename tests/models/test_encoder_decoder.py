"""What an encoder-decoder's settings refuse, and with which words."""

from typing import Any

import pytest
from pydantic import ValidationError

from henkan.models.encoder_decoder import EncoderDecoderConfig

LSTM = {"kind": "lstm", "size": 8}
TRANSFORMER = {"kind": "transformer", "width": 8, "heads": 2, "feed_forward": 8, "layers": 1}
RECURRENT = {"kind": "recurrent", "cell": LSTM}
BAHDANAU = {"kind": "bahdanau", "cell": LSTM, "scores": {"kind": "additive", "size": 4}, "maxout": 8}

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
    "bridge {kind: backward} needs an encoder with bidirectional: true": {"encoder": RECURRENT, "decoder": BAHDANAU},
    "2 decoder layers of 8 cannot start from encoder layers of [8]": {
        "encoder": RECURRENT,
        "decoder": {"kind": "luong", "cell": LSTM, "layers": 2},
    },
    "dot scores need equal widths: the query has 8, the keys have 16": {
        "encoder": {**RECURRENT, "bidirectional": True},
        "decoder": {**BAHDANAU, "scores": {"kind": "dot"}},
    },
    "width 8 is not a multiple of heads 3": {"encoder": {**TRANSFORMER, "heads": 3}, "decoder": TRANSFORMER},
}


def config(settings: dict[str, Any]) -> EncoderDecoderConfig:
    return EncoderDecoderConfig.model_validate({"embedding": 8} | settings)


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


def test_uniform_start():
    """Sutskever et al. (2014): every weight in [-0.08, 0.08]."""
    model = config({"uniform_init": 0.08, "encoder": RECURRENT, "decoder": {"kind": "recurrent", "cell": LSTM}})
    for name, parameter in model.build(11, 12).named_parameters():
        assert 0.03 < parameter.detach().abs().max() <= 0.08, name
