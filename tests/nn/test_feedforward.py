"""The position-wise network against its equation."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from henkan.nn.feedforward import FeedForward

ACTIVATIONS = {
    "relu": lambda x: max(x, 0.0),
    "gelu": lambda x: x * 0.5 * (1 + math.erf(x / math.sqrt(2))),
    "silu": lambda x: x / (1 + math.exp(-x)),
}


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_equation(activation):
    """Vaswani et al. (2017), equation 2, at each position by itself."""
    part = FeedForward(4, 7, activation).double()
    for parameter in part.parameters():
        nn.init.normal_(parameter)
    vectors = torch.randn(2, 3, 4, dtype=torch.float64)
    found = part(vectors).detach().numpy()
    W1, b1, W2, b2 = (parameter.detach().numpy() for parameter in part.parameters())
    for row, step in np.ndindex(2, 3):
        inner = np.array([ACTIVATIONS[activation](x) for x in W1 @ vectors[row, step].numpy() + b1])
        np.testing.assert_allclose(found[row, step], W2 @ inner + b2, rtol=1e-12, atol=1e-12)
