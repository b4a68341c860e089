"""A question and a passage to the stretch of the passage that answers it (Rajpurkar et al. 2016; Devlin et al. 2019).

A passage that does not fit is read in windows that overlap. A window without the answer should point at START, and so
should all windows of a question without one. The answer is the best span of all windows: that with the highest
log-odds against START of its own window. It is given where these are above a threshold, the tau of Devlin et al. 2019
(section 4.3), which is chosen on validation questions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from henkan.data.plan import Lengths, Shards
from henkan.data.questions import Question
from henkan.data.sequences import Sequenced, collate_sequences
from henkan.metrics import MEASURES
from henkan.metrics.answers import best_threshold
from henkan.objectives.base import Objective
from henkan.objectives.labels import SpanLikelihood
from henkan.tasks.pretraining import paired
from henkan.tensors import Batch, Output
from henkan.text.marks import Marks
from henkan.text.tokenizer import Tokenizer

ROWS = 32
"""Windows that are answered together."""

LEAST = -1e9
"""Log-odds of an answer where there is no passage."""

Span = tuple[int, int, float]
"""Positions of its first and last token in a row, and its log-odds against no answer."""

Threshold = float | Literal["tuned"] | None
"""Log-odds above which an answer is given; None: always; "tuned": as is best for the validation questions."""


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """A question and a part of its passage; its arrays are parts of those of all windows, so it is small.

    Attributes:
        question: its place in the split.
        asked: tokens of the question.
        tokens: of the part.
        places: (tokens, 2): where each begins and ends in the whole passage, in characters.
        offset: position of the first of these tokens in the row.
        span: positions of the answer's first and last token in the row; (0, 0), which is START, where it is not wholly
            in this part.
    """

    question: int
    asked: np.ndarray
    tokens: np.ndarray
    places: np.ndarray
    offset: int
    span: tuple[int, int]

    def __len__(self) -> int:
        return self.offset + len(self.tokens) + 1

    def row(self, marks: Marks) -> tuple[np.ndarray, np.ndarray]:
        """START question END part END, and its segments."""
        return paired(self.asked, self.tokens, marks)


@dataclass(frozen=True)
class Answer:
    """What a model says.

    Attributes:
        text: empty for no answer.
        score: log-odds of the best span against no answer, in nats.
        start: place of the first character in the context; None for no answer.
    """

    text: str
    score: float
    start: int | None

    def above(self, threshold: float | None) -> Answer:
        """Itself, or no answer where its odds are not above the threshold."""
        return self if threshold is None or self.score > threshold else Answer("", self.score, None)


class Windows:
    """Questions to windows.

    Args:
        longest: tokens of a window, marks included.
        stride: tokens by which the next window of a passage is further on.
        most_asked: tokens of a question; what is more is cut off.
    """

    def __init__(self, tokenizer: Tokenizer, longest: int, stride: int, most_asked: int) -> None:
        marks = 2 + tokenizer.marks.separators
        if longest < most_asked + stride + marks:
            raise ValueError(f"windows of {longest} tokens have no room for {most_asked} + {stride} and {marks} marks")
        self.tokenizer = tokenizer
        self.longest, self.stride, self.most_asked = longest, stride, most_asked

    def of(self, questions: Sequence[Question]) -> list[Window]:
        """All windows, question after question; a passage is cut into tokens once for all its questions."""
        contexts = list({question.context: None for question in questions})
        cut = dict(zip(contexts, self.tokenizer.encode_with_places(contexts), strict=True))
        asked = self.tokenizer.encode([question.question for question in questions])
        found = []
        for number, (question, ids) in enumerate(zip(questions, asked, strict=True)):
            words = np.array(ids[: self.most_asked], dtype=np.int64)
            tokens, places = cut[question.context]
            answer = tokens_of(places, *question.answers[0]) if question.answers else None
            offset = len(words) + 1 + self.tokenizer.marks.separators
            room = self.longest - offset - 1
            for start in range(0, max(1, len(tokens) - room + self.stride), self.stride):
                end = min(start + room, len(tokens))
                span = (0, 0)
                if answer is not None and start <= answer[0] and answer[1] < end:
                    span = answer[0] - start + offset, answer[1] - start + offset
                found.append(Window(number, words, tokens[start:end], places[start:end], offset, span))
                if end == len(tokens):
                    break
        return found


def tokens_of(places: np.ndarray, text: str, start: int) -> tuple[int, int] | None:
    """The first and last token of a passage that share a character with an answer; None where none does.

    Args:
        places: (tokens, 2) of the passage, as :meth:`Tokenizer.encode_with_places` gives them.
        text: the answer; spaces at its ends do not count, as tokens may leave them out.
        start: its place in the passage, in characters.
    """
    begin = start + len(text) - len(text.lstrip())
    end = begin + len(text.strip())
    first = int(np.searchsorted(places[:, 1], begin, side="right"))
    last = int(np.searchsorted(places[:, 0], end, side="left")) - 1
    return (first, last) if first <= last else None


class QuestionAnswering:
    """Questions with an objective; see :class:`henkan.tasks.base.Task`. An example is a window."""

    def __init__(
        self,
        splits: Mapping[str, Sequence[Question]],
        windows: Windows,
        most: int,
        scores: Sequence[str],
        threshold: Threshold = "tuned",
    ) -> None:
        self.splits = splits
        self.windows = windows
        self.most = most
        self.scores = scores
        self.threshold = threshold
        self.objective: Objective = SpanLikelihood("span")
        self._windows = {split: windows.of(questions) for split, questions in splits.items()}

    def lengths(self, split: str) -> Shards:
        """Of the windows."""
        sizes = np.array([len(window) for window in self._windows[split]], dtype=np.int64)
        return [Lengths(sizes, np.zeros_like(sizes))]

    def example(self, split: str, index: int, rng: np.random.Generator) -> Sequenced:
        """One window; a training question has one answer, of several the first is taken."""
        window = self._windows[split][index]
        ids, segments = window.row(self.windows.tokenizer.marks)
        return Sequenced(index, ids, segments, {"span": np.array(window.span)})

    def place(self, split: str, index: int) -> str:
        """The question's name."""
        return f"question {self.splits[split][self._windows[split][index].question].name}"

    def collate(self, examples: list[Sequenced]) -> Batch:
        """Padded."""
        return collate_sequences(examples, self.windows.tokenizer.marks.pad)

    def evaluate(self, model: Any, split: str) -> dict[str, float]:
        """Scores over all questions of the split, and the ``threshold`` where one is tuned.

        It is tuned where some questions have no answer: on these same questions, for the first score.
        """
        return self.judge(Answerer(model, self.windows, self.most).spans(self._windows[split]), split)

    def answers(self, output: Output, batch: Batch, split: str) -> list[Span]:
        """The best span of each window."""
        found = output.heads["span"]
        assert isinstance(found, Tensor)
        return spans_in(found, [self._windows[split][place] for place in batch.index.tolist()], self.most)

    def judge(self, answers: Sequence[Span], split: str) -> dict[str, float]:
        """Of spans; see :meth:`evaluate`."""
        questions = self.splits[split]
        chosen = best_answers(questions, self._windows[split], answers)
        references = [question.references for question in questions]
        threshold = self.threshold
        if threshold == "tuned":
            answerable = all(question.answers for question in questions)
            threshold = None if answerable else tune(self.scores[0], chosen, references)
        texts = [answer.above(threshold).text for answer in chosen]
        found = {name: MEASURES[name](texts, references).value() for name in self.scores}
        return found if threshold is None or self.threshold != "tuned" else {**found, "threshold": threshold}


def tune(score: str, answers: Sequence[Answer], references: Sequence[Sequence[str]]) -> float:
    """The threshold that is best for a score, by its name."""
    given, nothing = (
        MEASURES[score](texts, references).counts[:, 0]
        for texts in ([answer.text for answer in answers], [""] * len(answers))
    )
    return best_threshold(given, nothing, np.array([answer.score for answer in answers]))


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
        """The best span of all windows of each question, or no answer."""
        return [answer.above(self.threshold) for answer in self.best(questions, self.windows.of(questions))]

    def best(self, questions: Sequence[Question], windows: Sequence[Window]) -> list[Answer]:
        """The best span of each question, whatever its odds; of a passage without tokens, no answer."""
        return best_answers(questions, windows, self.spans(windows))

    def spans(self, windows: Sequence[Window]) -> list[Span]:
        """The best of each window; those of like length are read together."""
        order = sorted(range(len(windows)), key=lambda place: len(windows[place]))
        device = next(self.network.parameters()).device
        marks = self.windows.tokenizer.marks
        found: dict[int, Span] = {}
        for first in range(0, len(order), ROWS):
            places = order[first : first + ROWS]
            chosen = [windows[place] for place in places]
            batch = collate_sequences([Sequenced(0, *window.row(marks)) for window in chosen], marks.pad)
            with torch.inference_mode():
                scores = self.network(batch.to(device)).heads["span"]
                found |= zip(places, spans_in(scores, chosen, self.most), strict=True)
        return [found[place] for place in range(len(windows))]


def best_answers(questions: Sequence[Question], windows: Sequence[Window], spans: Sequence[Span]) -> list[Answer]:
    """The best span of each question, whatever its odds; of a passage without tokens, no answer.

    Args:
        spans: the best of each window; of equal ones the first is taken.
    """
    best: dict[int, tuple[float, Window, int, int]] = {}
    for window, (first, last, odds) in zip(windows, spans, strict=True):
        if len(window.tokens) and (window.question not in best or odds > best[window.question][0]):
            best[window.question] = odds, window, first - window.offset, last - window.offset
    found = []
    for number, question in enumerate(questions):
        if number not in best:
            found.append(Answer("", LEAST, None))
            continue
        odds, window, first, last = best[number]
        start, end = int(window.places[first, 0]), int(window.places[last, 1])
        text = question.context[start:end]
        found.append(Answer(text.strip(), odds, start + len(text) - len(text.lstrip())))
    return found


def spans_in(scores: Tensor, windows: Sequence[Window], most: int) -> list[Span]:
    """The best span of each window by (N, S, 2) scores; see :func:`best_spans`."""
    offsets = torch.tensor([window.offset for window in windows], device=scores.device)
    ends = torch.tensor([len(window) - 1 for window in windows], device=scores.device)
    starts, lasts, odds = best_spans(scores.float(), offsets, ends, most)
    return list(zip(starts.tolist(), lasts.tolist(), odds.tolist(), strict=True))


def best_spans(scores: Tensor, begins: Tensor, ends: Tensor, most: int) -> tuple[Tensor, Tensor, Tensor]:
    """The best span of at most ``most`` tokens of each row, all in one pass.

    Args:
        scores: (N, S, 2), of being the first and the last token; position 0 stands for no answer.
        begins, ends: (N,), position of the first token of the passage, and the one behind its last.

    Returns:
        (N,) each: positions of first and last token, and the span's score less that of no answer; -inf, and no
        positions to speak of, where there is no passage.
    """
    place = torch.arange(scores.shape[1], device=scores.device)
    outside = (place < begins[:, None]) | (place >= ends[:, None])
    first, last = scores.masked_fill(outside[..., None], -float("inf")).unbind(-1)  # (N, S)
    behind = functional.pad(last, (0, most - 1), value=-float("inf")).unfold(1, most, 1)  # (N, S, most)
    highest, further = behind.max(-1)
    best, start = (first + highest).max(1)
    end = start + further.gather(1, start[:, None])[:, 0]
    return start, end, best - scores[:, 0].sum(-1)
