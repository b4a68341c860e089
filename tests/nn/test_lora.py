"""Low-rank products beside linear parts, against the matrix that they amount to."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import zoo
from henkan.models.encoder_only import EncoderOnlyConfig
from henkan.models.inference import for_inference
from henkan.nn.lora import LowRank, LowRankConfig, adapt, merge
from henkan.tensors import Batch, Tokens

ALL = LowRankConfig(rank=2, alpha=6.0, parts=("attention", "feed_forward"))


def with_numbers(network: nn.Module) -> nn.Module:
    """As after training: B is no longer zero."""
    for part in network.modules():
        if isinstance(part, LowRank):
            nn.init.normal_(part.up, std=0.5)
    return network


def test_it_is_the_matrix_that_it_amounts_to() -> None:
    linear = nn.Linear(5, 7)
    plain = nn.Linear(5, 7)
    plain.load_state_dict(linear.state_dict())
    part = LowRank(linear, LowRankConfig(rank=3, alpha=6.0), torch.Generator().manual_seed(1))
    vectors = torch.randn(4, 5)
    assert torch.equal(part(vectors), plain(vectors)), "B starts at zero"
    assert (part.in_features, part.out_features) == (5, 7)
    assert part.down.abs().max() <= 5**-0.5 and part.down.std() > 0.1
    nn.init.normal_(part.up)
    weight = (plain.weight + 6.0 / 3 * part.up @ part.down).detach().requires_grad_()
    torch.testing.assert_close(part.weight, weight)
    expected = nn.functional.linear(vectors, weight, plain.bias)
    torch.testing.assert_close(part(vectors), expected)
    torch.manual_seed(2)
    upstream = torch.randn(4, 7)
    part(vectors).backward(upstream)
    expected.backward(upstream)
    assert weight.grad is not None
    torch.testing.assert_close(part.up.grad, 2.0 * weight.grad @ part.down.detach().T)
    torch.testing.assert_close(part.down.grad, 2.0 * part.up.detach().T @ weight.grad)
    assert part.linear.weight.grad is None and part.linear.bias.grad is None


def test_dropout_is_of_training_alone() -> None:
    part = LowRank(nn.Linear(5, 7), LowRankConfig(dropout=0.5), torch.Generator())
    nn.init.normal_(part.up)
    vectors = torch.randn(4, 5)
    assert not torch.equal(part(vectors), part(vectors))
    part.eval()
    torch.testing.assert_close(part(vectors), nn.functional.linear(vectors, part.weight, part.bias))


@pytest.mark.parametrize("name", ["transformer, post-norm", "t5", "bart"])
def test_a_translator_starts_as_it_was_and_merges_to_what_it_became(name: str) -> None:
    torch.manual_seed(1)
    model = zoo.build(zoo.CONFIGS[name], torch.float32).eval()
    batch = zoo.batch(zoo.tokens([3, 2]), zoo.tokens([4, 2]))
    names = [name for name, _ in model.named_parameters()]

    def logits() -> torch.Tensor:
        return model(batch).heads["tokens"].logits().detach()

    before = logits()
    adapt(model, ALL, seed=3)
    torch.testing.assert_close(logits(), before, rtol=0, atol=0)
    adapted = logits() if with_numbers(model) is model else before
    assert (adapted - before).abs().max() > 1e-2
    with torch.inference_mode():
        fast = for_inference(model)(batch).heads["tokens"].logits()
    torch.testing.assert_close(fast, adapted, rtol=1e-4, atol=1e-5)
    learnt = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert all(name.startswith("head.") or name.endswith((".down", ".up")) for name in learnt)
    merge(model)
    torch.testing.assert_close(logits(), adapted, rtol=1e-5, atol=1e-5)
    assert [name for name, _ in model.named_parameters()] == names
    assert not any(isinstance(part, LowRank) for part in model.modules())


def test_an_attention_that_takes_the_matrix_itself_merges_too() -> None:
    """DeBERTa's projects distances by the same matrix as vectors."""
    settings = {
        "encoder": {
            "kind": "transformer",
            "width": 8,
            "heads": 2,
            "feed_forward": 12,
            "layers": 2,
            "positions": {"kind": "disentangled", "span": 4},
        },
        "heads": {"label": {"kind": "class", "classes": 3}},
    }
    torch.manual_seed(1)
    model = EncoderOnlyConfig.model_validate(settings).build(11).eval()
    ids = torch.randint(1, 11, (3, 6))
    batch = Batch(torch.arange(3), Tokens(ids, ids > 0), None, {}, {})
    adapt(model, ALL, seed=3)
    with_numbers(model)
    adapted = model(batch).heads["label"].detach()
    merge(model)
    torch.testing.assert_close(model(batch).heads["label"], adapted, rtol=1e-5, atol=1e-5)


def test_words_of_a_name_are_matched_whole() -> None:
    model = zoo.build(zoo.CONFIGS["transformer, post-norm"], torch.float32)
    adapt(model, LowRankConfig(parts=("layers.1.source_attention", "feed_forward.inner")), seed=1)
    assert {name for name, part in model.named_modules() if isinstance(part, LowRank)} == {
        *(f"decoder.layers.1.source_attention.{part}" for part in ("query", "pairs", "output")),
        *(f"{side}.layers.{layer}.feed_forward.inner" for side in ("encoder", "decoder") for layer in (0, 1)),
    }


@pytest.mark.parametrize("name", ["transformer, post-norm", "t5", "bart"])
def test_all_attention_is_adapted_where_nothing_is_said(name: str) -> None:
    model = zoo.build(zoo.CONFIGS[name], torch.float32)
    attention = {
        place for place, part in model.named_modules() if isinstance(part, nn.Linear) and "attention." in place
    }
    assert {place.split(".")[-2] for place in attention} == {"attention", "source_attention"}
    adapt(model, LowRankConfig(), seed=1)
    assert {place for place, part in model.named_modules() if isinstance(part, LowRank)} == attention


def test_every_process_starts_alike() -> None:
    starts = []
    for _ in range(2):
        torch.manual_seed(5)
        model = zoo.build(zoo.CONFIGS["transformer, post-norm"], torch.float32)
        torch.rand(len(starts))  # whatever happened before
        adapt(model, ALL, seed=3)
        starts.append([part.down for part in model.modules() if isinstance(part, LowRank)])
    assert all(torch.equal(one, other) for one, other in zip(*starts, strict=True))
    assert not torch.equal(starts[0][0][0], starts[0][0][1])
