"""Which part of its text a token belongs to, as a vector: BERT's first or second sentence (Devlin et al. 2019)."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class SegmentEmbedding(nn.Module):
    """Adds a learnt vector for each of ``kinds`` segments; one kind, as in RoBERTa, tells nothing apart."""

    def __init__(self, kinds: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(kinds, width))
        nn.init.normal_(self.weight, std=0.02)

    def forward(self, vectors: Tensor, segments: Tensor | None) -> Tensor:
        """Vectors (N, T, D) and segments (N, T), where None is segment 0 throughout, to (N, T, D)."""
        if segments is None or len(self.weight) == 1:
            return vectors + self.weight[0]
        return vectors + functional.embedding(segments, self.weight)


class NoSegments(nn.Module):
    """A model that does not tell segments apart."""

    def forward(self, vectors: Tensor, segments: Tensor | None) -> Tensor:
        """Vectors (N, T, D) as they are."""
        return vectors
