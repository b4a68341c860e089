"""Cross-entropy in pieces against the plain one, and the plain one against torch's."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from henkan import native
from henkan.nn import cross_entropy
from henkan.nn.cross_entropy import cross_entropy_chunked, cross_entropy_plain, rows_native, rows_plain
from henkan.tensors import IGNORE

ROWS, WIDTH, VOCABULARY = 7, 5, 11
SMOOTHING = [0.0, 0.1, 0.9]
COMPILED = pytest.mark.skipif(native.library() is None, reason="the C++ loops are not there")
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
    monkeypatch.setattr(cross_entropy, "LOGITS", chunk * VOCABULARY)
    wanted, labels = inputs(with_bias)
    expected = outcome(cross_entropy_plain, wanted, labels, smoothing)
    close(outcome(cross_entropy_chunked, wanted, labels, smoothing), expected, 1e-12)


@BIAS
@pytest.mark.parametrize("smoothing", SMOOTHING)
def test_gradients(monkeypatch, smoothing, with_bias):
    monkeypatch.setattr(cross_entropy, "LOGITS", 3 * VOCABULARY)
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
    monkeypatch.setattr(cross_entropy, "LOGITS", 16 * VOCABULARY)
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
    torch.testing.assert_close(hidden.grad.flatten(), torch.tensor([0.0, 2.0]), rtol=0.0, atol=1e-30)


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


@COMPILED
@pytest.mark.parametrize("wanted", [True, False], ids=["gradient", "no gradient"])
@pytest.mark.parametrize("smoothing", SMOOTHING)
@pytest.mark.parametrize(("rows", "vocabulary"), [(1, 2), (7, 15), (5, 16), (3, 1000), (0, 9)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_native_rows_are_no_further_from_float64_than_plain_ones(dtype, rows, vocabulary, smoothing, wanted):
    logits = (torch.randn(rows, vocabulary) * 4).to(dtype)
    labels = torch.randint(0, vocabulary, (rows,))
    exact = rows_plain(logits.double(), labels, smoothing, wanted)
    plain = rows_plain(logits.clone(), labels, smoothing, wanted)
    found = rows_native(logits.clone(), labels, smoothing, wanted)
    slack = {torch.float32: 1e-5, torch.bfloat16: 1e-4}[dtype]
    for name, ours, theirs, true in zip(("losses", "chosen", "gradient"), found, plain, exact, strict=True):
        assert ours.dtype == theirs.dtype and ours.shape == theirs.shape
        allowed = (theirs.double() - true).norm() + slack * (1 + true.norm())
        assert (ours.double() - true).norm() <= allowed, name


@COMPILED
def test_native_rows_do_not_depend_on_threads_or_neighbours():
    threads = torch.get_num_threads()
    logits, labels = torch.randn(301, 97).bfloat16(), torch.randint(0, 97, (301,))
    try:
        torch.set_num_threads(1)
        alone = rows_native(logits.clone(), labels, 0.1, True)
        torch.set_num_threads(3)
        together = rows_native(logits.clone(), labels, 0.1, True)
    finally:
        torch.set_num_threads(threads)
    part = rows_native(logits[100:150].clone(), labels[100:150], 0.1, True)
    for one, three, piece in zip(alone, together, part, strict=True):
        assert torch.equal(one, three)
        assert torch.equal(one[100:150], piece)


@COMPILED
def test_native_rows_pass_on_what_is_not_a_number():
    """Or the update that went wrong would not be noticed."""
    logits = torch.randn(2, 40)
    logits[1, 7] = torch.nan
    losses, _, gradient = rows_native(logits, torch.tensor([3, 3]), 0.1, True)
    assert losses[0].isfinite() and losses[1].isnan()
    assert gradient[0].isfinite().all() and gradient[1].isnan().any()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_rows_to_be_ignored_count_for_nothing_on_an_accelerator(smoothing: float):
    labels = torch.tensor([2, IGNORE, 0, IGNORE, 4])
    logits = torch.randn(5, 6, generator=torch.Generator().manual_seed(1))
    real = labels != IGNORE
    expected = rows_plain(logits[real].clone(), labels[real], smoothing, True)
    for found, some in zip(cross_entropy.rows_padded(logits.clone(), labels, smoothing, True), expected, strict=True):
        torch.testing.assert_close(found[real], some)
        assert (found[~real] == 0).all()


@pytest.mark.parametrize("frozen", range(3), ids=["hidden", "weight", "bias"])
def test_gradients_that_nobody_wants_are_not_made(frozen):
    """A frozen table saves a third of the products."""
    wanted, labels = inputs(True)
    wanted[frozen].requires_grad_(False)
    with FlopCounterMode(display=False) as counter:
        call(cross_entropy_chunked, wanted, labels, 0.0)
    rows, size = wanted[0].shape[0], wanted[1].numel()
    assert counter.get_total_flops() == 2 * rows * size * (3 if frozen == 2 else 2)
