"""The cheap dropout mask: its rates, its scale, its seeds."""

import math

import pytest
import torch

from henkan.nn.dropout import LEVELS, Dropout, dropout, dropout_mask

PROBABILITIES = [0.1, 0.3, 0.5, 0.9]


def sigmas(found: float, probability: float, draws: int) -> float:
    """How many standard deviations a share is from its probability."""
    return abs(found - probability) / math.sqrt(probability * (1 - probability) / draws)


@pytest.mark.parametrize("probability", PROBABILITIES)
def test_rate(probability):
    mask = dropout_mask(torch.Size((400, 1000)), probability, torch.float32)
    assert sigmas((mask == 0).double().mean().item(), probability, mask.numel()) < 4


@pytest.mark.parametrize("probability", PROBABILITIES)
def test_elements_are_independent(probability):
    """Four neighbours come from one draw; each pair of them must fall together as often as chance has it."""
    dropped = dropout_mask(torch.Size((100_000, 4)), probability, torch.float32) == 0
    for first in range(4):
        assert sigmas(dropped[:, first].double().mean().item(), probability, len(dropped)) < 4
        for second in range(first + 1, 4):
            both = (dropped[:, first] & dropped[:, second]).double().mean().item()
            assert sigmas(both, probability**2, len(dropped)) < 4


@pytest.mark.parametrize("probability", PROBABILITIES)
def test_scale_is_exact(probability):
    """What is kept is divided by exactly the share that is kept on average, so the expectation is the input."""
    dropped = round(probability * LEVELS)
    scale = dropout_mask(torch.Size((1000,)), probability, torch.float64).unique().tolist()
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
    def drawn(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return dropout_mask(torch.Size((50, 50)), 0.3, torch.float32)

    assert torch.equal(drawn(5), drawn(5))
    assert not torch.equal(drawn(5), drawn(6))
    torch.manual_seed(5)
    first, second = (dropout_mask(torch.Size((50, 50)), 0.3, torch.float32) for _ in range(2))
    assert not torch.equal(first, second), "two calls draw two masks"


def test_the_gradient_is_the_mask():
    vectors = torch.randn(20, 20, requires_grad=True)
    found = dropout(vectors, 0.4)
    found.sum().backward()
    torch.testing.assert_close(found, vectors * vectors.grad)
    assert set(vectors.grad.unique().tolist()) == set(dropout_mask(torch.Size((99,)), 0.4, torch.float32).tolist())


def test_evaluation_is_the_identity():
    vectors, part = torch.randn(5, 5), Dropout(0.5)
    assert not torch.equal(part(vectors), vectors)
    assert part.eval()(vectors) is vectors
    assert Dropout(0.0)(vectors) is vectors
