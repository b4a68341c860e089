"""A question and a passage to the stretch of the passage that answers it (Rajpurkar et al. 2016; Devlin et al. 2019).

A passage that does not fit is read in windows that overlap. A window without the answer should point at START, and so
should all windows of a question without one. The answer is the best span of all windows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from henkan.data.plan import Lengths, Shards
from henkan.data.questions import Question
from henkan.data.sequences import Sequenced, collate_sequences
from henkan.metrics import MEASURES
from henkan.objectives.base import Objective
from henkan.objectives.labels import SpanLikelihood
from henkan.tasks.pretraining import paired
from henkan.tensors import Batch
from henkan.text.tokenizer import Tokenizer

ROWS = 32
"""Windows that are answered together."""


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """START question END a part of the context END."""

    question: int  # place in the split
    ids: np.ndarray  # (S,)
    segments: np.ndarray  # (S,)
    places: np.ndarray  # (tokens of the part, 2): where each begins and ends in the context, in characters
    offset: int  # position of the first of them


@dataclass(frozen=True)
class Answer:
    """What a model says.

    Attributes:
        text: empty for no answer.
        score: log-odds of this span against no answer, in nats.
        start: place of the first character in the context; None for no answer.
    """

    text: str
    score: float
    start: int | None


class Windows:
    """Questions to windows.

    Args:
        longest: tokens of a window, marks included.
        stride: tokens by which the next window of a passage is further on.
        most_asked: tokens of a question; what is more is cut off.
    """

    def __init__(self, tokenizer: Tokenizer, longest: int, stride: int, most_asked: int) -> None:
        if longest < most_asked + stride + 3:
            raise ValueError(f"windows of {longest} tokens have no room for {most_asked} + {stride} and three marks")
        self.tokenizer = tokenizer
        self.longest, self.stride, self.most_asked = longest, stride, most_asked

    def of(self, questions: Sequence[Question]) -> list[Window]:
        """All windows, question after question; a passage is cut into tokens once for all its questions."""
        contexts = {question.context: None for question in questions}
        cut = dict(zip(contexts, self.tokenizer.encode_with_places(list(contexts)), strict=True))
        asked = self.tokenizer.encode([question.question for question in questions])
        found = []
        for number, (question, ids) in enumerate(zip(questions, asked, strict=True)):
            words = np.array(ids[: self.most_asked], dtype=np.int64)
            tokens, places = cut[question.context]
            room = self.longest - len(words) - 3
            for start in range(0, max(1, len(tokens) - room + self.stride), self.stride):
                row, segments = paired(words, tokens[start : start + room], self.tokenizer.marks)
                found.append(Window(number, row, segments, places[start : start + room], len(words) + 2))
                if start + room >= len(tokens):
                    break
        return found


def span_of(window: Window, answers: Sequence[tuple[str, int]]) -> tuple[int, int]:
    """Positions of the first and last token of the first answer in the window; (0, 0) where it is not wholly in it."""
    if answers:
        text, start = answers[0]
        starts, ends = window.places.T
        inside = np.flatnonzero((ends > start) & (starts < start + len(text)))
        if len(inside) and starts[inside[0]] <= start and ends[inside[-1]] >= start + len(text):
            return int(inside[0]) + window.offset, int(inside[-1]) + window.offset
    return 0, 0


class QuestionAnswering:
    """Questions with an objective; see :class:`henkan.tasks.base.Task`. An example is a window."""

    def __init__(
        self, splits: Mapping[str, Sequence[Question]], windows: Windows, most: int, scores: Sequence[str]
    ) -> None:
        self.splits = splits
        self.windows = windows
        self.most = most
        self.scores = scores
        self.objective: Objective = SpanLikelihood("span")
        self._windows = {split: windows.of(questions) for split, questions in splits.items()}

    def lengths(self, split: str) -> Shards:
        """Of the windows."""
        sizes = np.array([len(window.ids) for window in self._windows[split]], dtype=np.int64)
        return [Lengths(sizes, np.zeros_like(sizes))]

    def example(self, split: str, index: int, rng: np.random.Generator) -> Sequenced:
        """One window; a training question has one answer, of several the first is taken."""
        window = self._windows[split][index]
        span = span_of(window, self.splits[split][window.question].answers)
        return Sequenced(index, window.ids, window.segments, {"span": np.array(span)})

    def place(self, split: str, index: int) -> str:
        """The question's name."""
        return f"question {self.splits[split][self._windows[split][index].question].name}"

    def collate(self, examples: list[Sequenced]) -> Batch:
        """Padded."""
        return collate_sequences(examples, self.windows.tokenizer.marks.pad)

    def evaluate(self, model: Any, split: str) -> dict[str, float]:
        """Scores over all questions of the split."""
        questions = self.splits[split]
        answers = Answerer(model, self.windows, self.most).predict(questions)
        texts, references = [answer.text for answer in answers], [question.references for question in questions]
        return {name: MEASURES[name](texts, references).value() for name in self.scores}


class Answerer:
    """A trained model as a function from questions to answers.

    Args:
        most: tokens of an answer.
        threshold: an answer is given where its log-odds against none are above this; None: always.
    """

    def __init__(self, network: nn.Module, windows: Windows, most: int, threshold: float | None = None) -> None:
        self.network = network
        self.windows = windows
        self.most = most
        self.threshold = threshold

    def predict(self, questions: Sequence[Question]) -> list[Answer]:
        """The best span of all windows of each question."""
        windows = self.windows.of(questions)
        best: list[Answer] = [Answer("", -float("inf"), None)] * len(questions)
        for window, scores in self._scored(windows):
            first, last, score = best_span(scores, window.offset, len(window.places), self.most)
            if score > best[window.question].score and len(window.places):
                start, end = int(window.places[first, 0]), int(window.places[last, 1])
                text = questions[window.question].context[start:end]
                start += len(text) - len(text.lstrip())
                best[window.question] = Answer(text.strip(), score, start)
        if self.threshold is None:
            return best
        return [found if found.score > self.threshold else Answer("", found.score, None) for found in best]

    def _scored(self, windows: Sequence[Window]) -> list[tuple[Window, Tensor]]:
        """Each window with its (S, 2) scores, float32."""
        order = sorted(range(len(windows)), key=lambda place: len(windows[place].ids))
        device = next(self.network.parameters()).device
        found = []
        with torch.inference_mode():
            for first in range(0, len(order), ROWS):
                chosen = [windows[place] for place in order[first : first + ROWS]]
                rows = [Sequenced(0, window.ids, window.segments) for window in chosen]
                batch = collate_sequences(rows, self.windows.tokenizer.marks.pad).to(device)
                scores = self.network(batch).heads["span"].float().cpu()
                found += list(zip(chosen, scores, strict=True))
        return found


def best_span(scores: Tensor, offset: int, tokens: int, most: int) -> tuple[int, int, float]:
    """First and last token of the best span of at most ``most`` tokens, and its score less that of no answer.

    Args:
        scores: (S, 2) for first and last positions; position 0 stands for no answer.
        offset: position of the first token of the passage.
        tokens: of the passage.
    """
    first, last = scores[offset : offset + tokens].T
    pairs = first[:, None] + last[None]  # (tokens, tokens)
    allowed = torch.ones_like(pairs, dtype=torch.bool).triu().tril(most - 1)
    pairs = pairs.masked_fill(~allowed, -float("inf"))
    place = int(pairs.argmax()) if pairs.numel() else 0
    score = float(pairs.max() - scores[0].sum()) if pairs.numel() else -float("inf")
    return *divmod(place, max(1, tokens)), score
