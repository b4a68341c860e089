"""The model for outputs against the model itself, for every family."""

import pytest
import torch

import zoo
from henkan.decoders.luong import LuongDecoder
from henkan.decoders.packed_luong import PackedLuongDecoder
from henkan.decoders.packed_transformer import PackedTransformerDecoder
from henkan.encoders.packed_transformer import PackedTransformerEncoder
from henkan.encoders.recurrent import RecurrentEncoder
from henkan.models import inference
from henkan.models.encoder_decoder import EncoderDecoderConfig
from henkan.models.inference import Inference, for_inference, trained_for_inference
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


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", ["transformer, pre-norm, all tied", "luong, general, 2 layers, fed"])
@torch.inference_mode()
def test_between_two_updates_it_has_the_weights_of_the_moment(name, dtype, tokens):
    model = zoo.build(zoo.CONFIGS[name], torch.float32).to(dtype)
    close = 1e-4 if dtype == torch.float32 else 0.1
    for factor in (0.5, 0.5):
        for parameter in model.parameters():
            parameter *= factor
        expected = scores_of(model.float(), tokens)
        quick = trained_for_inference(model.to(dtype))
        for (log_probs, best), (wanted, wanted_best) in zip(scores_of(quick, tokens), expected, strict=True):
            torch.testing.assert_close(log_probs, wanted, rtol=close, atol=close)
            torch.testing.assert_close(best, wanted_best, rtol=close, atol=close)
    assert {parameter.dtype for parameter in model.parameters()} == {dtype}


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


WRITTEN_IN_ONE = {
    "transformer, pre-norm, all tied": (PackedTransformerEncoder, PackedTransformerDecoder),
    "transformer, post-norm": (PackedTransformerEncoder, PackedTransformerDecoder),
    "luong, general, 1 layers, fed": (RecurrentEncoder, PackedLuongDecoder),
    "luong, general, 2 layers, not fed": (RecurrentEncoder, PackedLuongDecoder),
    "luong, dot, 2 layers, fed": (RecurrentEncoder, PackedLuongDecoder),
    "luong, both directions below": (RecurrentEncoder, PackedLuongDecoder),
    "luong, additive, 1 layers, fed": (RecurrentEncoder, LuongDecoder),
    "luong, gru, projected start": (RecurrentEncoder, LuongDecoder),
}
"""What encoder and decoder of a model for outputs are, where there is a C++ compiler."""


@pytest.mark.parametrize("name", WRITTEN_IN_ONE)
@pytest.mark.parametrize("products", sorted(native_kinds(), key=str), ids=str)
@torch.inference_mode()
def test_written_in_one(name, products, tokens):
    """Each step is a call of C++; prompts of several lengths, beams, sources that leave, and where it looked."""
    model = zoo.build(zoo.CONFIGS[name], torch.float32)
    if not name.startswith("transformer"):
        for parameter in model.parameters():
            parameter *= 0.5  # a recurrence carries what was rounded on
    quick = for_inference(model, products)
    if products == torch.bfloat16 and has_tiles():
        pytest.skip("tiles of bf16 are used step by step")
    assert (type(quick.encoder), type(quick.decoder)) == WRITTEN_IN_ONE[name]
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
def test_states_that_do_not_lie_row_after_row(tokens):
    """torch's own LSTM returns such states; C++ reads addresses."""
    settings = zoo.CONFIGS["luong, dot, 2 layers, fed"].model_dump()
    settings["encoder"] |= {"dropout": 0.1, "variational": True}
    model = zoo.build(EncoderDecoderConfig.model_validate(settings), torch.float32)
    for wanted, found in zip(scores_of(model, tokens), scores_of(for_inference(model), tokens), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-3)


@torch.inference_mode()
def test_a_token_that_is_not_in_the_vocabulary(tokens):
    quick = for_inference(zoo.build(zoo.CONFIGS["transformer, post-norm"], torch.float32))
    strange = Tokens(tokens[0].ids + 10_000, tokens[0].mask)
    with pytest.raises(IndexError):
        quick.encode(strange)


@pytest.mark.parametrize(
    "cell", [{"peephole": True}, {"forget_gate": False}, {"coupled": True, "peephole": True}], ids=str
)
@torch.inference_mode()
def test_every_generation_of_the_lstm(cell, tokens):
    """More rows than climb side by side, so that a step is cut into parts."""
    if not native_kinds():
        pytest.skip("no C++ compiler here")
    settings = zoo.CONFIGS["luong, general, 2 layers, fed"].model_dump()
    for part in ("encoder", "decoder"):
        settings[part]["cell"] |= cell
    model = zoo.build(EncoderDecoderConfig.model_validate(settings), torch.float32)
    quick, rows = for_inference(model), 70
    assert type(quick.decoder) is PackedLuongDecoder
    source = zoo.tokens([4, *torch.randint(1, 5, (rows - 1,)).tolist()])
    steps = [zoo.tokens([1] * rows), *(zoo.tokens([1] * rows * 3) for _ in range(4))]
    parents = [torch.randint(3, (rows, 3)) for _ in steps]
    found = []
    for each in (quick, model):
        scores, state = each.step(steps[0], each.start(source, rows, 8))
        state = state.expand(3)
        for inputs, chosen in zip(steps[1:], parents, strict=False):
            scores, state = each.step(inputs, state.reorder(chosen))
            found.append(scores.log_probs())
    half = len(found) // 2
    for one, other in zip(found[:half], found[half:], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
