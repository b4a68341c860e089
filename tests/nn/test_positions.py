"""Sinusoids against their formula, and a table that grows."""

import math

import pytest
import torch

from henkan.nn.positions import SinusoidalPositions, sinusoids


@pytest.mark.parametrize("width", [2, 8, 7])
def test_formula(width):
    """Vaswani et al. (2017), section 3.5: sines in the even columns, cosines in the odd ones, interleaved."""
    table = sinusoids(50, width)
    for position in (0, 1, 7, 49):
        for column in range(width):
            angle = position / 10000 ** (2 * (column // 2) / width)
            expected = math.cos(angle) if column % 2 else math.sin(angle)
            assert table[position, column].item() == pytest.approx(expected, abs=1e-6)


def test_positions_are_added():
    part, vectors = SinusoidalPositions(4), torch.randn(2, 3, 4)
    positions = torch.tensor([[0, 1, 2], [5, 5, 6]])
    assert torch.equal(part(vectors, positions, 7), vectors + sinusoids(7, 4)[positions])


def test_the_table_grows():
    """A sentence longer than any before comes in inference; training goes on afterwards."""
    part, length = SinusoidalPositions(4), 700
    short, positions = torch.zeros(1, 3, 4), torch.arange(length)[None]
    part(short, positions[:, :3], 3)
    vectors = torch.randn(1, length, 4, requires_grad=True)
    with torch.inference_mode():
        part(vectors, positions, length)
    found = part(vectors, positions, length)
    torch.testing.assert_close(found, vectors + sinusoids(length, 4))
    found.square().sum().backward()
    torch.testing.assert_close(vectors.grad, 2 * found)


def test_the_table_follows_the_vectors_and_stays_out_of_files():
    part, positions = SinusoidalPositions(4), torch.arange(2)[None]
    for dtype in (torch.float32, torch.bfloat16, torch.float64):
        found = part(torch.zeros(1, 2, 4, dtype=dtype), positions, 2)
        assert found.dtype == dtype
        torch.testing.assert_close(found[0], sinusoids(2, 4).to(dtype))
    assert not part.state_dict()
