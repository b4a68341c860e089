"""The deep output against its equation."""

import numpy as np
import torch
from torch import nn

from henkan.nn.readout import DeepOutput


def random_output() -> DeepOutput:
    part = DeepOutput(3, 4, 5, 6).double()
    for parameter in part.parameters():
        nn.init.normal_(parameter)
    return part


def inputs() -> list[torch.Tensor]:
    return [torch.randn(2, 3, width, dtype=torch.float64, requires_grad=True) for width in (3, 4, 5)]


def test_equation():
    """Bahdanau et al. (2015), appendix A.2.2: t[j] = max(~t[2j - 1], ~t[2j]) counting from 1."""
    part, (states, embedded, contexts) = random_output(), inputs()
    found = part(states, embedded, contexts).detach().numpy()
    U, V, C = (layer.weight.detach().numpy() for layer in (part.state, part.embedding, part.context))
    for row, step in np.ndindex(2, 3):
        s, y, c = (vectors[row, step].detach().numpy() for vectors in (states, embedded, contexts))
        mixed = U @ s + part.state.bias.detach().numpy() + V @ y + C @ c
        expected = [max(mixed[2 * j], mixed[2 * j + 1]) for j in range(6)]
        np.testing.assert_allclose(found[row, step], expected, rtol=1e-12, atol=1e-12)


def test_gradients():
    part = random_output()
    assert torch.autograd.gradcheck(lambda s, y, c, *_: part(s, y, c), (*inputs(), *part.parameters()))
