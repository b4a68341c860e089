"""Which positions of what an encoder returns are read: one in six while BERT learns, the first of a text to classify.

The others need no last feed-forward network, norm and dropout. Losses and gradients are the same as with them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import torch
from torch import Tensor

from henkan.tensors import Tokens


class Reader(Protocol):
    """A pooler or a head that says beforehand what it will read."""

    def reads(self, mask: Tensor, labels: Tensor | None) -> Tensor | None:
        """Where it reads an encoder's states.

        Args:
            mask: (N, S) bool, where there is a token.
            labels: its own in this batch, if there are some.

        Returns:
            (N, S) bool; None: everywhere.
        """
        ...


def places_read(source: Tokens, readers: Iterable[tuple[Reader, Tensor | None]]) -> Tensor | None:
    """The places that any of these reads, each with its labels.

    Returns:
        (K,) int64 among the N * S positions, or None for all of them: where somebody reads all, where texts are packed,
        and on an accelerator, which would have to be waited for to know K.
    """
    if source.sentences is not None or source.mask.device.type != "cpu":
        return None
    read = torch.zeros_like(source.mask)
    for reader, labels in readers:
        wanted = reader.reads(source.mask, labels)
        if wanted is None:
            return None
        read |= wanted
    return read.flatten().nonzero()[:, 0]
