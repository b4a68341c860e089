"""An encoder with heads: what padding, neighbours and packing must not change, and what every head gives."""

import pytest
import torch

import zoo
from henkan.models.encoder_only import EncoderOnlyConfig
from henkan.nn.init import uniform_everywhere
from henkan.tensors import IGNORE, Batch, Sentences, Tokens

HEADS = {
    "tokens": {"kind": "masked"},
    "next": {"kind": "class", "classes": 2},
    "values": {"kind": "value"},
    "labels": {"kind": "label", "labels": 4},
    "span": {"kind": "span"},
    "choice": {"kind": "choice"},
}
PARTS = {
    "bert": {"positions": {"kind": "learned", "limit": 20}, "segments": 2, "embedding_norm": True},
    "roberta": {"positions": {"kind": "learned", "limit": 20, "offset": 2}, "embedding_norm": True},
    "deberta": {"positions": {"kind": "disentangled", "span": 4, "limit": 9}, "embedding_norm": True},
    "t5 biases, rms norms": {"positions": {"kind": "t5", "buckets": 8, "limit": 6}, "normalisation": "rms"},
}
LENGTHS = [5, 2, 7]


def build(name):
    encoder = zoo.TRANSFORMER | {"activation": "gelu"} | PARTS[name]
    config = EncoderOnlyConfig.model_validate({"encoder": encoder, "pooler": {"kind": "dense"}, "heads": HEADS})
    model = config.build(zoo.VOCABULARY).double().eval()
    uniform_everywhere(model, 0.8)
    return model


@pytest.fixture(params=PARTS)
def model(request):
    return build(request.param)


def read(model, tokens):
    """What every head says, as tensors; and the states."""
    output = model(Batch(torch.arange(len(tokens.ids)), tokens, None))
    heads = dict(output.heads)
    heads["tokens"] = heads["tokens"].logits()
    return heads | {"states": model.encode(tokens).states, "pooled": output.extras["pooled"]}


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_shapes(model):
    found = read(model, zoo.tokens(LENGTHS))
    shapes = {name: tuple(tensor.shape) for name, tensor in found.items()}
    assert shapes == {
        "tokens": (3, 7, zoo.VOCABULARY),
        "next": (3, 2),
        "values": (3, 1),
        "labels": (3, 7, 4),
        "span": (3, 7, 2),
        "choice": (3,),
        "states": (3, 7, 8),
        "pooled": (3, 8),
    }


def test_each_text_by_itself(model):
    tokens = zoo.tokens(LENGTHS, 9)
    together = read(model, tokens)
    for row, length in enumerate(LENGTHS):
        alone = read(model, zoo.columns(zoo.rows(tokens, slice(row, row + 1)), slice(length)))
        for name, tensor in alone.items():
            other = together[name][row]
            close(tensor[0], other[:length] if tensor.dim() == 3 else other)


def test_every_parameter_learns(model):
    tokens = zoo.tokens(LENGTHS)
    segments = (tokens.ids % 2) if hasattr(model.encoder.segments, "weight") else None
    output = model(Batch(torch.arange(3), Tokens(tokens.ids, tokens.mask, segments), None))
    labels = tokens.ids.masked_fill(~tokens.mask, IGNORE)
    (
        output.heads["tokens"].loss(labels)[0] + sum(h.square().sum() for n, h in output.heads.items() if n != "tokens")
    ).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), name


@pytest.mark.parametrize("name", ["bert", "roberta"])
def test_packed_or_padded(name):
    """Texts end to end in one row give what they give alone."""
    model, tokens = build(name), zoo.tokens(LENGTHS)
    starts = torch.tensor([0, 5, 7, 14], dtype=torch.int32)
    packed = Tokens(tokens.ids[tokens.mask][None], torch.ones(1, 14, dtype=torch.bool), sentences=Sentences(starts, 7))
    expected, found = read(model, tokens), read(model, packed)
    for name in ("next", "values", "choice", "pooled"):
        close(found[name], expected[name])
    for name in ("tokens", "labels", "span", "states"):
        close(found[name][0], expected[name][tokens.mask])


def test_a_head_is_named_by_a_word():
    with pytest.raises(ValueError, match="head 'my head': a name is a word"):
        EncoderOnlyConfig.model_validate({"encoder": zoo.TRANSFORMER, "heads": {"my head": {"kind": "span"}}})
