"""The best tokens in one pass of C++ against torch's log-softmax and topk."""

import pytest
import torch

from henkan import native
from henkan.nn.top import top, top_again, top_again_plain, top_plain


@pytest.fixture(autouse=True)
def _native():
    if native.library() is None:
        pytest.skip("no C++ compiler here")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("size", "k"), [(1, 1), (5, 5), (128, 3), (1000, 8), (8001, 13)])
def test_as_torch_has_it(size, k, dtype):
    logits = (torch.randn(7, size) * 6).to(dtype)
    best, ids = top(logits, k)
    expected, _ = top_plain(logits, k)
    torch.testing.assert_close(best, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(torch.log_softmax(logits.float(), -1).gather(1, ids), best, rtol=1e-5, atol=1e-5)
    assert all(len(set(row)) == k for row in ids.tolist()), "no token twice, even where logits are equal"


def test_logits_far_apart():
    """No power overflows, whichever way the largest comes; what has no probability is never among finite ones."""
    for logits in (torch.linspace(-500, 500, 300), torch.linspace(500, -500, 300), torch.full((300,), 3.0)):
        best, _ = top(logits[None], 4)
        torch.testing.assert_close(best, top_plain(logits[None], 4)[0], rtol=1e-5, atol=1e-5)
    few = torch.full((1, 300), -torch.inf)
    few[0, [7, 200]] = torch.tensor([1.0, 2.0])
    best, ids = top(few, 3)
    assert ids[0, :2].tolist() == [200, 7]
    assert best[0, 2] == -torch.inf


def test_no_numbers_give_no_numbers():
    logits = torch.zeros(2, 50)
    logits[0, 3] = torch.nan
    best, _ = top(logits, 2)
    assert best[0].isnan().all() and not best[1].isnan().any()


def test_columns_of_something_larger():
    logits = torch.randn(4, 60)[:, 10:40]
    torch.testing.assert_close(top(logits, 3)[0], top_plain(logits, 3)[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize(("size", "k"), [(5, 5), (200, 1), (4000, 8)])
def test_rounded_logits_and_the_best_made_again(size, k, with_bias):
    """Close to what exact logits give, and the twin gives the same."""
    hidden, weight = torch.randn(6, 32), torch.randn(size, 32)
    bias = torch.randn(size) if with_bias else None
    exact = torch.nn.functional.linear(hidden, weight, bias)
    arguments = (exact.bfloat16(), k, hidden, weight, bias)
    for best, ids in (top_again(*arguments), top_again_plain(*arguments)):
        expected, places = top_plain(exact, k)
        torch.testing.assert_close(best, expected, rtol=1e-4, atol=5e-3)
        assert torch.equal(ids, places)
    # Which of equal rounded logits are made again may differ, and so the normaliser by their rounding.
    torch.testing.assert_close(top_again(*arguments)[0], top_again_plain(*arguments)[0], rtol=2e-3, atol=2e-3)


def test_rounded_logits_that_are_far_off():
    """No difference of sums may make a probability larger than 1, or no number."""
    hidden, weight = 20 * torch.randn(6, 32), torch.randn(200, 32)
    for best, _ in (again(50 * torch.randn(6, 200), 4, hidden, weight, None) for again in (top_again, top_again_plain)):
        assert best.isfinite().all() and (best <= 1e-5).all()
