"""Where the norm stands."""

import torch
from torch import nn
from torch.nn import functional

from henkan.nn.residual import Residual

WIDTH = 6


def residual(norm, dropout=0.0) -> Residual:
    part = Residual(WIDTH, norm, dropout).double()
    for parameter in part.parameters():
        nn.init.normal_(parameter)
    return part


def norm(layer: nn.LayerNorm, x: torch.Tensor) -> torch.Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt() * layer.weight + layer.bias


def test_post_norm():
    """Vaswani et al. (2017): LayerNorm(x + sublayer(x))."""
    part, x = residual("post"), torch.randn(2, 3, WIDTH, dtype=torch.float64)
    torch.testing.assert_close(part(x, torch.tanh), norm(part.after, x + torch.tanh(x)))


def test_pre_norm():
    """Xiong et al. (2020): x + sublayer(LayerNorm(x))."""
    part, x = residual("pre"), torch.randn(2, 3, WIDTH, dtype=torch.float64)
    torch.testing.assert_close(part(x, torch.tanh), x + torch.tanh(norm(part.before, x)))


def test_the_absent_norm_is_an_identity():
    assert isinstance(residual("pre").after, nn.Identity) and isinstance(residual("post").before, nn.Identity)


def test_join_is_the_second_half():
    for where in ("pre", "post"):
        part, x = residual(where), torch.randn(2, WIDTH, dtype=torch.float64)
        assert torch.equal(part(x, torch.tanh), part.join(x, torch.tanh(part.before(x))))


def test_dropout_falls_on_what_the_sublayer_found():
    part, x = residual("pre", dropout=0.5), torch.randn(50, WIDTH, dtype=torch.float64)
    added = part(x, torch.ones_like) - x
    assert added.round(decimals=9).unique().tolist() == [0.0, 2.0]
    part.eval()
    torch.testing.assert_close(part(x, functional.relu), x + functional.relu(norm(part.before, x)))
