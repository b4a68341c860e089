"""Tokens to vectors."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from henkan.nn.init import embedding_normal


class TokenEmbedding(nn.Module):
    """A table of V vectors, optionally scaled by sqrt(D) (Vaswani et al. 2017, section 3.4).

    One object may serve as source embedding, target embedding and, through :class:`henkan.nn.heads.TokenHead`,
    as output matrix: that is what tying means here.
    """

    def __init__(self, vocabulary: int, width: int, *, scaled: bool = False) -> None:
        super().__init__()
        self.width = width
        self.scale = width**0.5 if scaled else 1.0
        self.weight = nn.Parameter(torch.empty(vocabulary, width))
        embedding_normal(self.weight)

    def forward(self, ids: Tensor) -> Tensor:
        """Ids (N, T) to vectors (N, T, D)."""
        vectors = functional.embedding(ids, self.weight)
        return vectors if self.scale == 1.0 else vectors * self.scale
