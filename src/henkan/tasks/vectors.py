"""One vector for each text, of length 1: the mean of what the encoder says of its tokens (Reimers & Gurevych 2019), or
what it says of the first.

The inner product of two of them is the cosine of their angle, which is how alike two texts are said to be.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from henkan.data.sequences import Sequenced, collate_sequences
from henkan.nn.pooling import FirstPooler, MeanPooler
from henkan.tasks.classification import Reader
from henkan.text.normalise import normalise

ROWS = 64
"""Texts that are read together."""


class TextVectors:
    """A model with an encoder as a function from texts to vectors.

    Args:
        network: its ``encode`` gives a Memory.
        reader: puts START before a text and END behind it; what is too long loses its end.
        pooling: ``first``: the vector of START.
    """

    def __init__(self, network: nn.Module, reader: Reader, pooling: Literal["mean", "first"] = "mean") -> None:
        self.network = network
        self.reader = reader
        self._pool = MeanPooler() if pooling == "mean" else FirstPooler()

    def of(self, texts: Sequence[str]) -> Tensor:
        """(N, D) float32 in the order of the texts, START and END counted in the means."""
        read = self.reader.read([(normalise(text), None) for text in texts])
        order = sorted(range(len(read)), key=lambda place: len(read[place][0]))
        device = next(self.network.parameters()).device
        found: list[Tensor] = []
        with torch.inference_mode():
            for first in range(0, len(order), ROWS):
                rows = [Sequenced(place, *read[place]) for place in order[first : first + ROWS]]
                source = collate_sequences(rows, self.reader.tokenizer.marks.pad).to(device).source
                assert source is not None
                memory = self.network.encode(source)  # type: ignore[operator]
                found.append(functional.normalize(self._pool(memory).float(), dim=-1).cpu())
        return torch.cat(found)[torch.tensor(order).argsort()] if found else torch.zeros(0, 0)
