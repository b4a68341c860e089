"""A question and several choices to the right one (Radford et al. 2018, section 3.3; Devlin et al. 2019, section 4.4).

Each choice is a row of its own, START question END choice END, to which the model gives one number; the choices of a
question are compared by softmax. A batch of N questions has N * K rows, so all questions have K choices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from henkan.data.choices import ChoiceQuestion
from henkan.data.plan import Lengths, Shards
from henkan.data.sequences import Sequenced, collate_sequences
from henkan.metrics import LABEL_MEASURES
from henkan.objectives.base import Objective
from henkan.objectives.labels import ChoiceCrossEntropy
from henkan.tasks.classification import Reader
from henkan.tensors import Batch, Output

HEAD = "choice"
ROWS = 64
"""Choices that are compared together, whosever they are."""


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """The rows of one question."""

    index: int
    rows: tuple[Sequenced, ...]
    label: int


class MultipleChoice:
    """Questions with an objective; see :class:`henkan.tasks.base.Task`. An example is a question with its K rows."""

    def __init__(
        self, splits: Mapping[str, Sequence[ChoiceQuestion]], reader: Reader, choices: int, scores: Sequence[str]
    ) -> None:
        for split, questions in splits.items():
            if wrong := [question for question in questions if len(question.choices) != choices]:
                raise ValueError(f"{split}, line {wrong[0].line}: {len(wrong[0].choices)} choices; expected {choices}")
        self.splits = splits
        self.scores = scores
        self.objective: Objective = ChoiceCrossEntropy(HEAD)
        self._choices = choices
        self._reader = reader
        self._read = {split: reader.read(_rows(questions)) for split, questions in splits.items()}
        self.cut = reader.cut

    def lengths(self, split: str) -> Shards:
        """K times the longest row: what a question takes of the padded size of a batch, if all are alike."""
        sizes = np.array([len(ids) for ids, _ in self._read[split]], dtype=np.int64).reshape(-1, self._choices)
        padded = self._choices * sizes.max(1)
        return [Lengths(padded, np.zeros_like(padded))]

    def example(self, split: str, index: int, rng: np.random.Generator) -> Compared:
        """As it is."""
        first = index * self._choices
        rows = tuple(Sequenced(index, *row) for row in self._read[split][first : first + self._choices])
        label = self.splits[split][index].label
        assert label is not None
        return Compared(index, rows, label)

    def place(self, split: str, index: int) -> str:
        """Its line."""
        return f"line {self.splits[split][index].line}"

    def collate(self, examples: list[Compared]) -> Batch:
        """Rows of all questions, one question after another; a place, a label and a unit for each question."""
        rows = [row for example in examples for row in example.rows]
        return replace(
            collate_sequences(rows, self._reader.tokenizer.marks.pad),
            index=torch.tensor([example.index for example in examples], dtype=torch.int64),
            labels={HEAD: torch.tensor([example.label for example in examples], dtype=torch.int64)},
            units={HEAD: len(examples)},
        )

    def evaluate(self, model: Any, split: str) -> dict[str, float]:
        """Scores over all questions of the split."""
        return self.judge(Chooser(model, self._reader).predict(self.splits[split]), split)

    def answers(self, output: Output, batch: Batch, split: str) -> list[int]:
        """The place of the likeliest choice of each question."""
        found = output.heads[HEAD]
        assert isinstance(found, Tensor)
        return found.reshape(-1, self._choices).argmax(-1).tolist()

    def judge(self, answers: Sequence[int], split: str) -> dict[str, float]:
        """Of places."""
        given, right = [str(place) for place in answers], [[str(question.label)] for question in self.splits[split]]
        return {name: LABEL_MEASURES[name](given, right).value() for name in self.scores}


class Chooser:
    """A trained model as a function from questions to the places of their choices; they need not be equally many."""

    def __init__(self, network: nn.Module, reader: Reader) -> None:
        self.network = network
        self.reader = reader

    def log_probs(self, questions: Sequence[ChoiceQuestion]) -> list[Tensor]:
        """(K,) log-probabilities of the choices of each question, float32."""
        read = self.reader.read(_rows(questions))
        order = sorted(range(len(read)), key=lambda place: len(read[place][0]))
        device = next(self.network.parameters()).device
        scores = torch.empty(len(read))
        with torch.inference_mode():
            for first in range(0, len(order), ROWS):
                places = order[first : first + ROWS]
                rows = [Sequenced(place, *read[place]) for place in places]
                batch = collate_sequences(rows, self.reader.tokenizer.marks.pad).to(device)
                scores[places] = self.network(batch).heads[HEAD].float().cpu()
        return [found.log_softmax(0) for found in scores.split([len(question.choices) for question in questions])]

    def predict(self, questions: Sequence[ChoiceQuestion]) -> list[int]:
        """The place of the likeliest choice of each."""
        return [int(scores.argmax()) for scores in self.log_probs(questions)] if questions else []


def _rows(questions: Sequence[ChoiceQuestion]) -> list[tuple[str, str | None]]:
    return [(question.question, choice) for question in questions for choice in question.choices]
