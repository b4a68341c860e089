"""The cheap dropout mask: its rates, its scale, its seeds."""

import math

import pytest
import torch

from henkan import native
from henkan.nn.dropout import LANES, LEVELS, Dropout, add_dropped, dropout, dropout_mask
from henkan.nn.fused import plain_path

PROBABILITIES = [0.1, 0.3, 0.5, 0.9]
COMPILED = pytest.mark.skipif(native.library() is None, reason="the C++ loops are not there")


def drawn(shape: tuple[int, ...], probability: float, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """A mask of a new seed."""
    return dropout_mask(torch.Size(shape), probability, dtype, int(torch.randint(-(1 << 62), 1 << 62, ())))


def sigmas(found: float, probability: float, draws: int) -> float:
    """How many standard deviations a share is from its probability."""
    return abs(found - probability) / math.sqrt(probability * (1 - probability) / draws)


@pytest.mark.parametrize("probability", PROBABILITIES)
def test_rate(probability):
    mask = drawn((400, 1000), probability)
    assert sigmas((mask == 0).double().mean().item(), probability, mask.numel()) < 4


@pytest.mark.parametrize("probability", PROBABILITIES)
def test_elements_are_independent(probability):
    """Neighbours, and the two that one hash serves, must fall together as often as chance has it."""
    dropped = drawn((100_000, 2 * LANES), probability) == 0
    for place in range(LANES):
        assert sigmas(dropped[:, place].double().mean().item(), probability, len(dropped)) < 4.5
        for other in (place + 1, place + LANES):
            both = (dropped[:, place] & dropped[:, other]).double().mean().item()
            assert sigmas(both, probability**2, len(dropped)) < 4.5


@pytest.mark.parametrize("delta", [1, 1 << 16, 1 << 32, (1 << 32) + 0x9E3779B9])
def test_seeds_are_independent(delta):
    """Masks of two seeds have nothing in common: where one half of the bits is equal, or the places hashed only shift.

    Seeds of one upper half whose lower halves shift the places do share a shifted mask; of 63 drawn bits that is rare.
    """
    shape = torch.Size((1_000_000,))
    first, second = (dropout_mask(shape, 0.3, torch.float32, seed) == 0 for seed in (12345, 12345 + delta))
    for shift in (0, 1, LANES):
        both = (first & second.roll(shift)).double().mean().item()
        assert sigmas(both, 0.09, len(first)) < 4.5


@pytest.mark.parametrize("probability", PROBABILITIES)
def test_scale_is_exact(probability):
    """What is kept is divided by exactly the share that is kept on average, so the expectation is the input."""
    dropped = round(probability * LEVELS)
    scale = drawn((1000,), probability, torch.float64).unique().tolist()
    assert scale == [0.0, LEVELS / (LEVELS - dropped)]
    assert abs(dropped / LEVELS - probability) <= 0.5 / LEVELS


@pytest.mark.parametrize("probability", PROBABILITIES)
def test_expectation(probability):
    vectors = torch.rand(1000, 300, dtype=torch.float64) + 1
    found = dropout(vectors, probability)
    variance = (vectors**2).sum().item() * probability / (1 - probability)
    assert abs((found - vectors).sum().item()) < 4 * math.sqrt(variance)


@pytest.mark.parametrize("shape", [(), (1,), (3,), (5, 7), (0, 4), (2, 3, 5)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_any_shape_and_type(shape, dtype):
    """Counts that are no multiple of four too."""
    found = dropout(torch.ones(shape, dtype=dtype), 0.5)
    assert found.shape == shape and found.dtype == dtype
    assert ((found == 0) | (found == 2)).all()


def test_same_seed_same_mask():
    ones = torch.ones(50, 50)

    def seeded(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return dropout(ones, 0.3)

    assert torch.equal(seeded(5), seeded(5))
    assert not torch.equal(seeded(5), seeded(6))
    torch.manual_seed(5)
    first, second = (dropout(ones, 0.3) for _ in range(2))
    assert not torch.equal(first, second), "two calls draw two masks"


def test_the_gradient_is_the_mask():
    vectors = torch.randn(20, 20, requires_grad=True)
    found = dropout(vectors, 0.4)
    found.sum().backward()
    torch.testing.assert_close(found, vectors * vectors.grad)
    assert set(vectors.grad.unique().tolist()) == set(drawn((99,), 0.4).tolist())


def test_evaluation_is_the_identity():
    vectors, part = torch.randn(5, 5), Dropout(0.5)
    assert not torch.equal(part(vectors), vectors)
    assert part.eval()(vectors) is vectors
    assert Dropout(0.0)(vectors) is vectors


@COMPILED
@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 31, 32, 33, 1000, 70_001])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_native_and_plain_agree(dtype, count):
    """The same elements fall; sums are rounded once instead of twice. Values and both gradients."""
    base, vectors = (torch.randn(count).to(dtype).requires_grad_() for _ in range(2))
    upstream = torch.randn(count).to(dtype)

    def outcome() -> tuple[torch.Tensor, ...]:
        torch.manual_seed(count)
        found = add_dropped(base, vectors, 0.3)
        return (found, *torch.autograd.grad(found, (base, vectors), upstream))

    with plain_path():
        expected = outcome()
    bound = 1e-6 if dtype == torch.float32 else 0.02
    for ours, theirs in zip(outcome(), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=bound, atol=bound)
    torch.manual_seed(count)
    kept = dropout(torch.ones(count, dtype=dtype), 0.3)
    with plain_path():
        torch.manual_seed(count)
        assert torch.equal(kept, dropout(torch.ones(count, dtype=dtype), 0.3))


@COMPILED
def test_threads_do_not_matter():
    vectors, threads = torch.randn(200_003), torch.get_num_threads()
    found = []
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            torch.manual_seed(1)
            found.append(add_dropped(vectors, vectors, 0.2))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*found)


@pytest.mark.parametrize("layout", ["transposed", "expanded"])
def test_any_layout(layout):
    """The mask goes by logical place, whatever the strides."""
    vectors = torch.randn(20, 30).t() if layout == "transposed" else torch.randn(30, 1).expand(30, 20)
    torch.manual_seed(3)
    expected = dropout(vectors.contiguous(), 0.5)
    torch.manual_seed(3)
    assert torch.equal(dropout(vectors, 0.5), expected)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_gradients_and_theirs(dtype):
    """It is linear: the gradient is the mask, and may be differentiated again."""
    base, vectors, upstream = (torch.randn(40, dtype=dtype, requires_grad=True) for _ in range(3))
    found = add_dropped(base, vectors, 0.4)
    to_base, to_vectors = torch.autograd.grad(found, (base, vectors), upstream, create_graph=True)
    torch.testing.assert_close(found, base + vectors * (to_vectors / upstream))
    assert torch.equal(to_base, upstream)
    (again,) = torch.autograd.grad(to_vectors.sum(), upstream)
    torch.testing.assert_close(again, to_vectors / upstream)
