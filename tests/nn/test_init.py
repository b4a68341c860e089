"""How weights start."""

import math

import pytest
import torch
from torch import nn

from henkan.nn.cells import GRUCell, LSTMCell, RNNCell
from henkan.nn.init import embedding_normal, glorot_uniform, orthogonal_blocks, uniform_everywhere
from henkan.nn.multihead import SelfAttention


@pytest.mark.parametrize("blocks", [1, 3, 4])
def test_glorot_uniform(blocks):
    """Each of the stacked matrices has its own fan out."""
    weight = torch.empty(blocks * 200, 100)
    glorot_uniform(weight, blocks)
    bound = math.sqrt(6 / (200 + 100))
    assert 0.99 * bound < weight.abs().max() <= bound
    assert weight.var().item() == pytest.approx(bound**2 / 3, rel=0.05)


def test_embedding_normal():
    weight = torch.empty(500, 64)
    embedding_normal(weight)
    assert weight.std().item() == pytest.approx(1 / 8, rel=0.05)
    assert abs(weight.mean().item()) < 0.01


@pytest.mark.parametrize("blocks", [1, 3, 4])
def test_orthogonal_blocks(blocks):
    weight = torch.empty(blocks * 10, 10)
    orthogonal_blocks(weight, blocks)
    for block in weight.chunk(blocks):
        torch.testing.assert_close(block @ block.T, torch.eye(10), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("kind", "gates"), [(RNNCell, 1), (LSTMCell, 4), (GRUCell, 3)])
def test_cells_start_with_orthogonal_recurrence(kind, gates):
    for block in kind(4, 8).hidden_weight.detach().chunk(gates):
        torch.testing.assert_close(block @ block.T, torch.eye(8), atol=1e-5, rtol=0)


def test_fused_attention_starts_as_three_matrices():
    bound = math.sqrt(6 / (64 + 64))
    for block in SelfAttention(64, 4).inputs.weight.detach().chunk(3):
        assert 0.95 * bound < block.abs().max() <= bound


def test_uniform_everywhere():
    module = nn.Sequential(nn.Linear(50, 50), nn.LayerNorm(50))
    uniform_everywhere(module, 0.08)
    for parameter in module.parameters():
        assert 0.06 < parameter.detach().abs().max() <= 0.08
        assert parameter.detach().min() < 0 < parameter.detach().max()
