"""Several tasks learnt by one model at once, each as often as its weight says.

An update is planned over the examples of all tasks together, by length, so its batches hold rows of several tasks. That
is right in two cases, and a mixture is one of them:

- **text to text**: every example is a source and a target, as in T5 (Raffel et al. 2020, section 3.5.2). What is to be
  done is said by a prefix of the source (:mod:`henkan.data.prefixed`) or can be seen in it (sentinels). One objective.
- **one encoder, several heads**: masked words and classes, say (Liu et al. 2019, MT-DNN). Every row goes through every
  head, and has IGNORE where a task is not its own; the objectives are added up, each divided by its own units.

Weights are kept by repetition, not by chance: an epoch has every example at least once, and those of tasks that are
small for their weight several times, each time with noise of its own. So the plan knows every length beforehand, and a
resumed run goes on exactly.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from henkan.data.example import Example
from henkan.data.plan import Lengths, Shards
from henkan.data.sequences import Sequenced
from henkan.objectives.base import Objective
from henkan.objectives.labels import Together
from henkan.tasks.base import Task
from henkan.tensors import IGNORE, Batch


def tempered(sizes: Sequence[int], temperature: float) -> list[float]:
    """Weights between the tasks' sizes (temperature 1) and equal ones (infinity): size^(1 / temperature)."""
    return [size ** (1.0 / temperature) for size in sizes]


class Mixture:
    """Tasks by name, as one; see :class:`henkan.tasks.base.Task`. The validation split is not weighted.

    Args:
        tasks: their examples are all pairs, or all sequences. Tasks with the same heads share the first one's objective
            and its way of making batches: two classifications of unlike classes need two models.
        weights: how many training examples of each task there are, in proportion.

    Raises:
        ValueError: no tasks, weights that are not positive, or examples that cannot be in one batch.
    """

    def __init__(self, tasks: Mapping[str, Task], weights: Sequence[float]) -> None:
        if not tasks or len(weights) != len(tasks) or min(weights) <= 0:
            raise ValueError(f"weights {list(weights)} of {len(tasks)} tasks: expected a positive number for each")
        self.tasks = dict(tasks)
        self._list = list(tasks.values())
        self._names = list(tasks)
        self._blank = self._labels_of_all()
        self.objective = self._joined_objective()
        self._splits = {
            "train": _Epoch([task.lengths("train") for task in self._list], weights),
            "valid": _Epoch([task.lengths("valid") for task in self._list], None),
        }

    def lengths(self, split: str) -> Shards:
        """Of the tasks' examples as often as they come, one task after another."""
        return self._splits[split]

    def counts(self, split: str) -> dict[str, int]:
        """How many examples of each task an epoch has."""
        return dict(zip(self._names, self._splits[split].counts(), strict=True))

    def example(self, split: str, index: int, rng: np.random.Generator) -> Any:
        """An example of one of the tasks, by its place in the mixture; a repeated one has other noise."""
        number, place = self._splits[split].find(index)
        found = replace(self._list[number].example(split, place, rng), index=index)
        if not self._blank:
            return found
        blank = {name: _blank_like(found, is_row) for name, is_row in self._blank.items() if name not in found.labels}
        return replace(found, labels={**found.labels, **blank})

    def place(self, split: str, index: int) -> str:
        """The task's name and what it says."""
        number, place = self._splits[split].find(index)
        return f"{self._names[number]}, {self._list[number].place(split, place)}"

    def collate(self, examples: list[Any]) -> Batch:
        """As any of the tasks does it."""
        return self._list[0].collate(examples)

    def evaluate(self, model: Any, split: str) -> dict[str, float]:
        """The scores of each task by ``NAME.SCORE``."""
        return {
            f"{name}.{score}": value
            for name, task in self.tasks.items()
            for score, value in task.evaluate(model, split).items()
        }

    def _labels_of_all(self) -> dict[str, bool]:
        """Of sequences: the names of all labels, and whether each is a label for the row; of pairs: nothing."""
        firsts = {name: task.example("train", 0, np.random.default_rng(0)) for name, task in self.tasks.items()}
        kinds = {type(example) for example in firsts.values()}
        if kinds == {Example}:
            return {}
        if kinds != {Sequenced}:
            raise ValueError(
                f"tasks {', '.join(firsts)}: examples are {', '.join(sorted(kind.__name__ for kind in kinds))}; "
                "a mixture is of pairs alone or of sequences alone"
            )
        found: dict[str, bool] = {}
        for task, example in firsts.items():
            for name, label in example.labels.items():
                is_row = isinstance(label, int | np.integer)
                if not is_row and np.shape(label) != np.shape(example.ids):
                    raise ValueError(f"task {task}: label {name!r} cannot be left out of a row; train it alone")
                if found.setdefault(name, is_row) != is_row:
                    raise ValueError(f"task {task}: label {name!r} is of rows in one task and of tokens in another")
        return found

    def _joined_objective(self) -> Objective:
        """That of the tasks where they have one, or all of them together."""
        sums: dict[tuple[str, ...], Objective] = {}
        for task in self._list:
            sums.setdefault(tuple(task.objective.weights(0)), task.objective)
        objectives = list(sums.values())
        return objectives[0] if len(objectives) == 1 else Together(objectives, [1.0] * len(objectives))


def _blank_like(example: Sequenced, is_row: bool) -> int | np.ndarray:
    return IGNORE if is_row else np.full(len(example.ids), IGNORE, dtype=np.int64)


class _Epoch:
    """The shards of all tasks, whole ones as often as they come, then parts of them.

    Args:
        weights: None: each once.
    """

    def __init__(self, tasks: Sequence[Shards], weights: Sequence[float] | None) -> None:
        self._tasks = tasks
        sizes = [[len(shards[number]) for number in range(len(shards))] for shards in tasks]
        totals = [sum(each) for each in sizes]
        if min(totals) < 1:
            raise ValueError(f"the tasks have {totals} examples: expected at least one of each")
        self._firsts = [np.cumsum([0, *each]).tolist() for each in sizes]
        wanted = totals
        if weights is not None:  # as few as let every example of every task come at least once
            scale = max(total / weight for total, weight in zip(totals, weights, strict=True))
            wanted = [max(total, round(scale * weight)) for total, weight in zip(totals, weights, strict=True)]
        self._parts: list[tuple[int, int, int, int]] = []  # task, shard, how many of its examples, of how many
        for task, (total, examples) in enumerate(zip(totals, wanted, strict=True)):
            times, rest = divmod(examples, total)
            self._parts += times * [(task, shard, size, size) for shard, size in enumerate(sizes[task])]
            ends = np.cumsum([0, *sizes[task]]) * rest // total
            kept = np.diff(ends).tolist()
            self._parts += [(task, shard, some, sizes[task][shard]) for shard, some in enumerate(kept) if some]
        self._starts = np.cumsum([0, *(some for _, _, some, _ in self._parts)]).tolist()

    def __len__(self) -> int:
        return len(self._parts)

    def __getitem__(self, number: int, /) -> Lengths:
        task, shard, some, size = self._parts[number]
        lengths = self._tasks[task][shard]
        if some == size:
            return lengths
        chosen = np.arange(some) * size // some
        return Lengths(lengths.source[chosen], lengths.target[chosen])

    def counts(self) -> list[int]:
        """Examples of each task."""
        numbers = range(len(self._tasks))
        return [sum(some for task, _, some, _ in self._parts if task == number) for number in numbers]

    def find(self, index: int) -> tuple[int, int]:
        """The task, by its number, and the place in it of an example of the mixture."""
        if not 0 <= index < self._starts[-1]:
            raise IndexError(f"example {index} of a mixture of {self._starts[-1]}")
        number = bisect_right(self._starts, index) - 1
        task, shard, some, size = self._parts[number]
        return task, self._firsts[task][shard] + (index - self._starts[number]) * size // some
