"""The recipe of a model that chooses one of several answers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator
from torch import nn

from henkan.config import Config
from henkan.data.choices import ChoiceQuestion, parse_choices, read_choices
from henkan.errors import DataError, InputError
from henkan.metrics import LABEL_MEASURES, Score
from henkan.models.encoder_only import EncoderOnlyConfig
from henkan.models.outline import without_numbers
from henkan.nn.text_heads import ChoiceHeadConfig
from henkan.presets import families
from henkan.recipe import fine_tuning, starting
from henkan.recipe.base import Lines, Recipe, Tell
from henkan.settings import Layer
from henkan.tasks.base import Task
from henkan.tasks.classification import Reader
from henkan.tasks.multiple_choice import HEAD, Chooser, MultipleChoice
from henkan.tasks.preparation import Progress
from henkan.text.normalise import normalise
from henkan.text.tokenizer import Tokenizer, TokenizerConfig
from henkan.training.options import TrainingConfig


class ChoicesConfig(Config):
    """Questions with choices, JSON Lines; plain or .gz."""

    train: Path
    valid: Path | None = None  # None: a part of the training questions
    held_out: float = Field(0.1, gt=0.0, lt=0.9)  # share of the questions that validate where nothing else does


class MultipleChoiceRecipe(Recipe):
    """Questions to one of their choices, from scratch or from a pretrained model."""

    task: Literal["multiple_choice"] = "multiple_choice"
    preset: str
    size: families.Size = "mini"
    start: Path | None = None  # a pretrained model, with its vocabulary
    data: ChoicesConfig
    vocabulary: TokenizerConfig = TokenizerConfig()
    length: int = Field(128, ge=8, le=65536)  # tokens of a question with one choice, marks included; more is cut off
    model: EncoderOnlyConfig
    training: TrainingConfig
    scores: tuple[Literal["accuracy"], ...] = ("accuracy",)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if not isinstance(self.model.heads.get(HEAD), ChoiceHeadConfig):
            raise ValueError(f"set model.heads.{HEAD}: {{kind: choice}}")
        return self

    def longest(self) -> tuple[str, int]:
        """Marks are counted in ``length``."""
        return "length", self.length

    @classmethod
    def settle(cls, given: Sequence[Layer]) -> tuple[list[Layer], str]:
        """The preset, or the model to start from with another head."""
        layers, chosen = fine_tuning.foundation(given, families.Family.classification)
        values = {"model": {"heads": {HEAD: {"kind": "choice"}}}, "training": {"validate_by": "accuracy"}}
        return [*layers, Layer(values, "multiple choice"), *given], chosen

    def parameters(self) -> int:
        """With as many tokens as the vocabulary may have."""
        size = self.vocabulary.vocabulary
        return sum(parameter.numel() for parameter in self.outline((size, size)).parameters())

    def prepare(self, folder: Path, tell: Tell, progress: Progress) -> ChoicesMaterial:
        """Questions are read anew each time; the vocabulary is kept."""
        train = _checked(self.data.train, None)
        choices = len(train[0].choices)
        if self.data.valid is not None:
            valid = _checked(self.data.valid, choices)
        else:
            train, valid = fine_tuning.held_out(train, self.data.held_out, self.data.train)
        place = None if self.start is None else starting.model_folder(self.start)
        texts = (text for question in train for text in (question.question, *question.choices))
        tokenizer = fine_tuning.vocabulary(folder, self.vocabulary, place, texts)
        tell(f"training questions: {len(train):,}, validation: {len(valid):,}, {choices} choices each")
        return ChoicesMaterial(self.model, tokenizer, place, tell, self, train, valid)

    def outline(self, vocabularies: tuple[int, int]) -> nn.Module:
        """An encoder with its head."""
        with without_numbers():
            return self.model.build(vocabularies[0])

    def lines(self, network: nn.Module, tokenizers: tuple[Tokenizer, Tokenizer]) -> Lines:
        """Each line a question and its choices with tabs between, or JSON as in training; answered by a choice."""
        return ChoiceLines(Chooser(network, Reader(tokenizers[0], self.length)))

    def score(self, network: nn.Module, tokenizers: tuple[Tokenizer, Tokenizer], data: Path) -> list[Score]:
        """Of questions as in training."""
        questions = _checked(data, None)
        given = Chooser(network, Reader(tokenizers[0], self.length)).predict(questions)
        right = [[str(question.label)] for question in questions]
        return [LABEL_MEASURES[name]([str(place) for place in given], right).score() for name in self.scores]


def _checked(path: Path, choices: int | None) -> list[ChoiceQuestion]:
    """All questions of a file, in form C; DataError if they have not as many choices as the first, or as is said."""
    found = [_normalised(question) for question in read_choices(path)]
    choices = choices or len(found[0].choices)
    if wrong := [question for question in found if len(question.choices) != choices]:
        raise DataError(
            f"line {wrong[0].line} of {path}: {len(wrong[0].choices)} choices where the first training question has "
            f"{choices}; all must have as many"
        )
    return found


def _normalised(question: ChoiceQuestion) -> ChoiceQuestion:
    choices = tuple(map(normalise, question.choices))
    return replace(question, question=normalise(question.question), choices=choices)


@dataclass
class ChoicesMaterial(fine_tuning.EncoderMaterial):
    """Questions with choices, ready."""

    config: MultipleChoiceRecipe
    train: list[ChoiceQuestion] = field(repr=False)
    valid: list[ChoiceQuestion] = field(repr=False)

    def task(self) -> Task:
        """Both splits."""
        splits = {"train": self.train, "valid": self.valid}
        reader = Reader(self.tokenizer, self.config.length)
        return MultipleChoice(splits, reader, len(self.train[0].choices), self.config.scores)

    def examples(self) -> list[str]:
        """Validation questions."""
        return [
            json.dumps({"question": asked.question, "choices": asked.choices}, ensure_ascii=False)
            for asked in self.valid[:4]
        ]

    def origin(self) -> str:
        """The file."""
        return f"{len(self.train):,} questions from {self.config.data.train}"


class ChoiceLines:
    """A chooser over lines."""

    def __init__(self, chooser: Chooser) -> None:
        self.chooser = chooser
        self.cut = chooser.reader.cut

    def predict(self, lines: Sequence[str]) -> list[str]:
        """The text of the likeliest choice of each line."""
        questions = _questions(lines)
        return [
            question.choices[place] for question, place in zip(questions, self.chooser.predict(questions), strict=True)
        ]

    def scores(self, lines: Sequence[str], outputs: Sequence[str]) -> list[float]:
        """The log-probability of each given choice; InputError where it is none."""
        questions = _questions(lines)
        found = []
        for question, scores, output in zip(questions, self.chooser.log_probs(questions), outputs, strict=True):
            if output not in question.choices:
                raise InputError(f"line {question.line}: {output!r} is none of {', '.join(question.choices)}")
            found.append(float(scores[question.choices.index(output)]))
        return found


def _questions(lines: Sequence[str]) -> list[ChoiceQuestion]:
    found = []
    for number, line in enumerate(lines, start=1):
        if line.lstrip().startswith("{"):
            try:
                found.append(_normalised(parse_choices(line, number)))
            except ValueError as error:
                raise InputError(f"line {number}: {error}") from None
            continue
        question, *choices = line.split("\t")
        if len(choices) < 2:
            raise InputError(f"line {number}: expected a question and two or more choices with tabs between, or JSON")
        found.append(_normalised(ChoiceQuestion(question, tuple(choices), None, number)))
    return found
