"""GELU by a hyperbolic tangent: the fast path against the plain one."""

import pytest
import torch

from henkan import native
from henkan.nn.fused import plain_path
from henkan.nn.gelu import gelu_tanh, gelu_tanh_plain

COMPILED = pytest.mark.skipif(native.library() is None, reason="the C++ loops are not there")
EDGES = torch.tensor([[0.0, -0.0, 90.0, -90.0, 1e15, -1e15, 1e-20] * 5 + [1e-30, -1e-20]])


def learnt(work, vectors, grad):
    vectors = vectors.clone().requires_grad_()
    found = work(vectors)
    found.backward(grad)
    return found.detach(), vectors.grad


@COMPILED
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 8e-3)])
def test_value_and_gradient_are_those_of_the_plain_path(dtype, tolerance):
    vectors, grad = torch.cat([torch.randn(5, 37) * 3, EDGES]).to(dtype), torch.randn(6, 37).to(dtype)
    assert type(gelu_tanh(vectors.requires_grad_()).grad_fn).__name__ == "_GeluBackward"
    expected = learnt(gelu_tanh_plain, vectors.detach().double(), grad.double())
    for one, other in zip(learnt(gelu_tanh, vectors.detach(), grad), expected, strict=True):
        assert one.dtype == dtype
        torch.testing.assert_close(one.double(), other, rtol=tolerance, atol=tolerance)


@COMPILED
def test_columns_of_a_larger_tensor():
    vectors = torch.randn(8, 6).t()
    found, expected = (learnt(form, vectors, vectors) for form in (gelu_tanh, gelu_tanh_plain))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)


@COMPILED
def test_not_a_number_stays_one():
    for found in learnt(gelu_tanh, torch.tensor([float("nan"), 1.0]), torch.ones(2)):
        assert found.isnan().tolist() == [True, False]


def test_gradients_in_double_precision_and_of_gradients():
    vectors = torch.randn(9, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(gelu_tanh, vectors)
    with plain_path():
        assert torch.autograd.gradgradcheck(gelu_tanh, vectors)
