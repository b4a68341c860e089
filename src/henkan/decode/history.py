"""What a search notes at each step, and when finished sources leave it.

State and scores live on the device, in rows of the sources that are still there; they are read back only
when sources leave, all steps since the last time at once.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

LEAVING_SHARE = 0.1
"""Finished sources leave together, when they are this share of all: leaving copies what those that stay attend to."""

STEPS_BETWEEN_LOOKS = 8
"""How often an accelerator is asked who has finished: the question makes it wait. A CPU is asked at every step."""


def staying(done: Tensor, step: int) -> Tensor | None:
    """Which sources to go on with, (staying,) int64, if it is time that the finished ones leave, otherwise None.

    Args:
        done: (sources,) bool.
        step: counts from 0.
    """
    if not done.is_cpu and (step + 1) % STEPS_BETWEEN_LOOKS:
        return None
    if int(done.sum()) < LEAVING_SHARE * done.shape[0]:
        return None
    return (~done).nonzero()[:, 0]


class History:
    """One record of tensors, (sources still there, ...), for each step; arrays over all sources in the end."""

    def __init__(self, sources: int) -> None:
        self._all = sources
        self._present = np.arange(sources)  # place of each row in the original order
        self._pending: list[tuple[Tensor, ...]] = []
        self._chunks: list[tuple[np.ndarray, list[np.ndarray]]] = []  # who was there; records (steps, there, ...)

    def note(self, *record: Tensor) -> None:
        """Remember one step; the tensors must not be changed in place afterwards."""
        self._pending.append(record)

    def keep(self, sources: Tensor) -> None:
        """Only the given rows go on, (staying,) int64."""
        self._store()
        self._present = self._present[sources.cpu().numpy()]

    def arrays(self) -> list[np.ndarray]:
        """Each column of the records, (steps, sources, ...): zero, or minus infinity, where a source had left."""
        self._store()
        steps = sum(columns[0].shape[0] for _, columns in self._chunks)
        whole = [
            np.full((steps, self._all, *first.shape[2:]), -np.inf if first.dtype.kind == "f" else 0, first.dtype)
            for first in self._chunks[0][1]
        ]
        begin = 0
        for present, columns in self._chunks:
            end = begin + columns[0].shape[0]
            for array, column in zip(whole, columns, strict=True):
                array[begin:end, present] = column
            begin = end
        return whole

    def _store(self) -> None:
        if self._pending:
            columns = [torch.stack(column).cpu().numpy() for column in zip(*self._pending, strict=True)]
            self._chunks.append((self._present, columns))
            self._pending = []
