"""Encoder and decoder against torch's own Transformer layers with copied weights."""

import pytest
import torch
from torch import Tensor, nn

from henkan.models.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from henkan.nn.init import uniform_everywhere
from henkan.nn.positions import sinusoids
from henkan.tensors import Tokens

VOCABULARY, WIDTH, HEADS, INNER, LAYERS = 11, 8, 2, 12, 2


@pytest.fixture(params=["pre", "post"])
def model(request) -> EncoderDecoder:
    sizes = {"kind": "transformer", "width": WIDTH, "heads": HEADS, "feed_forward": INNER, "layers": LAYERS}
    sizes |= {"norm": request.param, "activation": "gelu"}
    settings = {"embedding": WIDTH, "scaled_embedding": True, "encoder": sizes, "decoder": sizes}
    model = EncoderDecoderConfig.model_validate(settings).build(VOCABULARY, VOCABULARY).double().eval()
    uniform_everywhere(model, 0.8)
    return model


def tokens(lengths: list[int]) -> Tokens:
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    return Tokens(torch.randint(0, VOCABULARY, mask.shape), mask)


def options(model: EncoderDecoder) -> dict:
    pre = not isinstance(model.encoder.last_norm, nn.Identity)
    return {"activation": "gelu", "batch_first": True, "norm_first": pre, "dropout": 0.0}


@torch.no_grad()
def fill(theirs: nn.Module, ours: dict[str, Tensor]) -> nn.Module:
    for name, parameter in theirs.named_parameters():
        parameter.copy_(ours.pop(name))
    assert not ours, "every weight was used"
    return theirs


def self_attention(part: nn.Module) -> dict[str, Tensor]:
    return {
        "self_attn.in_proj_weight": part.inputs.weight,
        "self_attn.in_proj_bias": part.inputs.bias,
        "self_attn.out_proj.weight": part.output.weight,
        "self_attn.out_proj.bias": part.output.bias,
    }


def source_attention(part: nn.Module) -> dict[str, Tensor]:
    return {
        "multihead_attn.in_proj_weight": torch.cat([part.query.weight, part.pairs.weight]),
        "multihead_attn.in_proj_bias": torch.cat([part.query.bias, part.pairs.bias]),
        "multihead_attn.out_proj.weight": part.output.weight,
        "multihead_attn.out_proj.bias": part.output.bias,
    }


def inner_network(part: nn.Module) -> dict[str, Tensor]:
    outer = {f"linear2.{name}": parameter for name, parameter in part.outer.named_parameters()}
    return outer | {f"linear1.{name}": parameter for name, parameter in part.inner.named_parameters()}


def norms(*around: nn.Module) -> dict[str, Tensor]:
    """In the order of the sublayers, whether they stand before or after."""
    found = {}
    for number, residual in enumerate(around, 1):
        found[f"norm{number}.weight"], found[f"norm{number}.bias"] = residual.parameters()
    return found


def embedded(part: nn.Module, ids: Tensor) -> Tensor:
    """Section 3.4: times sqrt(D), then the positions are added."""
    return part.embedding.weight[ids] * WIDTH**0.5 + sinusoids(ids.shape[1], WIDTH).double()


def torchs_memory(model: EncoderDecoder, source: Tokens) -> Tensor:
    vectors = embedded(model.encoder, source.ids)
    for layer in model.encoder.layers:
        theirs = nn.TransformerEncoderLayer(WIDTH, HEADS, INNER, **options(model)).double()
        ours = self_attention(layer.attention) | inner_network(layer.feed_forward)
        fill(theirs, ours | norms(layer.around_attention, layer.around_feed_forward))
        vectors = theirs(vectors, src_key_padding_mask=~source.mask)
    return model.encoder.last_norm(vectors)


def test_encoder(model):
    source = tokens([5, 3, 1])
    memory = model.encode(source)
    expected = torchs_memory(model, source)
    torch.testing.assert_close(memory.states[source.mask], expected[source.mask], rtol=1e-10, atol=1e-10)
    assert torch.equal(memory.mask, source.mask)


def test_decoder(model):
    source, target = tokens([5, 3, 1]), tokens([2, 4, 3])
    memory, vectors = torchs_memory(model, source), embedded(model.decoder, target.ids)
    later = torch.ones(4, 4, dtype=torch.bool).triu(1)
    for layer in model.decoder.layers:
        theirs = nn.TransformerDecoderLayer(WIDTH, HEADS, INNER, **options(model)).double()
        ours = self_attention(layer.attention) | source_attention(layer.source_attention)
        ours |= inner_network(layer.feed_forward)
        fill(theirs, ours | norms(layer.around_attention, layer.around_source_attention, layer.around_feed_forward))
        vectors = theirs(
            vectors, memory, tgt_mask=later, tgt_key_padding_mask=~target.mask, memory_key_padding_mask=~source.mask
        )
    expected = model.decoder.last_norm(vectors)
    hidden = model.decoder(target, model.start(source, 3, 0)).hidden
    torch.testing.assert_close(hidden[target.mask], expected[target.mask], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_the_weights_shown_are_those_used(layers):
    """By the last layer but one, which aligns best (Garg et al. 2019), or the only one; the mean of its heads."""
    sizes = {"kind": "transformer", "width": WIDTH, "heads": HEADS, "feed_forward": INNER, "layers": layers}
    config = EncoderDecoderConfig.model_validate({"embedding": WIDTH, "encoder": sizes, "decoder": sizes})
    model = config.build(VOCABULARY, VOCABULARY).double().eval()
    uniform_everywhere(model, 0.8)
    part = model.decoder.layers[max(0, layers - 2)].source_attention
    asked = []
    part.register_forward_hook(lambda module, inputs, output: asked.append(inputs[0]))
    source = tokens([5, 3, 1])
    decoded = model.decoder(tokens([2, 4, 3]), model.start(source, 3, 0))

    theirs = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True).double()
    ours = source_attention(part)
    fill(theirs, {name.removeprefix("multihead_attn."): weight for name, weight in ours.items()})
    states = model.encode(source).states
    expected = theirs(asked[0], states, states, key_padding_mask=~source.mask)[1]
    torch.testing.assert_close(model.decoder.attention(decoded), expected, rtol=1e-10, atol=1e-10)
