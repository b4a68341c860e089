"""Where a token stands, as a vector."""

import torch
from torch import Tensor, nn
from torch.nn import functional


def sinusoids(length: int, width: int) -> Tensor:
    """(length, width) sines in the even and cosines in the odd columns (Vaswani et al. 2017, section 3.5).

    The original code stacks all sines before all cosines; the paper, and so this, interleaves them.
    """
    position = torch.arange(length, dtype=torch.float64)[:, None]
    frequency = torch.exp(torch.arange(0, width, 2, dtype=torch.float64) * (-torch.log(torch.tensor(1e4)) / width))
    table = torch.zeros(length, width, dtype=torch.float64)
    table[:, 0::2] = torch.sin(position * frequency)
    table[:, 1::2] = torch.cos(position * frequency[: width // 2])
    return table.float()


class SinusoidalPositions(nn.Module):
    """Adds sinusoids; the table grows when a longer sentence comes."""

    table: Tensor

    def __init__(self, width: int, length: int = 512) -> None:
        super().__init__()
        self.register_buffer("table", sinusoids(length, width), persistent=False)

    def forward(self, vectors: Tensor, positions: Tensor, limit: int) -> Tensor:
        """Vectors (N, T, D) at positions (N, T), all of them below ``limit``, to (N, T, D)."""
        if limit > self.table.shape[0]:
            grown = sinusoids(max(limit, 2 * self.table.shape[0]), self.table.shape[1])
            self.table = grown.to(self.table.device, self.table.dtype)
        return vectors + functional.embedding(positions, self.table).to(vectors.dtype)


class NoPositions(nn.Module):
    """Recurrent parts know the order already."""

    def forward(self, vectors: Tensor, positions: Tensor, limit: int) -> Tensor:
        """The vectors, unchanged."""
        return vectors
