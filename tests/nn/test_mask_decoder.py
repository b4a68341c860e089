"""The enhanced mask decoder against plain NumPy loops; padding, gradients, and that it computes what is told alone."""

import math

import numpy as np
import pytest
import torch

import zoo
from henkan import interop
from henkan.errors import ConfigError, DataError
from henkan.interop import onnx
from henkan.models.encoder_only import EncoderOnlyConfig, MaskDecodingEncoder
from henkan.nn.init import uniform_everywhere
from henkan.tensors import IGNORE, Batch, Tokens

LENGTHS = [5, 2, 7]
DECODING = {"kind": "masked", "decoder": {"limit": 9}}


def settings(*, limit=0, heads=None, passes=2, **encoder):
    """Version 1 has no logarithmic buckets: ``limit`` 0."""
    positions = {"kind": "disentangled", "span": 3, "limit": limit, "epsilon": 1e-5}
    sizes = zoo.TRANSFORMER | {"activation": "gelu", "embedding_norm": True, "positions": positions} | encoder
    decoding = {"kind": "masked", "decoder": {"limit": 9, "passes": passes}}
    return {"encoder": sizes, "heads": {"tokens": decoding} if heads is None else heads}


def build(**changed) -> MaskDecodingEncoder:
    model = EncoderOnlyConfig.model_validate(settings(**changed)).build(zoo.VOCABULARY).double().eval()
    uniform_everywhere(model, 0.8)
    return model


def read(model, tokens):
    return model(Batch(torch.arange(len(tokens.ids)), tokens, None)).heads["tokens"]


def normal(part, vectors):
    centred = vectors - vectors.mean(-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + part.eps)
    return scaled * part.weight.numpy() + part.bias.numpy()


def linear(part, vectors):
    return vectors @ part.weight.numpy().T + part.bias.numpy()


def gelu(values):
    return 0.5 * values * (1 + np.vectorize(math.erf)(values / math.sqrt(2)))


def bucket(distance, span, limit):
    if not limit or abs(distance) <= span // 2:
        return distance
    exact = span // 2
    far = exact + math.ceil(math.log(abs(distance) / exact) / math.log((limit - 1) / exact) * (exact - 1))
    return far if distance > 0 else -far


def by_hand(model, ids, passes, limit):
    """Logits of one text, from the equations of He et al. 2021: everything computed, one pair at a time."""
    encoder, head = model.encoder, model.heads.tokens
    table = normal(encoder.terms.norm, encoder.terms.weight.numpy())
    span, length = 3, len(ids)

    def asked(layer, queries, vectors):
        attention = layer.attention
        width = vectors.shape[1]
        asking = linear(attention.inputs, queries)[:, :width]
        _, keys, values = np.split(linear(attention.inputs, vectors), 3, 1)
        far_queries, far_keys, _ = np.split(linear(attention.inputs, table), 3, 1)
        found = np.zeros_like(queries)
        for head in range(2):
            own = slice(head * width // 2, (head + 1) * width // 2)
            for i in range(length):
                at = [min(max(bucket(i - j, span, limit) + span, 0), 2 * span - 1) for j in range(length)]
                scores = np.array(
                    [
                        asking[i, own] @ keys[j, own]
                        + asking[i, own] @ far_keys[at[j], own]
                        + keys[j, own] @ far_queries[at[j], own]
                        for j in range(length)
                    ]
                ) / math.sqrt(3 * width / 2)
                weights = np.exp(scores - scores.max())
                found[i, own] = weights / weights.sum() @ values[:, own]
        queries = normal(layer.around_attention.after, queries + linear(attention.output, found))
        inner = gelu(linear(layer.feed_forward.inner, queries))
        return normal(layer.around_feed_forward.after, queries + linear(layer.feed_forward.outer, inner))

    vectors = normal(encoder.first_norm, encoder.embedding.weight.numpy()[ids])
    for layer in encoder.layers[:-1]:
        vectors = asked(layer, vectors, vectors)
    queries = vectors + head.decoder.positions.weight.numpy()[:length]
    for _ in range(passes):
        queries = asked(encoder.layers[-1], queries, vectors)
    transformed = normal(head.norm, gelu(linear(head.dense, queries)))
    return transformed @ encoder.embedding.weight.numpy().T + head.output.bias.numpy()


@pytest.mark.parametrize(("passes", "limit", "layers"), [(2, 0, 2), (1, 0, 1), (3, 6, 3)])
def test_by_hand_padded_and_alone(passes, limit, layers):
    model = build(passes=passes, limit=limit, layers=layers)
    tokens = zoo.tokens(LENGTHS)
    with torch.no_grad():
        together = read(model, tokens).logits()
        for row, length in enumerate(LENGTHS):
            expected = by_hand(model, tokens.ids[row, :length].numpy(), passes, limit)
            np.testing.assert_allclose(together[row, :length].numpy(), expected, rtol=1e-9, atol=1e-9)


def test_without_places_one_pass_is_the_encoder_itself():
    model = build(passes=1)
    torch.nn.init.zeros_(model.heads.tokens.decoder.positions.weight)
    tokens = zoo.tokens(LENGTHS)
    expected = model.heads.tokens(model.encode(tokens), None).logits()
    torch.testing.assert_close(read(model, tokens).logits(), expected, rtol=1e-9, atol=1e-9)


def labels_of(tokens):
    """Two in the first row, none in the second, four in the third."""
    told = torch.zeros_like(tokens.mask)
    told[0, [1, 4]] = told[2, [0, 2, 3, 6]] = True
    return tokens.ids.masked_fill(~told, IGNORE)


@pytest.mark.parametrize("norm", ["post", "pre"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_that_of_all_logits(norm, smoothing):
    model, tokens = build(norm=norm), zoo.tokens(LENGTHS)
    labels = labels_of(tokens)
    logits = read(model, tokens).logits().flatten(0, 1)
    expected = torch.nn.functional.cross_entropy(
        logits, labels.flatten(), ignore_index=IGNORE, reduction="sum", label_smoothing=smoothing
    )
    weights = dict(model.named_parameters())
    slopes = torch.autograd.grad(expected, list(weights.values()))
    loss, log_probs = read(model, tokens).loss(labels, smoothing)
    torch.testing.assert_close(loss, expected, rtol=1e-9, atol=1e-9)
    for name, slope, other in zip(weights, slopes, torch.autograd.grad(loss, list(weights.values())), strict=True):
        torch.testing.assert_close(other, slope, rtol=1e-7, atol=1e-9, msg=name)
        assert slope.any(), name
    told = labels != IGNORE
    chosen = logits.log_softmax(-1).view(*labels.shape, -1).gather(2, tokens.ids[..., None])[..., 0]
    torch.testing.assert_close(log_probs, chosen.detach() * told, rtol=1e-9, atol=1e-9)


def test_only_what_is_told_is_computed():
    """The last layer sees queries of four positions a row, and never reads the text as a whole."""
    model, tokens = build(), zoo.tokens(LENGTHS)
    seen = []
    last = model.encoder.layers[-1]
    last.feed_forward.register_forward_hook(lambda part, inputs, found: seen.append(tuple(found.shape)))
    read(model, tokens).loss(labels_of(tokens))
    assert seen == [(3, 4, 8)] * 2
    loss, log_probs = read(model, tokens).loss(torch.full_like(tokens.ids, IGNORE))
    assert float(loss.detach()) == 0.0
    assert not log_probs.any()


def test_gradients():
    model, tokens = build(layers=1), zoo.tokens([3, 2])
    labels = tokens.ids.masked_fill(torch.tensor([[False, True, True], [True, False, True]]), IGNORE)
    names = ("encoder.embedding.weight", "encoder.terms.weight", "heads.tokens.decoder.positions.weight")
    weights = [model.get_parameter(name).detach().clone().requires_grad_() for name in names]

    def told(*given):
        batch = Batch(torch.arange(2), tokens, None)
        output = torch.func.functional_call(model, dict(zip(names, given, strict=True)), (batch,))
        return output.heads["tokens"].loss(labels)[0]

    assert torch.autograd.gradcheck(told, weights)


def test_other_heads_read_the_encoder_as_ever():
    heads = {"tokens": DECODING, "class": {"kind": "class", "classes": 3}}
    model, tokens = build(heads=heads), zoo.tokens(LENGTHS)
    bare = build(heads={"class": heads["class"]})
    bare.load_state_dict({name: weight for name, weight in model.state_dict().items() if "tokens" not in name})
    batch = Batch(torch.arange(3), tokens, None)
    found, expected = model(batch), bare(batch)
    torch.testing.assert_close(found.heads["class"], expected.heads["class"])
    torch.testing.assert_close(found.extras["pooled"], expected.extras["pooled"])
    torch.testing.assert_close(model.encode(tokens).states, bare.encode(tokens).states)


def test_refusals():
    with pytest.raises(ValueError, match=r"heads.tokens.decoder: a mask decoder adds places to attention over dist"):
        EncoderOnlyConfig.model_validate(settings(positions={"kind": "learned"}))
    long = Tokens(torch.ones(1, 12, dtype=torch.int64), torch.ones(1, 12, dtype=torch.bool))
    with pytest.raises(DataError, match="this model has 9 positions"):
        read(build(), long).logits()
    with pytest.raises(ConfigError, match=r"heads.tokens.decoder: a part of pretraining"):
        onnx.check(EncoderOnlyConfig.model_validate(settings()))


def test_exported_without_the_head_it_is_part_of(tmp_path):
    config = EncoderOnlyConfig.model_validate(settings(limit=6))
    model = config.build(zoo.VOCABULARY).eval()
    assert interop.left_out(config) == ["tokens"]
    assert interop.write(tmp_path, config, model) == "deberta-v2"
    back, tokens = interop.read(tmp_path), zoo.tokens(LENGTHS)
    assert back.config.heads == {}
    torch.testing.assert_close(back.network().encode(tokens).states, model.encode(tokens).states)
