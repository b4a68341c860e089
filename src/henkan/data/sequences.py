"""Sequences with labels of their own to one padded Batch: for encoders alone, and for decoders alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from henkan.tensors import IGNORE, Batch, Tokens


@dataclass(frozen=True, slots=True, eq=False)
class Sequenced:
    """What an encoder reads, marks included, and what is right about it."""

    index: int
    ids: np.ndarray  # (S,) integers
    segments: np.ndarray | None = None  # (S,) 0 in the first text of a pair, 1 in the second
    labels: Mapping[str, np.ndarray | int | float] = field(default_factory=dict)
    # an array of S integers labels each token; a shorter one or a number labels the whole


def collate_sequences(examples: Sequence[Sequenced], pad: int) -> Batch:
    """One row for each example, as long as the longest needs.

    Returns:
        source: ids with segments where the examples have them; labels by name, (N, S) with IGNORE at padding, (N, k)
        or (N,); units: by the same names, how many labels are not IGNORE (rows, for labels of k positions).
    """
    ids, mask = padded([example.ids for example in examples], pad)
    segments = None
    if any(example.segments is not None for example in examples):
        rows = [np.zeros_like(example.ids) if example.segments is None else example.segments for example in examples]
        segments = torch.from_numpy(padded(rows, 0)[0])
    labels: dict[str, Tensor] = {}
    for name, first in examples[0].labels.items():
        values = [example.labels[name] for example in examples]
        if isinstance(first, np.ndarray) and len(first) == len(examples[0].ids):
            labels[name] = torch.from_numpy(padded([np.asarray(value) for value in values], IGNORE)[0])
        else:
            labels[name] = torch.from_numpy(np.stack([np.asarray(value) for value in values]))
    return Batch(
        index=torch.tensor([example.index for example in examples], dtype=torch.int64),
        source=Tokens(torch.from_numpy(ids), torch.from_numpy(mask), segments),
        target=None,
        labels=labels,
        units={name: _count(values, ids.shape) for name, values in labels.items()},
    )


def collate_next(examples: Sequence[Sequenced], pad: int, start: int) -> Batch:
    """For a decoder alone: it reads START and all but the last token, and should say all tokens.

    An example's label ``"tokens"`` says what is to be learnt; without one, everything is.
    """
    ids, mask = padded([example.ids for example in examples], pad)
    wanted = [np.asarray(example.labels.get("tokens", example.ids)) for example in examples]
    labels = torch.from_numpy(padded(wanted, IGNORE)[0])
    read = np.full_like(ids, pad)
    read[:, 1:] = ids[:, :-1]
    read[:, 0] = start
    read[~mask] = pad
    return Batch(
        index=torch.tensor([example.index for example in examples], dtype=torch.int64),
        source=None,
        target=Tokens(torch.from_numpy(read), torch.from_numpy(mask)),
        labels={"tokens": labels},
        units={"tokens": int((labels != IGNORE).sum())},
    )


def padded(sequences: Sequence[np.ndarray], filling: int) -> tuple[np.ndarray, np.ndarray]:
    """(N, longest) int64, and True where there is something."""
    lengths = np.array([len(sequence) for sequence in sequences], dtype=np.int64)
    real = np.arange(lengths.max(initial=1)) < lengths[:, None]
    ids = np.full(real.shape, filling, dtype=np.int64)
    if len(sequences):
        ids[real] = np.concatenate(sequences)
    return ids, real


def _count(labels: Tensor, shape: tuple[int, ...]) -> int:
    if labels.is_floating_point() or (labels.dim() == 2 and tuple(labels.shape) != shape):
        return len(labels)
    return int((labels != IGNORE).sum())
