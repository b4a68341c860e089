"""The model for outputs against the model itself, for every family."""

import pytest
import torch

import zoo
from henkan.decoders.packed_transformer import PackedTransformerDecoder
from henkan.encoders.packed_transformer import PackedTransformerEncoder
from henkan.models import inference
from henkan.models.inference import Inference, for_inference
from henkan.nn.packed import PackedStepScores
from henkan.nn.product import fast_in_bf16, has_tiles, native_kinds
from henkan.tensors import Tokens

SOURCES, BEAMS = 3, 2


def scores_of(model, tokens):
    """Log-probabilities and best tokens through a search: a prefix, beams that branch and swap, a source gone."""
    source, prefix, *steps = tokens
    scores, state = model.step(prefix, model.start(source, SOURCES, 8))
    found = [(scores.log_probs(), scores.top(3)[0])]
    state = state.expand(BEAMS)
    for step, parents in zip(
        steps, ([[1, 0], [0, 0], [1, 1]], [[1, 1], [0, 1], [1, 0]], [[0, 1], [1, 0]]), strict=True
    ):
        scores, state = model.step(Tokens(step.ids[: len(parents) * BEAMS], step.mask[: len(parents) * BEAMS]), state)
        found.append((scores.log_probs(), scores.top(3)[0]))
        if len(found) == 3:
            state = state.keep(torch.tensor([2, 0]))
            parents = parents[1:]
        state = state.reorder(torch.tensor(parents))
    return found


@pytest.fixture
def tokens():
    return [zoo.tokens([4, 2, 5]), zoo.tokens([1] * SOURCES), *(zoo.tokens([1] * SOURCES * BEAMS) for _ in range(3))]


@pytest.mark.parametrize("config", zoo.CONFIGS.values(), ids=zoo.CONFIGS)
@torch.inference_mode()
def test_every_family_has_the_same_scores(config, tokens):
    model = zoo.build(config)
    expected = scores_of(model, tokens)
    for dtype in (torch.float64, torch.float32):
        quick = for_inference(model.to(dtype))
        for (log_probs, best), (wanted, wanted_best) in zip(scores_of(quick, tokens), expected, strict=True):
            torch.testing.assert_close(log_probs, wanted, rtol=1e-3, atol=1e-3)
            torch.testing.assert_close(best, wanted_best, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ["transformer, pre-norm, all tied", "luong, general, 2 layers, fed", "bahdanau, gru"])
@torch.inference_mode()
def test_bf16_products_are_close(name, tokens):
    model = zoo.build(zoo.CONFIGS[name], torch.float32)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= 0.5
    quick = for_inference(model, torch.bfloat16)
    for (log_probs, best), (wanted, wanted_best) in zip(
        scores_of(quick, tokens), scores_of(model, tokens), strict=True
    ):
        assert log_probs.dtype == best.dtype == torch.float32
        torch.testing.assert_close(log_probs, wanted, rtol=0.1, atol=0.1)
        torch.testing.assert_close(best, wanted_best, rtol=0.1, atol=0.1)
    if fast_in_bf16():
        scores, _ = quick.step(tokens[1], quick.start(tokens[0], SOURCES, 8))
        assert isinstance(scores, PackedStepScores)
        assert torch.equal(scores.argmax(), scores.top(3)[1][:, 0])


def test_the_model_stays_as_it_is_and_its_weights_are_shared(tokens):
    model = zoo.build(zoo.CONFIGS["transformer, pre-norm, all tied"], torch.float32)
    before = dict(model.named_modules())
    quick = for_inference(model)
    assert dict(model.named_modules()) == before
    assert quick.decoder.embedding.weight is model.decoder.embedding.weight
    assert not quick.training


def test_made_once_and_again_when_weights_change(monkeypatch):
    monkeypatch.setattr(inference, "fast_in_bf16", lambda: False)
    model, kept = zoo.build(zoo.CONFIGS["bahdanau, lstm"], torch.float32), Inference()
    first = kept.of(model)
    assert kept.of(model) is first
    with torch.no_grad():
        next(model.parameters()).mul_(2)
    second = kept.of(model)
    assert second is not first
    model.double()
    assert kept.of(model) is not second


@pytest.mark.parametrize("name", ["transformer, pre-norm, all tied", "transformer, post-norm"])
@pytest.mark.parametrize("products", sorted(native_kinds(), key=str), ids=str)
@torch.inference_mode()
def test_transformers_written_in_one(name, products, tokens):
    """Each step is a call of C++; prompts of several lengths, beams, sources that leave, and where it looked."""
    model = zoo.build(zoo.CONFIGS[name], torch.float32)
    quick = for_inference(model, products)
    if products == torch.bfloat16 and has_tiles():
        pytest.skip("tiles of bf16 are used step by step")
    assert isinstance(quick.encoder, PackedTransformerEncoder) and isinstance(quick.decoder, PackedTransformerDecoder)
    close = 1e-5 if products == torch.float32 else 0.1
    source, prompts = tokens[0], zoo.tokens([1, 3, 2])
    real = source.mask[:, :, None]
    torch.testing.assert_close(
        quick.encode(source).states * real, model.encode(source).states * real, rtol=close, atol=close
    )
    read = [zoo.tokens([1] * (SOURCES if step < 3 else 2) * BEAMS) for step in range(20)]  # soon more than has room
    states = []
    for each in (quick, model):
        scores, state = each.step(prompts, each.start(source, SOURCES, 4))
        states.append([scores.attention()])
        state = state.expand(BEAMS).reorder(torch.tensor([[1, 0], [0, 0], [1, 1]]))
        for step, inputs in enumerate(read):
            scores, state = each.step(inputs, state)
            states[-1] += [scores.log_probs(), scores.attention()]
            if step == 2:
                state = state.keep(torch.tensor([2, 0]))
    for found, wanted in zip(*states, strict=True):
        torch.testing.assert_close(found, wanted, rtol=close, atol=close)


@torch.inference_mode()
def test_a_token_that_is_not_in_the_vocabulary(tokens):
    quick = for_inference(zoo.build(zoo.CONFIGS["transformer, post-norm"], torch.float32))
    strange = Tokens(tokens[0].ids + 10_000, tokens[0].mask)
    with pytest.raises(IndexError):
        quick.encode(strange)
