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
    """A longer sentence than any before, in inference; training goes on afterwards."""
    part, vectors = SinusoidalPositions(4, length=3), torch.randn(1, 10, 4, requires_grad=True)
    positions = torch.arange(10)[None]
    with torch.inference_mode():
        part(vectors, positions, 10)
    assert part.table.shape[0] >= 10
    found = part(vectors, positions, 10)
    torch.testing.assert_close(found, vectors + sinusoids(10, 4))
    found.sum().backward()
    assert torch.equal(vectors.grad, torch.ones_like(vectors))


def test_the_table_keeps_its_type_and_stays_out_of_files():
    part = SinusoidalPositions(4, length=2).double()
    part(torch.zeros(1, 5, 4, dtype=torch.float64), torch.arange(5)[None], 5)
    assert part.table.dtype == torch.float64
    assert not part.state_dict()


def test_bf16_vectors_stay_bf16():
    part = SinusoidalPositions(4)
    assert part(torch.zeros(1, 2, 4, dtype=torch.bfloat16), torch.arange(2)[None], 2).dtype == torch.bfloat16
