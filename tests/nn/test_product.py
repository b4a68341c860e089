"""Packed products against the plain ones, for every type that this processor has."""

import pytest
import torch

from henkan.nn.product import PackedBest, PackedProduct, native_kinds, product_plain, whole_numbers
from henkan.nn.top import top_again_plain, top_plain

KINDS = sorted(native_kinds(), key=str)


@pytest.fixture(autouse=True)
def _native():
    if not KINDS:
        pytest.skip("no C++ compiler here")


@pytest.fixture(params=KINDS, ids=str)
def dtype(request):
    return request.param


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5, 6, 7, 13])
@pytest.mark.parametrize(("inputs", "outputs"), [(1, 1), (3, 64), (16, 65), (37, 200), (256, 100)])
@pytest.mark.parametrize("with_bias", [True, False])
def test_as_it_is_specified(rows, inputs, outputs, with_bias, dtype):
    torch.manual_seed(rows * inputs + outputs)
    weight, x = torch.randn(outputs, inputs), torch.randn(rows, inputs) * 3
    bias = torch.randn(outputs) if with_bias else None
    found = PackedProduct(weight, bias, dtype)(x)
    torch.testing.assert_close(found, product_plain(x, weight, bias, dtype), rtol=1e-4, atol=1e-4)


def test_rows_of_something_larger(dtype):
    weight, x = torch.randn(70, 20), torch.randn(3, 4, 50)[..., 10:30]
    found = PackedProduct(weight, None, dtype)(x)
    expected = product_plain(x.reshape(12, 20), weight, None, dtype).view(3, 4, 70)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    turned = torch.randn(20, 5).t()
    torch.testing.assert_close(
        PackedProduct(weight, None, dtype)(turned), product_plain(turned, weight, None, dtype), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize(("outputs", "k"), [(1, 1), (5, 5), (64, 3), (1000, 8), (8001, 13)])
def test_the_best_without_the_rest(outputs, k, dtype):
    weight, bias, x = torch.randn(outputs, 24), torch.randn(outputs), torch.randn(9, 24)
    best, ids = PackedProduct(weight, bias, dtype).best(x, k)
    logits = product_plain(x, weight, bias, dtype)
    torch.testing.assert_close(best, top_plain(logits, k)[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(torch.log_softmax(logits, -1).gather(1, ids), best, rtol=1e-4, atol=1e-4)
    assert all(len(set(row)) == k for row in ids.tolist())


def test_no_numbers_give_no_numbers(dtype):
    x, weight = torch.randn(2, 8), torch.randn(70, 8)
    x[0, 3] = torch.nan
    product = PackedProduct(weight, None, dtype)
    assert product(x)[0].isnan().all() and not product(x)[1].isnan().any()
    assert product.best(x, 2)[0][0].isnan().all()
    weight[5, 1] = torch.nan
    assert PackedProduct(weight, None, dtype)(x)[1].isnan().nonzero().tolist() == [[5]]


def test_zeros(dtype):
    assert not PackedProduct(torch.zeros(3, 5), None, dtype)(torch.zeros(2, 5)).any()


def test_whole_numbers_by_hand():
    rows, scales = whole_numbers(torch.tensor([[1.27, -0.5, 0.004], [0.0, 0.0, 0.0]]))
    torch.testing.assert_close(scales, torch.tensor([0.01, 1.0]))
    assert rows.tolist() == [[127.0, -50.0, 0.0], [0.0, 0.0, 0.0]]


def test_several_threads_have_the_same(dtype):
    weight, x = torch.randn(300, 256), torch.randn(40, 256)
    product, before = PackedProduct(weight, None, dtype), torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone, best = product(x), product.best(x, 3)
        torch.set_num_threads(2)
        assert torch.equal(product(x), alone)
        assert torch.equal(product.best(x, 3)[1], best[1])
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(("outputs", "k"), [(1, 1), (5, 5), (64, 3), (1000, 8), (8001, 13), (300, 100)])
@pytest.mark.parametrize("with_bias", [True, False])
def test_the_best_of_whole_numbers_made_again(outputs, k, with_bias):
    if torch.int8 not in KINDS:
        pytest.skip("this processor does not multiply whole numbers fast")
    torch.manual_seed(outputs)
    weight, x = torch.randn(outputs, 24), torch.randn(130, 24)
    bias = torch.randn(outputs) if with_bias else None
    best, ids = PackedBest(weight, bias, torch.int8)(x, k)
    rounded = product_plain(x, weight, bias, torch.int8)
    torch.testing.assert_close(best, top_again_plain(rounded, k, x, weight, bias)[0], rtol=1e-4, atol=1e-4)
    exact = torch.log_softmax(torch.nn.functional.linear(x, weight, bias), -1).gather(1, ids)
    torch.testing.assert_close(best, exact, rtol=1e-3, atol=0.02)
    assert all(len(set(row)) == k for row in ids.tolist())


def test_the_best_of_float32_products_are_exact():
    weight, x = torch.randn(50, 24), torch.randn(9, 24)
    best, ids = PackedBest(weight, None, torch.float32)(x, 4)
    torch.testing.assert_close((best, ids), top_plain(x @ weight.t(), 4), rtol=1e-4, atol=1e-4)


def test_the_best_where_whole_numbers_are_far_off():
    """One input is a hundred times the others: a difference of sums may make no probability larger than 1, or none."""
    weight, x = torch.randn(300, 64), 100 * torch.randn(50, 64)
    x[:, 0], weight[:, 0] = 1e4, 0.0
    best, ids = PackedBest(weight, None, torch.int8)(x, 4)
    assert best.isfinite().all() and (best <= 1e-5).all()
    assert all(len(set(row)) == 4 for row in ids.tolist())


def test_tokens_that_are_impossible_come_last():
    weight, x, bias = torch.randn(5, 16), torch.randn(2, 16), torch.tensor([0, -torch.inf, -torch.inf, 1, -torch.inf])
    best, ids = PackedBest(weight, bias, torch.int8)(x, 4)
    expected, places = top_plain(torch.nn.functional.linear(x, weight, bias), 4)
    torch.testing.assert_close(best, expected, rtol=1e-2, atol=1e-2)
    assert torch.equal(ids[:, :2], places[:, :2])
