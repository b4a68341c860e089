"""Dropout (Srivastava et al. 2014) with a cheap mask on the CPU.

torch draws one float for each element, which on a CPU costs as much as a matrix product of a small model. Here one
64-bit draw serves four elements: 16 bits each against a threshold. The mask comes from torch's default generator, so
whoever seeds it gets the same mask again.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

LEVELS = 1 << 16
"""Probabilities are rounded to multiples of 1 / LEVELS; the scale is exact for what is used."""


def dropout(vectors: Tensor, probability: float) -> Tensor:
    """Zero each element with ``probability`` and divide the rest by what is kept on average."""
    if vectors.device.type != "cpu":
        return functional.dropout(vectors, probability)
    return vectors * dropout_mask(vectors.shape, probability, vectors.dtype)


def dropout_mask(shape: torch.Size, probability: float, dtype: torch.dtype) -> Tensor:
    """0 or 1 / (1 - probability), of this shape."""
    count = shape.numel()
    dropped = min(round(probability * LEVELS), LEVELS - 1)
    draws = torch.empty((count + 3) // 4, dtype=torch.int64).random_(-(1 << 63), None)
    kept = draws.view(torch.int16)[:count].view(shape) >= dropped - LEVELS // 2
    return torch.where(kept, torch.tensor(LEVELS / (LEVELS - dropped), dtype=dtype), torch.tensor(0.0, dtype=dtype))


class Dropout(nn.Module):
    """:func:`dropout` in training mode, nothing otherwise."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, vectors: Tensor) -> Tensor:
        """Any shape."""
        return dropout(vectors, self.probability) if self.training and self.probability else vectors

    def factors(self, shape: tuple[int, ...], like: Tensor) -> Tensor | None:
        """What a loop multiplies with step by step, drawn at once: of this shape, or None where nothing is dropped."""
        if not self.training or not self.probability:
            return None
        if like.device.type != "cpu":
            return functional.dropout(like.new_ones(shape), self.probability)
        return dropout_mask(torch.Size(shape), self.probability, like.dtype)
