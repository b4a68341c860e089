"""The recipe of a model that answers questions by a stretch of a passage."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator
from torch import nn

from henkan.config import Config
from henkan.data.questions import Question, read_questions
from henkan.errors import DataError, InputError
from henkan.folder import write_texts
from henkan.metrics import MEASURES, Score
from henkan.models.encoder_only import EncoderOnlyConfig
from henkan.models.outline import without_numbers
from henkan.nn.text_heads import SpanHeadConfig
from henkan.presets import families
from henkan.recipe import fine_tuning, starting
from henkan.recipe.base import Lines, Recipe, Tell
from henkan.settings import Layer
from henkan.tasks.base import Task
from henkan.tasks.preparation import Progress
from henkan.tasks.question_answering import Answerer, QuestionAnswering, Threshold, Windows, tune
from henkan.text.tokenizer import Tokenizer, TokenizerConfig
from henkan.training.options import TrainingConfig

_WHOLE_FILE = "a file of questions as SQuAD's is answered by --submission FOLDER"


class QuestionsConfig(Config):
    """Questions with passages: the official SQuAD files, or one of their paragraphs a line (.jsonl); plain or .gz."""

    train: Path
    valid: Path | None = None  # None: a part of the training questions, with their passages
    held_out: float = Field(0.1, gt=0.0, lt=0.9)  # share of the passages that validate where nothing else does


class QuestionAnsweringRecipe(Recipe):
    """Questions to answers, from scratch or from a pretrained model."""

    task: Literal["question_answering"] = "question_answering"
    preset: str
    size: families.Size = "mini"
    start: Path | None = None  # a pretrained model, with its vocabulary
    data: QuestionsConfig
    vocabulary: TokenizerConfig = TokenizerConfig()
    length: int = Field(384, ge=16, le=65536)  # tokens of a window, marks included
    stride: int = Field(128, ge=1, le=65536)  # tokens by which the next window of a passage is further on
    longest_question: int = Field(64, ge=1, le=4096)  # in tokens; what is more is cut off
    longest_answer: int = Field(30, ge=1, le=4096)  # in tokens
    threshold: Threshold = "tuned"  # log-odds above which an answer is given; tuned: on validation questions, where
    # some have no answer (SQuAD 2.0), and stored in the model; null: an answer is always given (SQuAD 1.1)
    model: EncoderOnlyConfig
    training: TrainingConfig
    scores: tuple[Literal["answer-exact", "answer-f1"], ...] = ("answer-f1", "answer-exact")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if not isinstance(self.model.heads.get("span"), SpanHeadConfig):
            raise ValueError("set model.heads.span: {kind: span}")
        if self.length < self.longest_question + self.stride + 4:
            raise ValueError(
                f"length {self.length} has no room for longest_question {self.longest_question}, stride {self.stride} "
                "and four marks"
            )
        return self

    def longest(self) -> tuple[str, int]:
        """Marks are counted in ``length``."""
        return "length", self.length

    @classmethod
    def settle(cls, given: Sequence[Layer]) -> tuple[list[Layer], str]:
        """The preset, or the model to start from with another head."""
        layers, chosen = fine_tuning.foundation(given, families.Family.question_answering)
        return [*layers, *given], chosen

    def parameters(self) -> int:
        """With as many tokens as the vocabulary may have."""
        size = self.vocabulary.vocabulary
        return sum(parameter.numel() for parameter in self.outline((size, size)).parameters())

    def prepare(self, folder: Path, tell: Tell, progress: Progress) -> QuestionsMaterial:
        """Questions are read anew each time; the vocabulary is kept."""
        train = list(read_questions(self.data.train))
        if self.data.valid is not None:
            valid = list(read_questions(self.data.valid))
        else:
            train, valid = _parted(train, self.data.held_out, self.data.train)
        if not train or not valid:
            raise DataError(f"{self.data.train}: {len(train)} training and {len(valid)} validation questions")
        place = None if self.start is None else starting.model_folder(self.start)
        texts = [*{question.context for question in train}, *(question.question for question in train)]
        tokenizer = fine_tuning.vocabulary(folder, self.vocabulary, place, sorted(texts))
        tell(f"training questions: {len(train):,}, validation: {len(valid):,}")
        return QuestionsMaterial(self.model, tokenizer, place, tell, self, train, valid)

    def windows(self, tokenizer: Tokenizer) -> Windows:
        """How passages are read."""
        return Windows(tokenizer, self.length, self.stride, self.longest_question)

    def outline(self, vocabularies: tuple[int, int]) -> nn.Module:
        """An encoder with its head."""
        with without_numbers():
            return self.model.build(vocabularies[0])

    def lines(self, network: nn.Module, tokenizers: tuple[Tokenizer, Tokenizer]) -> Lines:
        """Each line a question and its passage with a tab between, or JSON with those keys."""
        return QuestionLines(self._answerer(network, tokenizers))

    def score(self, network: nn.Module, tokenizers: tuple[Tokenizer, Tokenizer], data: Path) -> list[Score]:
        """Of a file of questions, at the model's threshold.

        Where some questions have no answer, also of those with one and those without, and what the best threshold for
        this very file would give: the figures of SQuAD 2.0's script.
        """
        questions = list(read_questions(data))
        if not questions:
            raise DataError(f"{data}: no questions in it")
        answerer = self._answerer(network, tokenizers)
        best = answerer.best(questions, answerer.windows.of(questions))
        references = [asked.references for asked in questions]

        def scores(suffix: str, threshold: float | None, chosen: Sequence[int]) -> list[Score]:
            texts = [best[place].above(threshold).text for place in chosen]
            rights = [references[place] for place in chosen]
            found = [MEASURES[name](texts, rights).score() for name in self.scores]
            return [replace(score, name=f"{score.name}{suffix}") for score in found]

        every = range(len(questions))
        told = scores("", answerer.threshold, every)
        answerable = [place for place in every if questions[place].answers]
        if len(answerable) in (0, len(questions)):
            return told
        rest = sorted(set(every) - set(answerable))
        told += scores(", with an answer", answerer.threshold, answerable)
        told += scores(", without an answer", answerer.threshold, rest)
        for place, name in enumerate(self.scores):
            threshold = tune(name, best, references)
            told.append(scores(f", at its best threshold {threshold:.3f}", threshold, every)[place])
        return told

    def submit(
        self, network: nn.Module, tokenizers: tuple[Tokenizer, Tokenizer], tests: Path, folder: Path
    ) -> list[Path]:
        """Write what SQuAD's script reads; see :class:`henkan.recipe.base.Submitting`.

        predictions.json has the answer of each question by its id, null_odds.json the log-odds of no answer.
        """
        questions = list(read_questions(tests))
        names = {question.name for question in questions}
        if len(names) < len(questions) or "" in names:
            raise DataError(f"{tests}: {len(questions)} questions with {len(names)} ids; answers are told apart by id")
        answers = self._answerer(network, tokenizers).predict(questions)
        said = {asked.name: answer.text for asked, answer in zip(questions, answers, strict=True)}
        odds = {asked.name: -answer.score for asked, answer in zip(questions, answers, strict=True)}
        texts = {folder / "predictions.json": said, folder / "null_odds.json": odds}
        write_texts({path: json.dumps(content, ensure_ascii=False) + "\n" for path, content in texts.items()})
        return list(texts)

    def _answerer(self, network: nn.Module, tokenizers: tuple[Tokenizer, Tokenizer]) -> Answerer:
        threshold = None if self.threshold == "tuned" else self.threshold  # tuned: it is not yet
        return Answerer(network, self.windows(tokenizers[0]), self.longest_answer, threshold)


def _parted(questions: list[Question], share: float, path: Path) -> tuple[list[Question], list[Question]]:
    """Training and validation questions that share no passage."""
    contexts = list({question.context: None for question in questions})
    held = set(np.random.default_rng(0).permutation(len(contexts))[: max(1, round(share * len(contexts)))].tolist())
    chosen = {context for place, context in enumerate(contexts) if place in held}
    if len(contexts) < 2:
        raise DataError(f"{path}: one passage; name a file of validation questions")
    return [q for q in questions if q.context not in chosen], [q for q in questions if q.context in chosen]


@dataclass
class QuestionsMaterial(fine_tuning.EncoderMaterial):
    """Questions, ready."""

    config: QuestionAnsweringRecipe
    train: list[Question]
    valid: list[Question]

    def task(self) -> Task:
        """Both splits."""
        splits = {"train": self.train, "valid": self.valid}
        windows = self.config.windows(self.tokenizer)
        chosen = self.config
        return QuestionAnswering(splits, windows, chosen.longest_answer, chosen.scores, chosen.threshold)

    def tuned(self, scores: Mapping[str, float]) -> QuestionAnsweringRecipe:
        """With the threshold that validation found."""
        if self.config.threshold != "tuned":
            return self.config
        return self.config.model_copy(update={"threshold": scores.get("threshold")})

    def examples(self) -> list[str]:
        """Validation questions."""
        return [
            json.dumps({"question": asked.question, "context": asked.context}, ensure_ascii=False)
            for asked in self.valid[:4]
        ]

    def origin(self) -> str:
        """The file."""
        return f"{len(self.train):,} questions from {self.config.data.train}"


class QuestionLines:
    """An answerer over lines."""

    def __init__(self, answerer: Answerer) -> None:
        self.answerer = answerer

    def predict(self, lines: Sequence[str]) -> list[str]:
        """The answer of each line; empty where there is none."""
        return [answer.text for answer in self.answerer.predict(_questions(lines))]

    def scores(self, lines: Sequence[str], outputs: Sequence[str]) -> list[float]:
        """The log-odds of the best answer against none; outputs do not matter."""
        return [answer.score for answer in self.answerer.predict(_questions(lines))]


def _questions(lines: Sequence[str]) -> list[Question]:
    found = []
    for number, line in enumerate(lines, start=1):
        question, tab, context = line.partition("\t")
        if line.lstrip().startswith("{"):
            try:
                record = json.loads(line)
                question, context, tab = str(record["question"]), str(record["context"]), "\t"
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                raise InputError(
                    f"line {number}: not JSON with the keys question and context ({error!r}); {_WHOLE_FILE}"
                ) from None
        if not tab:
            raise InputError(
                f"line {number}: expected a question and its passage with a tab between, or JSON; {_WHOLE_FILE}"
            )
        found.append(Question(str(number), question, context, ()))
    return found
