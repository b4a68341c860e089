"""Log-probabilities of a few words: in chunks or at once, values and gradients."""

import pytest
import torch
from torch import Tensor

from henkan.nn import log_probs as log_probs_module
from henkan.nn.log_probs import log_probs_chunked, log_probs_plain

ROWS, WIDTH, VOCABULARY, WORDS = 11, 4, 7, 3


def inputs(dtype: torch.dtype, bias: bool) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
    words = torch.randint(0, VOCABULARY, (ROWS, WORDS))
    words[0] = 2  # one word named three times
    leaves = [torch.randn(shape, dtype=dtype, requires_grad=True) for shape in ((ROWS, WIDTH), (VOCABULARY, WIDTH))]
    return *leaves, torch.randn(VOCABULARY, dtype=dtype, requires_grad=True) if bias else None, words


@pytest.fixture(params=[1, 4, 11, 512])
def chunk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(log_probs_module, "CHUNK", request.param)
    return request.param


@pytest.mark.parametrize("bias", [True, False])
def test_in_chunks_or_at_once(chunk, bias):
    given = inputs(torch.float64, bias)
    parameters = [tensor for tensor in given[:3] if tensor is not None]
    found = []
    for function in (log_probs_plain, log_probs_chunked):
        chosen, mean = function(*given)
        total = (chosen.exp() * torch.arange(1.0, WORDS + 1)).sum() + mean.square().sum()
        found.append((chosen, mean, *torch.autograd.grad(total, parameters)))
    for plain, chunked in zip(*found, strict=True):
        torch.testing.assert_close(chunked, plain, rtol=1e-12, atol=1e-12)


def test_gradients_are_right(chunk):
    assert torch.autograd.gradcheck(log_probs_chunked, inputs(torch.float64, True))


def test_in_bf16_sums_are_float32():
    given = inputs(torch.bfloat16, True)
    chosen, mean = log_probs_chunked(*given)
    assert chosen.dtype == mean.dtype == torch.float32
    (chosen.sum() + mean.sum()).backward()
    assert all(tensor.grad.dtype == torch.bfloat16 for tensor in given[:3])


def test_no_rows():
    hidden, weight, bias, words = inputs(torch.float64, True)
    chosen, mean = log_probs_chunked(hidden[:0], weight, bias, words[:0])
    assert chosen.shape == (0, WORDS) and mean.shape == (0,)
    (chosen.sum() + mean.sum()).backward()
    assert not weight.grad.any()
