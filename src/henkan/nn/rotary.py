"""Rotary positions (Su et al. 2021): queries and keys are turned by an angle that grows with their place.

The score of two turned vectors depends on the distance of their places alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from henkan.nn.biases import only_padded, places
from henkan.nn.varlen import Within


@dataclass(frozen=True)
class Rotation:
    """What attention takes: the bias of the mask, and by how much this call's queries and keys are turned."""

    bias: Tensor  # (N or 1, 1, T or 1, S)
    cosines: Tensor  # (N or 1, T, 1, E / 2)
    sines: Tensor  # (N or 1, T, 1, E / 2)

    def turn(self, vectors: Tensor) -> Tensor:
        """Each pair of neighbours in vectors (N, T, H, E), turned (equation 34)."""
        first, second = vectors.unflatten(-1, (-1, 2)).unbind(-1)
        turned = (first * self.cosines - second * self.sines, first * self.sines + second * self.cosines)
        return torch.stack(turned, -1).flatten(-2)


class RotaryTerms(nn.Module):
    """The angle of pair i at place p is p * base ** (-2 i / E), i from 0."""

    def __init__(self, head_width: int, base: float) -> None:
        super().__init__()
        self.head_width, self.base = head_width, base

    def forward(self, bias: Tensor | Within, mask: Tensor, length: int) -> Rotation:
        """See :meth:`henkan.nn.biases.MaskAlone.forward`."""
        bias = only_padded(bias, "rotary positions")
        queries, _ = places(mask, length)
        pairs = torch.arange(0, self.head_width, 2, device=bias.device, dtype=torch.float64)
        angles = (queries[..., None] * self.base ** (-pairs / self.head_width))[:, :, None]
        return Rotation(bias, angles.cos().to(bias.dtype), angles.sin().to(bias.dtype))
