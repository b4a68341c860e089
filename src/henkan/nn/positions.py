"""Where a token stands, as a vector that is added to its own.

What enters the scores instead is in ``biases.py``, ``rotary.py`` and ``disentangled.py``.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from henkan.errors import DataError


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


def stacked_sinusoids(length: int, width: int) -> Tensor:
    """The same numbers with all sines before all cosines, as the original code and Marian have them."""
    table = sinusoids(length, width)
    return torch.cat([table[:, 0::2], table[:, 1::2]], 1)


class SinusoidalPositions(nn.Module):
    """Adds sinusoids; their table is made when it is first needed, and again when a longer sentence comes.

    It is no buffer: a model that is built without memory and filled from a file has nothing to fill here.
    """

    def __init__(self, width: int, make: Callable[[int, int], Tensor] = sinusoids) -> None:
        super().__init__()
        self.width = width
        self._make = make
        self._table: Tensor | None = None

    def forward(self, vectors: Tensor, positions: Tensor, limit: int) -> Tensor:
        """Vectors (N, T, D) at positions (N, T), all of them below ``limit``, to (N, T, D)."""
        return vectors + functional.embedding(positions, self.table(limit, vectors))

    def table(self, limit: int, vectors: Tensor) -> Tensor:
        """(at least ``limit``, D), of the type of these vectors and where they are."""
        table = self._table
        if table is None or table.shape[0] < limit or table.device != vectors.device or table.dtype != vectors.dtype:
            with torch.inference_mode(False):  # the table may serve training after it was made while decoding
                self._table = table = self._make(max(limit, 512), self.width).to(vectors.device, vectors.dtype)
        return table


class LearnedPositions(nn.Module):
    """Adds a learnt vector for each place below ``limit`` (Gehring et al. 2017).

    Args:
        offset: rows before the one of place 0; RoBERTa and BART have two, which no token ever reads.
    """

    def __init__(self, width: int, limit: int, offset: int = 0) -> None:
        super().__init__()
        self.limit, self.offset = limit, offset
        self.weight = nn.Parameter(torch.empty(offset + limit, width))
        nn.init.normal_(self.weight, std=0.02)

    def forward(self, vectors: Tensor, positions: Tensor, limit: int) -> Tensor:
        """Vectors (N, T, D) at positions (N, T), all of them below ``limit``, to (N, T, D).

        Raises:
            DataError: a position has no vector.
        """
        if limit > self.limit and (last := int(positions.max())) >= self.limit:
            raise DataError(f"a text of {last + 1} tokens or more: this model has {self.limit} positions; shorten it")
        return vectors + functional.embedding(positions + self.offset if self.offset else positions, self.weight)


class NoPositions(nn.Module):
    """Adds nothing: places enter the scores, or nowhere."""

    def forward(self, vectors: Tensor, positions: Tensor, limit: int) -> Tensor:
        """Vectors (N, T, D) as they are."""
        return vectors
