"""Cross-entropy in pieces against the plain one, and the plain one against torch's."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from henkan.nn import cross_entropy
from henkan.nn.cross_entropy import cross_entropy_chunked, cross_entropy_plain

ROWS, WIDTH, VOCABULARY = 7, 5, 11
SMOOTHING = [0.0, 0.1, 0.9]
BIAS = pytest.mark.parametrize("with_bias", [True, False], ids=["bias", "no bias"])


def inputs(with_bias: bool, rows: int = ROWS, dtype: torch.dtype = torch.float64) -> tuple[list[Tensor], Tensor]:
    """Hidden vectors, weight and maybe a bias, all of which want gradients; and labels."""
    wanted = [torch.randn(rows, WIDTH, dtype=dtype), torch.randn(VOCABULARY, WIDTH, dtype=dtype)]
    if with_bias:
        wanted.append(torch.randn(VOCABULARY, dtype=dtype))
    return [tensor.requires_grad_() for tensor in wanted], torch.randint(0, VOCABULARY, (rows,))


def call(function, wanted: list[Tensor], labels: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
    hidden, weight, bias = (*wanted, None)[:3]
    return function(hidden, weight, bias, labels, smoothing)


def outcome(function, wanted: list[Tensor], labels: Tensor, smoothing: float) -> tuple[Tensor, ...]:
    """Loss, log-probabilities, and gradients for a scale that is not 1."""
    loss, chosen = call(function, wanted, labels, smoothing)
    return (loss, chosen, *torch.autograd.grad(loss * 0.37, wanted))


def close(found, expected, tolerance: float) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)


@BIAS
@pytest.mark.parametrize("smoothing", SMOOTHING)
@pytest.mark.parametrize("function", [cross_entropy_plain, cross_entropy_chunked])
def test_torch_agrees(function, smoothing, with_bias):
    wanted, labels = inputs(with_bias)
    loss = functional.cross_entropy(functional.linear(*wanted), labels, reduction="sum", label_smoothing=smoothing)
    chosen = -functional.cross_entropy(functional.linear(*wanted), labels, reduction="none").detach()
    expected = (loss, chosen, *torch.autograd.grad(loss * 0.37, wanted))
    close(outcome(function, wanted, labels, smoothing), expected, 1e-12)


@BIAS
@pytest.mark.parametrize("chunk", [1, 2, 3, 6, 7, 8, 512])
@pytest.mark.parametrize("smoothing", SMOOTHING)
def test_chunked_and_plain_agree(monkeypatch, chunk, smoothing, with_bias):
    monkeypatch.setattr(cross_entropy, "CHUNK", chunk)
    wanted, labels = inputs(with_bias)
    expected = outcome(cross_entropy_plain, wanted, labels, smoothing)
    close(outcome(cross_entropy_chunked, wanted, labels, smoothing), expected, 1e-12)


@BIAS
@pytest.mark.parametrize("smoothing", SMOOTHING)
def test_gradients(monkeypatch, smoothing, with_bias):
    monkeypatch.setattr(cross_entropy, "CHUNK", 3)
    wanted, labels = inputs(with_bias)
    assert torch.autograd.gradcheck(lambda *tensors: call(cross_entropy_chunked, tensors, labels, smoothing)[0], wanted)


@pytest.mark.parametrize("function", [cross_entropy_plain, cross_entropy_chunked])
def test_smoothing_against_its_definition(function):
    """(1 - s) of the target on the label and s spread evenly over the vocabulary, the label included."""
    wanted, labels = inputs(True)
    smoothing = 0.3
    probabilities = functional.linear(*wanted).softmax(-1).detach()
    expected = 0.0
    for row, label in enumerate(labels.tolist()):
        for token in range(VOCABULARY):
            share = smoothing / VOCABULARY + (1 - smoothing) * (token == label)
            expected -= share * probabilities[row, token].log().item()
    assert call(function, wanted, labels, smoothing)[0].item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("smoothing", SMOOTHING)
def test_bf16_is_close_to_fp32(monkeypatch, smoothing):
    """Sums and log-probabilities are float32; only the products are made in bf16."""
    monkeypatch.setattr(cross_entropy, "CHUNK", 16)
    wanted, labels = inputs(True, rows=50, dtype=torch.bfloat16)
    precise = [tensor.detach().float().requires_grad_() for tensor in wanted]
    expected = outcome(cross_entropy_plain, precise, labels, smoothing)
    found = outcome(cross_entropy_chunked, wanted, labels, smoothing)
    assert found[0].dtype == found[1].dtype == torch.float32
    for name, ours, theirs in zip(("loss", "log-probabilities"), found[:2], expected[:2], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0.01, atol=0.03, msg=lambda text, name=name: f"{name}: {text}")
    for name, ours, theirs in zip(("hidden", "weight", "bias"), found[2:], expected[2:], strict=True):
        assert ours.dtype == torch.bfloat16
        error = (ours.float() - theirs).norm() / theirs.norm()
        assert error < 0.01, f"gradient of {name}: off by {error:.4f} of its norm"


def test_extreme_logits():
    """A label that is certain costs nothing, one that is impossible costs its distance; both without NaN."""
    hidden, weight = torch.tensor([[1000.0], [1000.0]]), torch.tensor([[1.0], [0.0], [-1.0]])
    loss, chosen = cross_entropy_chunked(hidden.requires_grad_(), weight, None, torch.tensor([0, 2]), 0.0)
    assert chosen.tolist() == [0.0, -2000.0]
    loss.backward()
    assert hidden.grad.flatten().tolist() == [0.0, 2.0]


@BIAS
def test_no_rows(with_bias):
    """A micro-batch may be empty: its loss is zero and so are its gradients."""
    wanted, labels = inputs(with_bias, rows=0)
    loss, chosen, *gradients = outcome(cross_entropy_chunked, wanted, labels, 0.1)
    assert loss == 0 and chosen.shape == (0,)
    assert not any(gradient.any() for gradient in gradients)


@pytest.mark.parametrize("frozen", range(3), ids=["hidden", "weight", "bias"])
def test_what_is_frozen_gets_no_gradient(frozen):
    wanted, labels = inputs(True)
    expected = torch.autograd.grad(call(cross_entropy_plain, wanted, labels, 0.1)[0], wanted)
    wanted[frozen].requires_grad_(False)
    call(cross_entropy_chunked, wanted, labels, 0.1)[0].backward()
    for number, tensor in enumerate(wanted):
        if number == frozen:
            assert tensor.grad is None
        else:
            torch.testing.assert_close(tensor.grad, expected[number], rtol=1e-12, atol=1e-12)


def test_without_gradients_none_are_made():
    wanted, labels = inputs(True)
    expected = call(cross_entropy_plain, wanted, labels, 0.1)
    with torch.no_grad():
        found = call(cross_entropy_chunked, wanted, labels, 0.1)
    assert not found[0].requires_grad
    close(found, expected, 1e-12)


def test_the_log_probabilities_are_constants():
    wanted, labels = inputs(False)
    _, chosen = call(cross_entropy_chunked, wanted, labels, 0.0)
    assert not chosen.requires_grad
