"""Tokens to vectors."""

import torch

from henkan.nn.embeddings import TokenEmbedding


def test_look_up_and_scale():
    ids = torch.tensor([[3, 0], [1, 3]])
    plain, scaled = TokenEmbedding(5, 16), TokenEmbedding(5, 16, scaled=True)
    assert torch.equal(plain(ids), plain.weight[ids])
    torch.testing.assert_close(scaled(ids), 4.0 * scaled.weight[ids])


def test_gradients_add_up_over_repetitions():
    part = TokenEmbedding(5, 2, scaled=True)
    part(torch.tensor([[3, 3, 1]])).sum().backward()
    torch.testing.assert_close(part.weight.grad[:, 0], torch.tensor([0.0, 1.0, 0.0, 2.0, 0.0]) * 2**0.5)
