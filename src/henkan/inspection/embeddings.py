"""Sentences as points of a plane, as in figure 2 of Sutskever et al. (2014)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from henkan.data.readers import read_lines
from henkan.errors import DataError
from henkan.models.encoder_decoder import EncoderDecoder
from henkan.tasks.translator import batches, pad_sources
from henkan.tensors import Memory
from henkan.text.normalise import normalise
from henkan.text.tokenizer import Tokenizer
from henkan.tree import leaves, map_leaves

PARAPHRASES = (
    ("the dog, the boy", "The dog follows the boy ."),
    ("the dog, the boy", "The boy is followed by the dog ."),
    ("the dog, the boy", "It is the boy that the dog follows ."),
    ("the boy, the dog", "The boy follows the dog ."),
    ("the boy, the dog", "The dog is followed by the boy ."),
    ("the boy, the dog", "It is the dog that the boy follows ."),
    ("woman to man", "At the market , a woman hands a man a basket ."),
    ("woman to man", "A man is handed a basket by a woman at the market ."),
    ("woman to man", "A woman hands a basket to a man at the market ."),
    ("man to woman", "At the market , a man hands a woman a basket ."),
    ("man to woman", "A woman is handed a basket by a man at the market ."),
    ("man to woman", "A man hands a basket to a woman at the market ."),
)
"""Who does what to whom, each in three ways, active and passive; what figure 2 of the paper asks, in other words."""


def read_groups(path: Path) -> list[tuple[str, str]]:
    """(group, sentence) of each line of a file ``group<TAB>sentence``.

    Raises:
        DataError: the file cannot be read, a line has not two columns that hold something, or there are fewer than 3.
    """
    rows = []
    for number, line in enumerate(read_lines(path), start=1):
        columns = [column.strip() for column in line.split("\t")]
        if len(columns) != 2 or not all(columns):
            raise DataError(f"line {number} of {path}: expected group<TAB>sentence, got {line[:60]!r}")
        rows.append((columns[0], columns[1]))
    if len(rows) < 3:
        raise DataError(f"{path}: {len(rows)} sentences; a map needs at least 3")
    return rows


def sentence_vectors(
    network: EncoderDecoder, tokenizer: Tokenizer, sentences: Sequence[str], *, reverse_source: bool = False
) -> np.ndarray:
    """What the encoder makes of each sentence, (sentences, width) float64.

    A recurrent encoder: the last state of every layer, all its parts, one behind the other; this is what Sutskever
    et al. call the 8,000 numbers of a sentence. Any other: the mean of the Memory over the sentence's positions.

    Raises:
        DataError: a sentence is empty.
    """
    ids = tokenizer.encode([normalise(sentence) for sentence in sentences])
    if not all(ids):
        raise DataError(f"sentence {ids.index([]) + 1} is empty")
    device = next(network.parameters()).device
    vectors: dict[int, np.ndarray] = {}
    network.eval()
    with torch.inference_mode():
        for places in batches([len(row) for row in ids], 1):
            source = pad_sources([ids[place] for place in places], reverse_source)
            memory = network.encode(map_leaves(lambda tensor: tensor.to(device), source))
            vectors.update(zip(places, pooled(memory), strict=True))
    return np.stack([vectors[place] for place in range(len(ids))])


def pooled(memory: Memory) -> np.ndarray:
    """One vector for each row: last states where there are some, else the mean of what is real."""
    if memory.final is not None:
        states = list(leaves(memory.final))
    else:
        real = memory.mask[..., None].to(memory.states.dtype)
        states = [(memory.states * real).sum(1) / real.sum(1)]
    return torch.cat([state.detach().double() for state in states], 1).cpu().numpy()


@dataclass(frozen=True)
class Plane:
    """The two directions of largest variance."""

    points: np.ndarray  # (N, 2)
    explained: np.ndarray  # (2,) share of the variance along each


def principal_plane(vectors: np.ndarray) -> Plane:
    """Principal components by singular value decomposition.

    The signs, which are free, are chosen so that the same vectors always give the same map: the largest entry of each
    direction is positive. Fewer than two directions leave zeros.
    """
    centred = vectors - vectors.mean(0)
    left, singular, right = np.linalg.svd(centred, full_matrices=False)
    signs = np.sign(right[np.arange(len(right)), np.abs(right).argmax(1)])
    coordinates = left * singular * signs
    padding = max(0, 2 - coordinates.shape[1])
    variances = np.pad(singular**2, (0, padding))
    total = variances.sum()
    explained = variances[:2] / total if total > 0 else np.zeros(2)
    return Plane(np.pad(coordinates, ((0, 0), (0, padding)))[:, :2], explained)


@dataclass(frozen=True)
class Neighbours:
    """Whether groups hold together, in all dimensions rather than on the map."""

    same: float  # share of sentences whose nearest neighbour is of their own group
    chance: float  # the same for a neighbour drawn at random
    ratio: float  # mean distance within groups, divided by that between them; below 1 they hold together


def neighbours(vectors: np.ndarray, groups: Sequence[str]) -> Neighbours | None:
    """Euclidean distances; None unless there are two groups and one of them has two sentences."""
    labels = np.array(groups)
    equal = labels[:, None] == labels[None]
    itself = np.eye(len(labels), dtype=bool)
    within, between = equal & ~itself, ~equal
    if not within.any() or not between.any():
        return None
    distances = np.sqrt(((vectors[:, None] - vectors[None]) ** 2).sum(-1))
    nearest = np.where(itself, np.inf, distances).argmin(1)
    in_company = within.any(1)  # a sentence alone in its group cannot be near to it
    same = equal[np.arange(len(labels)), nearest][in_company].mean()
    chance = (within.sum(1) / (len(labels) - 1))[in_company].mean()
    return Neighbours(float(same), float(chance), float(distances[within].mean() / distances[between].mean()))
