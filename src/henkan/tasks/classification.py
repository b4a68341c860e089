"""A text or a pair of texts to a label or a number: sentiment, entailment, similarity.

LabelledText -> START first END [second END] -> class scores or a number -> a label as text
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from henkan.data.labelled import LabelledText
from henkan.data.plan import Lengths, Shards
from henkan.data.sequences import Sequenced, collate_sequences
from henkan.metrics import LABEL_MEASURES, Measurement, measure_f1
from henkan.objectives.base import Objective
from henkan.objectives.labels import ClassCrossEntropy, SquaredError
from henkan.tasks.base import Cut
from henkan.tasks.pretraining import paired
from henkan.tensors import Batch, Output
from henkan.text.tokenizer import Tokenizer

ROWS = 64
"""Texts that are labelled together."""


class Reader:
    """Texts and pairs to what the encoder reads; what is too long loses its end, of a pair the longer text first.

    Args:
        longest: tokens in all, marks included.
    """

    def __init__(self, tokenizer: Tokenizer, longest: int) -> None:
        self.tokenizer = tokenizer
        self.longest = longest
        self.cut = Cut(longest)

    def read(self, texts: Sequence[tuple[str, str | None]]) -> list[tuple[np.ndarray, np.ndarray]]:
        """Ids and segments of each."""
        marks = self.tokenizer.marks
        firsts = self.tokenizer.encode([first for first, _ in texts])
        seconds = iter(self.tokenizer.encode([second for _, second in texts if second is not None]))
        found = []
        for ids, (_, second) in zip(firsts, texts, strict=True):
            other = None if second is None else next(seconds)
            room = self.longest - 2 - (0 if other is None else marks.separators)
            kept, other_kept = _shortened(len(ids), len(other or ()), room)
            self.cut.count(len(ids) + len(other or ()) > room)
            rest = None if other is None else np.array(other[:other_kept], dtype=np.int64)
            found.append(paired(np.array(ids[:kept], dtype=np.int64), rest, marks))
        return found


def _shortened(first: int, second: int, room: int) -> tuple[int, int]:
    """How much of two texts is kept so that they fit; the longer one gives way."""
    over = max(0, first + second - room)
    from_first = min(over, max(0, first - second))
    from_second = min(over - from_first, max(0, second - first))
    over -= from_first + from_second
    return first - from_first - (over + 1) // 2, second - from_second - over // 2


class Labels:
    """The classes in the order of the model's scores, or none where a number is told.

    Args:
        positive: the class that F1 is about.
    """

    def __init__(self, classes: Sequence[str], positive: str = "1") -> None:
        self.classes = tuple(classes)
        self.positive = positive

    @property
    def head(self) -> Literal["class", "values"]:
        """Which head of the model says it."""
        return "class" if self.classes else "values"

    def objective(self) -> Objective:
        """What is to be made small."""
        return ClassCrossEntropy("class") if self.classes else SquaredError("values")

    def encode(self, label: str) -> int | float:
        """As the objective wants it."""
        return self.classes.index(label) if self.classes else float(label)

    def decode(self, scores: Tensor) -> list[str]:
        """(N, C) class scores, or (N, 1) numbers, as text."""
        if self.classes:
            return [self.classes[place] for place in scores.argmax(-1).tolist()]
        return [f"{value:.6g}" for value in scores.flatten().tolist()]

    def measure(self, name: str, given: Sequence[str], right: Sequence[str]) -> Measurement:
        """What an official score counts in answers and the right ones."""
        references = [[label] for label in right]
        if name == "f1":
            return measure_f1(given, references, self.positive)
        return LABEL_MEASURES[name](given, references)


class Classification:
    """Labelled texts with an objective; see :class:`henkan.tasks.base.Task`."""

    def __init__(
        self,
        splits: Mapping[str, Sequence[LabelledText]],
        reader: Reader,
        labels: Labels,
        scores: Sequence[str],
    ) -> None:
        self.splits = splits
        self.labels = labels
        self.scores = scores
        self.objective = labels.objective()
        self._pad = reader.tokenizer.marks.pad
        self._reader = reader
        self._read = {
            split: reader.read([(text.first, text.second) for text in texts]) for split, texts in splits.items()
        }
        self.cut = reader.cut

    def lengths(self, split: str) -> Shards:
        """Marks included."""
        sizes = np.array([len(ids) for ids, _ in self._read[split]], dtype=np.int64)
        return [Lengths(sizes, np.zeros_like(sizes))]

    def example(self, split: str, index: int, rng: np.random.Generator) -> Sequenced:
        """As it is."""
        ids, segments = self._read[split][index]
        label = self.splits[split][index].label
        assert label is not None
        return Sequenced(index, ids, segments, {self.labels.head: self.labels.encode(label)})

    def place(self, split: str, index: int) -> str:
        """Its line."""
        return f"line {self.splits[split][index].line}"

    def collate(self, examples: list[Sequenced]) -> Batch:
        """Padded."""
        return collate_sequences(examples, self._pad)

    def evaluate(self, model: Any, split: str) -> dict[str, float]:
        """The official scores on the whole split."""
        return self.judge(
            self.labels.decode(Labeller(model, self._reader, self.labels).scores_of(self._read[split])), split
        )

    def answers(self, output: Output, batch: Batch, split: str) -> list[str]:
        """The label, or the number, of each text."""
        found = output.heads[self.labels.head]
        assert isinstance(found, Tensor)
        return self.labels.decode(found.float())

    def judge(self, answers: Sequence[str], split: str) -> dict[str, float]:
        """The official scores of labels."""
        right = [text.label or "" for text in self.splits[split]]
        return {name: self.labels.measure(name, answers, right).value() for name in self.scores}


class Labeller:
    """A trained model as a function from texts to labels."""

    def __init__(self, network: nn.Module, reader: Reader, labels: Labels) -> None:
        self.network = network
        self.reader = reader
        self.labels = labels

    def scores(self, texts: Sequence[tuple[str, str | None]]) -> Tensor:
        """(N, C) log-probabilities of the classes, or (N, 1) numbers, in float32, in the order of the texts."""
        return self.scores_of(self.reader.read(texts))

    def scores_of(self, read: Sequence[tuple[np.ndarray, np.ndarray]]) -> Tensor:
        """As :meth:`scores`, of ids and segments; at least one text."""
        order = sorted(range(len(read)), key=lambda place: len(read[place][0]))
        device = next(self.network.parameters()).device
        found: list[Tensor] = []
        with torch.inference_mode():
            for first in range(0, len(order), ROWS):
                rows = [Sequenced(place, *read[place]) for place in order[first : first + ROWS]]
                batch = collate_sequences(rows, self.reader.tokenizer.marks.pad).to(device)
                found.append(self.network(batch).heads[self.labels.head].float().cpu())
        places = torch.tensor(order, dtype=torch.int64)
        scores = torch.cat(found)[places.argsort()]
        return scores.log_softmax(-1) if self.labels.classes else scores

    def predict(self, texts: Sequence[tuple[str, str | None]]) -> list[str]:
        """The label, or the number, of each."""
        return self.labels.decode(self.scores(texts)) if texts else []
