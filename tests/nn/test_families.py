"""Small parts of the families after the first Transformer, each against NumPy or a loop."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from henkan.errors import DataError
from henkan.models.decoder_only import DecoderOnlyConfig
from henkan.models.encoder_decoder import EncoderDecoderConfig
from henkan.nn.feedforward import ACTIVATIONS, FeedForward
from henkan.nn.gated import GatedFeedForward
from henkan.nn.heads import TokenHead
from henkan.nn.masked_head import MaskedHead
from henkan.nn.norms import norm
from henkan.nn.pooling import DensePooler, FirstPooler, MeanPooler
from henkan.nn.positions import LearnedPositions, SinusoidalPositions, stacked_sinusoids
from henkan.nn.scaled_head import ScaledHead
from henkan.nn.segments import SegmentEmbedding
from henkan.nn.text_heads import ChoiceHead
from henkan.tensors import IGNORE, Memory, Sentences


def test_rms_norm():
    part, vectors = norm("rms", 5, 1e-3), torch.randn(3, 5)
    torch.nn.init.normal_(part.weight)
    values = vectors.numpy()
    expected = values / np.sqrt((values**2).mean(-1, keepdims=True) + 1e-3) * part.weight.detach().numpy()
    np.testing.assert_allclose(part(vectors).detach().numpy(), expected, rtol=1e-5)


def test_gelu_by_its_tanh():
    x = torch.linspace(-4, 4, 33)
    expected = [0.5 * v * (1 + math.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v**3))) for v in x.tolist()]
    torch.testing.assert_close(ACTIVATIONS["gelu_tanh"](x), torch.tensor(expected), rtol=1e-5, atol=1e-6)


def test_gated_feed_forward():
    part, x = GatedFeedForward(3, 4, "gelu", bias=False).double(), torch.randn(2, 3).double()
    gate, inner, outer = (linear.weight for linear in (part.gate, part.inner, part.outer))
    torch.testing.assert_close(part(x), (functional.gelu(x @ gate.T) * (x @ inner.T)) @ outer.T)
    assert torch.autograd.gradcheck(part, torch.randn(2, 3, dtype=torch.float64, requires_grad=True))


def test_feed_forward_without_biases():
    part = FeedForward(3, 4, bias=False)
    assert [name for name, _ in part.named_parameters()] == ["inner.weight", "outer.weight"]


def test_learned_positions_begin_behind_the_offset():
    part, vectors = LearnedPositions(3, 4, 2), torch.zeros(1, 4, 3)
    assert part.weight.shape == (6, 3)
    torch.testing.assert_close(part(vectors, torch.arange(4)[None], 4)[0], part.weight[2:])


def test_no_place_beyond_the_last():
    part = LearnedPositions(3, 4)
    part(torch.zeros(1, 2, 3), torch.tensor([[2, 3]]), 9)  # padding takes slots, not places
    with pytest.raises(DataError, match="a text of 5 tokens or more: this model has 4 positions"):
        part(torch.zeros(1, 1, 3), torch.tensor([[4]]), 5)


def test_stacked_sinusoids():
    table = stacked_sinusoids(7, 6)
    for place in range(7):
        for column in range(3):
            angle = place / 10_000 ** (2 * column / 6)
            assert table[place, column] == pytest.approx(math.sin(angle), abs=1e-6)
            assert table[place, 3 + column] == pytest.approx(math.cos(angle), abs=1e-6)
    part = SinusoidalPositions(6, stacked_sinusoids)
    torch.testing.assert_close(part(torch.zeros(1, 7, 6), torch.arange(7)[None], 7)[0], table)


def test_segments():
    part, vectors = SegmentEmbedding(2, 3), torch.randn(1, 2, 3)
    torch.testing.assert_close(part(vectors, torch.tensor([[0, 1]])), vectors + part.weight)
    torch.testing.assert_close(part(vectors, None), vectors + part.weight[0])


def test_poolers():
    states = torch.randn(2, 3, 4)
    memory = Memory(states, torch.tensor([[True, True, False], [True, False, False]]))
    torch.testing.assert_close(FirstPooler()(memory), states[:, 0])
    torch.testing.assert_close(MeanPooler()(memory), torch.stack([states[0, :2].mean(0), states[1, 0]]))
    dense = DensePooler(4, "tanh", 0.0)
    torch.testing.assert_close(dense(memory), torch.tanh(states[:, 0] @ dense.dense.weight.T + dense.dense.bias))


def test_the_first_vectors_of_a_packed_row():
    states, starts = torch.randn(1, 5, 4), torch.tensor([0, 2, 5, 5], dtype=torch.int32)
    memory = Memory(states, torch.ones(1, 5, dtype=torch.bool), sentences=Sentences(starts, 3))
    torch.testing.assert_close(FirstPooler()(memory)[:2], states[0, [0, 2]])


def test_scores_under_masks_are_made_where_they_are_wanted():
    """Loss and gradients of the chosen positions, against all logits."""
    part = MaskedHead(4, 9, norm("layer", 4, 1e-5)).double()
    memory = Memory(torch.randn(2, 3, 4).double(), torch.ones(2, 3, dtype=torch.bool))
    labels = torch.tensor([[IGNORE, 5, IGNORE], [8, IGNORE, 0]])
    scores = part(memory, None)
    dense = functional.gelu(memory.states @ part.dense.weight.T + part.dense.bias)
    logits = functional.layer_norm(dense, (4,), part.norm.weight, part.norm.bias) @ part.output.weight.T
    torch.testing.assert_close(scores.logits(), logits + part.output.bias)
    loss, log_probs = scores.loss(labels)
    expected = functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORE, reduction="sum")
    torch.testing.assert_close(loss, expected)
    assert log_probs[labels == IGNORE].eq(0).all()
    torch.testing.assert_close(log_probs.sum(), -expected.detach())
    found = torch.autograd.grad(loss, list(part.parameters()))
    for one, other in zip(found, torch.autograd.grad(expected, list(part.parameters())[:-1]), strict=False):
        torch.testing.assert_close(one, other)


def test_choices_are_numbers_of_texts():
    part, pooled = ChoiceHead(4, 0.0), torch.randn(6, 4)
    memory = Memory(pooled[:, None], torch.ones(6, 1, dtype=torch.bool))
    assert part(memory, pooled).view(-1, 3).shape == (2, 3)


def test_a_scaled_head_scores_smaller_vectors():
    head, hidden = TokenHead(4, 7), torch.randn(2, 4)
    scaled = ScaledHead(head, 0.5)
    torch.testing.assert_close(scaled(hidden[None], None).logits()[0], hidden @ head.weight.T * 0.5)
    assert scaled.weight is head.weight


SIZES = {"width": 16, "heads": 2, "feed_forward": 32, "layers": 8, "dropout": 0.0}


def test_gpt2_starts_with_calm_residuals():
    config = {"decoder": {"kind": "causal", "norm": "pre", **SIZES}, "start": "gpt2"}
    weights = dict(DecoderOnlyConfig.model_validate(config).build(400).named_parameters())
    ends = torch.cat([weight.flatten() for name, weight in weights.items() if name.endswith("outer.weight")])
    assert ends.std().item() == pytest.approx(0.02 / 16**0.5, rel=0.1)
    assert weights["decoder.embedding.weight"].std().item() == pytest.approx(0.02, rel=0.1)


def test_t5_starts_with_scores_of_unit_scale():
    stack = {"kind": "transformer", "norm": "pre", "normalisation": "rms", "biased": False, "scaled": False, **SIZES}
    stack["positions"] = {"kind": "t5", "buckets": 1024, "limit": 2048}
    config = {"embedding": 16, "tied": "all", "scaled_output": True, "start": "t5", "encoder": stack, "decoder": stack}
    weights = dict(EncoderDecoderConfig.model_validate(config).build(400, 400).named_parameters())
    inputs = weights["encoder.layers.0.attention.inputs.weight"]
    assert inputs[:16].std().item() == pytest.approx((16 * 8) ** -0.5, rel=0.15)
    assert inputs[16:].std().item() == pytest.approx(16**-0.5, rel=0.15)
    assert weights["encoder.embedding.weight"].std().item() == pytest.approx(1.0, rel=0.1)
    for side in ("encoder", "decoder"):
        bias = weights[f"{side}.terms.weight"]
        assert bias.numel() == 2048 and bias.std().item() == pytest.approx(16**-0.5, rel=0.1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"heads": 3}, "width 16 is not a multiple of heads 3"),
        ({"key_heads": 3}, "heads 2 is not a multiple of key_heads 3"),
        ({"positions": {"kind": "rotary"}, "head_width": 5}, "a head of width 5 is odd"),
        ({"positions": {"kind": "disentangled"}}, "a decoder cannot have them"),
    ],
)
def test_sizes_that_do_not_fit(changes, message):
    with pytest.raises(ValueError, match=message):
        DecoderOnlyConfig.model_validate({"decoder": {"kind": "causal", **SIZES, **changes}})
