"""What the training loop knows of a task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from henkan.data.example import Example
from henkan.data.packing import PackedShape
from henkan.data.plan import Shards
from henkan.objectives.base import Objective
from henkan.tensors import Batch, Output


class Task(Protocol):
    """Data and their meaning, split by split ("train", "valid")."""

    objective: Objective

    def lengths(self, split: str) -> Shards:
        """Tokens of every example as the model sees them; examples count through the shards."""
        ...

    def example(self, split: str, index: int, rng: np.random.Generator) -> Any:
        """One example; ``rng`` comes from (seed, epoch, index), so noise is the same on any rank."""
        ...

    def place(self, split: str, index: int) -> str:
        """Where an example comes from, for messages."""
        ...

    def collate(self, examples: list[Any]) -> Batch:
        """Examples to one padded batch: pure."""
        ...

    def evaluate(self, model: Any, split: str) -> dict[str, float]:
        """Quick scores of what the model produces, by name; the loop computes the loss itself."""
        ...


@runtime_checkable
class PackingTask(Task, Protocol):
    """A task whose batches may be packed; see :mod:`henkan.data.packing`."""

    def pack(self, examples: list[Example], shape: PackedShape) -> Batch:
        """Examples to one packed batch: pure; asked only for a model that can read it."""
        ...


@runtime_checkable
class AnsweringTask(Task, Protocol):
    """A task whose scores are read off the outputs that its loss is made of: validation runs the network once."""

    def answers(self, output: Output, batch: Batch, split: str) -> list[Any]:
        """What the model says of each example of a batch, in their order, as JSON has it; the batch is on the CPU."""
        ...

    def judge(self, answers: Sequence[Any], split: str) -> dict[str, float]:
        """The scores of :meth:`Task.evaluate`, from the answers to all examples of the split, in their order."""
        ...


@dataclass
class Cut:
    """How many of the texts that were given are longer than what is read of a text.

    Args:
        longest: tokens that are read, marks included: ``length`` of a recipe.
        kept: what of a longer one, before the word "tokens"; nothing: that many from the beginning.
    """

    longest: int
    kept: str = ""
    texts: int = 0
    cut: int = 0

    def count(self, cut: bool) -> None:
        """One more text, which was cut or was not."""
        self.texts += 1
        self.cut += cut

    def sentence(self) -> str | None:
        """What a user should hear; None where nothing was cut."""
        if not self.cut:
            return None
        kept = self.kept or f"{self.longest:,}"
        how_many = f"{self.cut:,} of {self.texts:,} texts were cut to {kept} tokens"
        return f"{how_many}; the model's `length` is {self.longest:,}"


@runtime_checkable
class Cutting(Protocol):
    """What reads texts up to a length: a task, or a trained model over lines."""

    cut: Cut
