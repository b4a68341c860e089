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
    """Adds sinusoids; their table is made when it is first needed, and again when a longer sentence comes.

    It is no buffer: a model that is built without memory and filled from a file has nothing to fill here.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self._table: Tensor | None = None

    def forward(self, vectors: Tensor, positions: Tensor, limit: int) -> Tensor:
        """Vectors (N, T, D) at positions (N, T), all of them below ``limit``, to (N, T, D)."""
        table = self._table
        if table is None or table.shape[0] < limit or table.device != vectors.device or table.dtype != vectors.dtype:
            with torch.inference_mode(False):  # the table may serve training after it was made while decoding
                self._table = table = sinusoids(max(limit, 512), self.width).to(vectors.device, vectors.dtype)
        return vectors + functional.embedding(positions, table)
