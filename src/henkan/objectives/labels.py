"""What is right about a whole sequence, a span of it, or each of its tokens, rather than which token comes next.

Each objective reads one head of the output and the labels of that name. :class:`Together` adds several.

    head        output         labels
    "class"     (N, C)         (N,) int64       which class; "next": whether a sentence follows
    "choice"    (N * K,)       (N,) int64       which of the K rows of each question
    "values"    (N, 1)         (N,) float       a number
    "span"      (N, S, 2)      (N, 2) int64     first and last position
    "labels"    (N, S, C)      (N, S) int64     a class for each token
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from henkan.objectives.base import Objective
from henkan.tensors import IGNORE, Batch, Output, Tokens


class _OneHead(Objective):
    """A sum over one head."""

    def __init__(self, head: str) -> None:
        super().__init__()
        self.head = head

    def weights(self, step: int) -> dict[str, float]:
        """One term."""
        return {self.head: 1.0}

    def units(self, batch: Batch) -> dict[str, int]:
        """Labels that count."""
        return {self.head: batch.units[self.head]}

    def update(self, sums: Mapping[str, Tensor], units: Mapping[str, int]) -> None:
        """Nothing to remember."""

    def forward(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """The sum over the batch."""
        found = output.heads[self.head]
        assert isinstance(found, Tensor)
        return {self.head: self._sum(found.to(torch.promote_types(found.dtype, torch.float32)), batch)}

    @abstractmethod
    def _sum(self, found: Tensor, batch: Batch) -> Tensor:
        """Of one head's output, at least float32."""


class ClassCrossEntropy(_OneHead):
    """-log p of the right class, of each example or of each token; labels that are IGNORE are in no sum."""

    def _sum(self, found: Tensor, batch: Batch) -> Tensor:
        labels = batch.labels[self.head]
        return functional.cross_entropy(found.flatten(0, -2), labels.flatten(), ignore_index=IGNORE, reduction="sum")


class ChoiceCrossEntropy(_OneHead):
    """-log p of the right choice, where each question has as many consecutive rows with one number each."""

    def _sum(self, found: Tensor, batch: Batch) -> Tensor:
        labels = batch.labels[self.head]
        return functional.cross_entropy(found.reshape(len(labels), -1), labels, reduction="sum")


class SquaredError(_OneHead):
    """(given - right)^2."""

    def _sum(self, found: Tensor, batch: Batch) -> Tensor:
        return (found[:, 0] - batch.labels[self.head].to(found.dtype)).square().sum()


class SpanLikelihood(_OneHead):
    """Mean of -log p(first) and -log p(last position), over real positions (Devlin et al. 2019, section 4.2)."""

    def _sum(self, found: Tensor, batch: Batch) -> Tensor:
        assert isinstance(batch.source, Tokens)
        found = found.masked_fill(~batch.source.mask[..., None], -1e9)
        labels = batch.labels[self.head]
        return functional.cross_entropy(found.transpose(1, 2).flatten(0, 1), labels.flatten(), reduction="sum") / 2


class Together(Objective):
    """Several objectives at once, each with its weight: masked words and next sentences, say.

    Args:
        parts: objectives with different sums.
        weights: how much each counts.
    """

    def __init__(self, parts: Sequence[Objective], weights: Sequence[float]) -> None:
        super().__init__()
        self.parts = torch.nn.ModuleList(parts)
        self._objectives = tuple(parts)
        self._weights = tuple(weights)
        names = [name for part in parts for name in part.weights(0)]
        if len(parts) != len(weights) or len(set(names)) != len(names):
            raise ValueError(f"{len(parts)} objectives, {len(weights)} weights, sums {names}: expected one name each")

    def weights(self, step: int) -> dict[str, float]:
        """Those of all parts."""
        return {
            name: factor * weight
            for part, factor in zip(self._objectives, self._weights, strict=True)
            for name, weight in part.weights(step).items()
        }

    def units(self, batch: Batch) -> dict[str, int]:
        """Those of all parts."""
        return {name: count for part in self._objectives for name, count in part.units(batch).items()}

    def forward(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """Those of all parts."""
        return {name: value for part in self._objectives for name, value in part(output, batch).items()}

    def update(self, sums: Mapping[str, Tensor], units: Mapping[str, int]) -> None:
        """Each hears of its own."""
        for part in self._objectives:
            own = part.weights(0)
            part.update({name: sums[name] for name in own}, {name: units[name] for name in own})
