"""The recipe of a model that gives each word of a sentence a label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator
from torch import nn

from henkan.config import Config, validate
from henkan.data.tagged import TaggedColumns, TaggedWords, read_tagged
from henkan.errors import ConfigError, DataError, InputError
from henkan.metrics import TAG_MEASURES, Score
from henkan.metrics.tagging import tells_entities
from henkan.models.encoder_only import EncoderOnlyConfig
from henkan.models.outline import without_numbers
from henkan.nn.text_heads import LabelHeadConfig
from henkan.presets import families
from henkan.recipe import fine_tuning, starting
from henkan.recipe.base import Lines, Recipe, Tell
from henkan.settings import Layer, merge
from henkan.tasks.base import Task
from henkan.tasks.preparation import Progress
from henkan.tasks.tagging import HEAD, Tagger, Tagging, WordReader
from henkan.text.normalise import normalise
from henkan.text.tokenizer import Tokenizer, TokenizerConfig
from henkan.training.options import TrainingConfig

TagScore = Literal["word-accuracy", "entity-f1"]

MOST_LABELS = 1000
"""Different labels in the training data, at most; more are a mistake."""


class TaggedConfig(Config):
    """Sentences whose words have labels: CoNLL style, or JSON Lines (.jsonl); plain or .gz."""

    train: Path
    valid: Path | None = None  # None: a part of the training sentences
    held_out: float = Field(0.1, gt=0.0, lt=0.9)  # share of the sentences that validate where nothing else does
    columns: TaggedColumns = TaggedColumns()


class TaggingRecipe(Recipe):
    """Words to labels, from scratch or from a pretrained model."""

    task: Literal["tagging"] = "tagging"
    preset: str
    size: families.Size = "mini"
    start: Path | None = None  # a pretrained model, with its vocabulary
    data: TaggedConfig
    labels: tuple[str, ...] = Field(min_length=2)  # in the order of the scores
    vocabulary: TokenizerConfig = TokenizerConfig()
    length: int = Field(128, ge=8, le=65536)  # tokens of an example, marks included; longer sentences are read in parts
    model: EncoderOnlyConfig
    training: TrainingConfig
    scores: tuple[TagScore, ...] = ("word-accuracy",)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if len(set(self.labels)) != len(self.labels):
            raise ValueError(f"labels {', '.join(self.labels)}: one stands there twice")
        head = self.model.heads.get(HEAD)
        if not isinstance(head, LabelHeadConfig) or head.labels != len(self.labels):
            raise ValueError(f"set model.heads.{HEAD}: {{kind: label, labels: {len(self.labels)}}}")
        wrong = [label for label in self.labels if not tells_entities(label)]
        if "entity-f1" in self.scores and wrong:
            raise ValueError(f"scores: entity-f1 needs labels like O, B-PER, I-PER; {wrong[0]!r} is none")
        return self

    def longest(self) -> tuple[str, int]:
        """Marks are counted in ``length``."""
        return "length", self.length

    @classmethod
    def settle(cls, given: Sequence[Layer]) -> tuple[list[Layer], str]:
        """The preset or the model to start from, and labels and scores as the data say."""
        layers, chosen = fine_tuning.foundation(given, families.Family.tagging)
        said = merge(given)
        labels, origin = list(said.get("labels") or ()), "labels"
        if not labels:
            data = validate(TaggedConfig, [Layer(dict(said.get("data") or {}), "data")])
            labels, origin = _labels(data), f"the labels in {data.train}"
        named = all(tells_entities(label) for label in labels)
        scores = list(said.get("scores") or (["entity-f1", "word-accuracy"] if named else ["word-accuracy"]))
        values = {
            "labels": labels,
            "scores": scores,
            "model": {"heads": {HEAD: {"kind": "label", "labels": len(labels)}}},
            "training": {"validate_by": scores[0]},
        }
        sentence = f"{chosen}; {len(labels)} labels ({', '.join(labels[:5])}{', ...' if len(labels) > 5 else ''})"
        return [*layers, Layer(values, origin), *given], sentence

    def parameters(self) -> int:
        """With as many tokens as the vocabulary may have."""
        size = self.vocabulary.vocabulary
        return sum(parameter.numel() for parameter in self.outline((size, size)).parameters())

    def prepare(self, folder: Path, tell: Tell, progress: Progress) -> TaggedMaterial:
        """Sentences are read anew each time; the vocabulary is kept."""
        train = self._checked(self.data.train)
        if self.data.valid is not None:
            valid = self._checked(self.data.valid)
        else:
            train, valid = fine_tuning.held_out(train, self.data.held_out, self.data.train)
        place = None if self.start is None else starting.model_folder(self.start)
        texts = (" ".join(sentence.words) for sentence in train)
        tokenizer = fine_tuning.vocabulary(folder, self.vocabulary, place, texts)
        tell(f"training sentences: {len(train):,}, validation: {len(valid):,}")
        return TaggedMaterial(self.model, tokenizer, place, tell, self, train, valid)

    def outline(self, vocabularies: tuple[int, int]) -> nn.Module:
        """An encoder with its head."""
        with without_numbers():
            return self.model.build(vocabularies[0])

    def lines(self, network: nn.Module, tokenizers: tuple[Tokenizer, Tokenizer]) -> Lines:
        """Each line words with spaces between, answered by as many labels."""
        return TaggedLines(self._tagger(network, tokenizers[0]))

    def score(self, network: nn.Module, tokenizers: tuple[Tokenizer, Tokenizer], data: Path) -> list[Score]:
        """Of sentences as in training."""
        sentences = self._checked(data)
        given = self._tagger(network, tokenizers[0]).predict([sentence.words for sentence in sentences])
        right = [[" ".join(sentence.labels)] for sentence in sentences]
        return [TAG_MEASURES[name]([" ".join(labels) for labels in given], right).score() for name in self.scores]

    def _tagger(self, network: nn.Module, tokenizer: Tokenizer) -> Tagger:
        return Tagger(network, WordReader(tokenizer, self.length), self.labels)

    def _checked(self, path: Path) -> list[TaggedWords]:
        """All sentences of a file, in form C; DataError for a label that is none of the labels, or no sentence."""
        found = []
        for raw in read_tagged(path, self.data.columns):
            if wrong := [label for label in raw.labels if label not in self.labels]:
                raise DataError(
                    f"{path}, sentence on line {raw.line}: label {wrong[0]!r} is none of {', '.join(self.labels)}; "
                    "name all of them under `labels`"
                )
            found.append(TaggedWords(tuple(map(normalise, raw.words)), raw.labels, raw.line))
        if not found:
            raise DataError(f"{path}: no sentence; expected lines of a word and its label")
        return found


def _labels(data: TaggedConfig) -> list[str]:
    found: set[str] = set()
    for sentence in read_tagged(data.train, data.columns):
        found.update(sentence.labels)
        if len(found) > MOST_LABELS:
            raise ConfigError(f"{data.train}: over {MOST_LABELS:,} different labels; is data.columns right?")
    if len(found) < 2:
        raise DataError(f"{data.train}: {len(found)} different labels; expected at least two")
    return sorted(found)


@dataclass
class TaggedMaterial(fine_tuning.EncoderMaterial):
    """Sentences with labels, ready."""

    config: TaggingRecipe
    train: list[TaggedWords] = field(repr=False)
    valid: list[TaggedWords] = field(repr=False)

    def task(self) -> Task:
        """Both splits."""
        splits = {"train": self.train, "valid": self.valid}
        reader = WordReader(self.tokenizer, self.config.length)
        return Tagging(splits, reader, self.config.labels, self.config.scores)

    def examples(self) -> list[str]:
        """Validation sentences."""
        return [" ".join(sentence.words) for sentence in self.valid[:8]]

    def origin(self) -> str:
        """The file."""
        return f"{len(self.train):,} sentences from {self.config.data.train}"


class TaggedLines:
    """A tagger over lines."""

    def __init__(self, tagger: Tagger) -> None:
        self.tagger = tagger

    def predict(self, lines: Sequence[str]) -> list[str]:
        """The labels of the words of each line, with spaces between."""
        return [" ".join(labels) for labels in self.tagger.predict([_words(line) for line in lines])]

    def scores(self, lines: Sequence[str], outputs: Sequence[str]) -> list[float]:
        """The log-probabilities of the given labels, added up; InputError where they are not as many as the words."""
        found = []
        for number, (log_probs, output) in enumerate(
            zip(self.tagger.log_probs([_words(line) for line in lines]), outputs, strict=True), start=1
        ):
            labels = _words(output)
            if len(labels) != len(log_probs):
                raise InputError(f"line {number}: {len(log_probs)} words and {len(labels)} labels; expected as many")
            places = [self.tagger.labels.index(label) for label in labels]
            found.append(sum(float(row[place]) for row, place in zip(log_probs, places, strict=True)))
        return found


def _words(line: str) -> list[str]:
    return [word for word in normalise(line).split(" ") if word]
