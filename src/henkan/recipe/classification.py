"""The recipe of a model that gives a text, or a pair of texts, a label or a number."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator
from torch import nn

from henkan.config import Config, validate
from henkan.data.labelled import Columns, LabelledText, as_number, read_labelled
from henkan.errors import ConfigError, DataError
from henkan.metrics import Score
from henkan.models.encoder_only import EncoderOnlyConfig
from henkan.models.outline import without_numbers
from henkan.presets import families
from henkan.recipe import fine_tuning, starting
from henkan.recipe.base import Lines, Recipe, Tell
from henkan.settings import Layer, merge
from henkan.tasks import glue
from henkan.tasks.base import Task
from henkan.tasks.classification import Classification, Labeller, Labels, Reader
from henkan.tasks.preparation import Progress
from henkan.text.normalise import normalise
from henkan.text.tokenizer import Tokenizer, TokenizerConfig
from henkan.training.options import TrainingConfig

LabelScore = Literal["accuracy", "f1", "matthews", "pearson", "spearman"]

MOST_CLASSES = 1000
"""Different labels in the training data, at most; more are numbers, or a mistake."""


class LabelledConfig(Config):
    """Labelled texts: tables or JSON Lines, plain or .gz; or a task of GLUE by name, from the folder it lies in."""

    glue: str | None = None  # its name; then `folder` stands for train and valid
    folder: Path | None = None  # all of GLUE or one of its folders, or NAME.train.tsv.gz and NAME.dev.tsv.gz in one
    train: Path | None = None
    valid: Path | None = None  # None: a part of the training data
    held_out: float = Field(0.1, gt=0.0, lt=0.9)  # share of the training data that validates where nothing else does
    columns: Columns = Columns()

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.glue is None) != (self.folder is None) or (self.glue is None) == (self.train is None):
            raise ValueError("give `train` (and `valid`), or `glue` with the `folder` that the task's files are in")
        return self

    def files(self) -> tuple[Path, Path | None, Columns]:
        """Training and validation file, and where label and texts are in them.

        Raises:
            ConfigError: there is no such GLUE task.
            DataError: its folder has not its files.
        """
        if self.glue is None or self.folder is None:
            assert self.train is not None
            return self.train, self.valid, self.columns
        task = glue.find(self.glue)
        train, valid = glue.training_files(task, self.folder)
        return train, next(iter(valid), None), glue.labelled_columns(task, train)


class ClassificationRecipe(Recipe):
    """Texts to labels or numbers, from scratch or from a pretrained model."""

    task: Literal["classification"] = "classification"
    preset: str
    size: families.Size = "mini"
    start: Path | None = None  # a pretrained model, with its vocabulary
    data: LabelledConfig
    labels: tuple[str, ...] = ()  # the classes, in the order of the scores; none: a number is told
    vocabulary: TokenizerConfig = TokenizerConfig()
    length: int = Field(128, ge=8, le=65536)  # tokens of an example, marks included; what is more is cut off
    model: EncoderOnlyConfig
    training: TrainingConfig
    scores: tuple[LabelScore, ...] = ("accuracy",)
    positive: str = "1"  # the label that f1 is about

    @model_validator(mode="after")
    def _head_fits(self) -> Self:
        if self.labels and len(set(self.labels)) != len(self.labels):
            raise ValueError(f"labels {', '.join(self.labels)}: one stands there twice")
        name = "class" if self.labels else "values"
        head = self.model.heads.get(name)
        outputs = {"class": "classes", "value": "size"}.get(head.kind if head else "", "")
        wanted = len(self.labels) or 1
        if head is None or getattr(head, outputs, None) != wanted:
            raise ValueError(f"{wanted} outputs are asked for; set model.heads.{name} to a head with as many")
        numeric = {"pearson", "spearman"}
        if wrong := [score for score in self.scores if (score in numeric) != (not self.labels)]:
            raise ValueError(f"scores: {wrong[0]} is of {'numbers' if self.labels else 'classes'}; choose another")
        if "f1" in self.scores and self.positive not in self.labels:
            said = f"scores: f1 is about one label, and {self.positive!r} is none of {', '.join(self.labels)}"
            raise ValueError(f"{said}; set `positive` to the one that is to be found")
        return self

    def longest(self) -> tuple[str, int]:
        """Marks are counted in ``length``."""
        return "length", self.length

    @classmethod
    def settle(cls, given: Sequence[Layer]) -> tuple[list[Layer], str]:
        """The preset or the model to start from, and labels and scores as the data or GLUE say."""
        layers, chosen = fine_tuning.foundation(given, families.Family.classification)
        found, sentence = _look(merge(given))
        return [*layers, found, *given], f"{chosen}; {sentence}"

    def parameters(self) -> int:
        """With as many tokens as the vocabulary may have."""
        size = self.vocabulary.vocabulary
        return sum(parameter.numel() for parameter in self.outline((size, size)).parameters())

    def prepare(self, folder: Path, tell: Tell, progress: Progress) -> LabelledMaterial:
        """Texts are read anew each time; the vocabulary is kept."""
        file, valid_file, columns = self.data.files()
        left_out: list[int] | None = [] if self.data.glue and glue.find(self.data.glue).incomplete else None
        train = _checked(file, columns, self.labels, left_out)
        if left_out:
            tell(f"{file}: {len(left_out):,} incomplete lines are left out, the first is line {left_out[0]}")
        if valid_file is not None:
            valid = _checked(valid_file, columns, self.labels)
        else:
            train, valid = fine_tuning.held_out(train, self.data.held_out, file)
        place = None if self.start is None else starting.model_folder(self.start)
        texts = (text for example in train for text in (example.first, example.second) if text)
        tokenizer = fine_tuning.vocabulary(folder, self.vocabulary, place, texts)
        tell(f"training texts: {len(train):,}, validation: {len(valid):,}")
        return LabelledMaterial(self.model, tokenizer, place, tell, self, train, valid)

    def outline(self, vocabularies: tuple[int, int]) -> nn.Module:
        """An encoder with its head."""
        with without_numbers():
            return self.model.build(vocabularies[0])

    def lines(self, network: nn.Module, tokenizers: tuple[Tokenizer, Tokenizer]) -> Lines:
        """Each line a text, or two with a tab between."""
        return LabelledLines(self._labeller(network, tokenizers))

    def score(self, network: nn.Module, tokenizers: tuple[Tokenizer, Tokenizer], data: Path) -> list[Score]:
        """Of a labelled file with the columns of the training data; of GLUE also of all validation files in a folder.

        Scores of a further file of those carry its name: MNLI's dev_mismatched.tsv.
        """
        files = [data] if self.data.glue is None or not data.is_dir() else self._validation_files(data)
        labeller = self._labeller(network, tokenizers)
        found: list[Score] = []
        for number, file in enumerate(files):
            texts = _checked(file, self._columns(file), self.labels)
            given = labeller.predict([(text.first, text.second) for text in texts])
            right = [text.label or "" for text in texts]
            scores = [labeller.labels.measure(name, given, right).score() for name in self.scores]
            found += [replace(score, name=f"{score.name}, {file.name}") if number else score for score in scores]
        return found

    def submit(
        self, network: nn.Module, tokenizers: tuple[Tokenizer, Tokenizer], tests: Path, folder: Path
    ) -> list[Path]:
        """Write what the organisers of GLUE score; see :class:`henkan.recipe.base.Submitting`."""
        if self.data.glue is None:
            raise ConfigError("a submission is of one of GLUE's tasks; this model was trained on other data")
        task = glue.find(self.data.glue)
        labeller = self._labeller(network, tokenizers)
        written = []
        for file, name in glue.unlabelled_files(task, tests):
            texts = [
                (normalise(text.first), None if text.second is None else normalise(text.second))
                for text in read_labelled(file, task.test)
            ]
            glue.write_submission(folder / name, task, labeller.predict(texts))
            written.append(folder / name)
        return written

    def _labeller(self, network: nn.Module, tokenizers: tuple[Tokenizer, Tokenizer]) -> Labeller:
        return Labeller(network, Reader(tokenizers[0], self.length), Labels(self.labels, self.positive))

    def _validation_files(self, folder: Path) -> Sequence[Path]:
        assert self.data.glue is not None
        _, files = glue.training_files(glue.find(self.data.glue), folder)
        if not files:
            raise DataError(f"{folder}: has no validation file of GLUE's {self.data.glue}; name a file with labels")
        return files

    def _columns(self, data: Path) -> Columns:
        """As in the training data."""
        if self.data.glue is None:
            return self.data.columns
        return glue.labelled_columns(glue.find(self.data.glue), data)


def _checked(
    path: Path, columns: Columns, labels: Sequence[str], left_out: list[int] | None = None
) -> list[LabelledText]:
    """All examples of a file; DataError for a label that is none of the classes, or no number, and for none at all."""
    found = []
    for raw in read_labelled(path, columns, left_out):
        second = None if raw.second is None else normalise(raw.second)
        example = LabelledText(normalise(raw.first), second, raw.label, raw.line)
        if not labels:
            as_number(example, path)
        elif example.label not in labels:
            raise DataError(f"line {raw.line} of {path}: label {raw.label!r} is none of {', '.join(labels)}")
        found.append(example)
    if not found:
        raise DataError(f"{path}: no labelled texts in it")
    return found


def _look(said: Mapping[str, Any]) -> tuple[Layer, str]:
    """Labels, their head and scores, as GLUE or the labels of the training data say."""
    given = {name: said[name] for name in ("labels", "scores") if isinstance(said.get(name), list | tuple)}
    data = validate(LabelledConfig, [Layer(dict(said.get("data") or {}), "data")])
    scores: Sequence[str] = ()
    if data.glue is not None:
        task = glue.find(data.glue)
        labels, scores, origin = list(task.classes), task.scores, f"GLUE's {task.name}"
    elif "labels" in given:
        labels, origin = list(given["labels"]), "labels"
    else:
        labels, origin = _labels(data), f"the labels in {data.files()[0]}"
    kind: dict[str, Any]
    if labels:
        kind, head = {"kind": "class", "classes": len(labels)}, "class"
        scores = scores or ("accuracy",)
    else:
        kind, head = {"kind": "value", "size": 1}, "values"
        scores = scores or ("pearson", "spearman")
    scores = given.get("scores", scores)
    values = {
        "labels": labels,
        "scores": list(scores),
        "model": {"heads": {head: kind}},
        "training": {"validate_by": next(iter(scores), "loss")},
    }
    return Layer(values, origin), f"{len(labels)} classes ({', '.join(labels[:5])})" if labels else "a number"


def _labels(data: LabelledConfig) -> list[str]:
    path, _, columns = data.files()
    labels = sorted({example.label or "" for example in itertools.islice(read_labelled(path, columns), 1_000_000)})
    if len(labels) > MOST_CLASSES:
        raise ConfigError(f"{path}: {len(labels):,} different labels; set `labels: []` if they are numbers")
    if len(labels) < 2:
        raise DataError(f"{path}: one label, {labels[0]!r}, for all examples; expected at least two")
    return labels


@dataclass
class LabelledMaterial(fine_tuning.EncoderMaterial):
    """Labelled texts, ready."""

    config: ClassificationRecipe
    train: list[LabelledText]
    valid: list[LabelledText]

    def task(self) -> Task:
        """Both splits."""
        reader = Reader(self.tokenizer, self.config.length)
        splits = {"train": self.train, "valid": self.valid}
        return Classification(splits, reader, Labels(self.config.labels, self.config.positive), self.config.scores)

    def examples(self) -> list[str]:
        """Validation texts."""
        return [_line(example) for example in self.valid[:8]]

    def origin(self) -> str:
        """The file."""
        return f"{len(self.train):,} labelled texts from {self.config.data.files()[0]}"


def _line(example: LabelledText) -> str:
    return example.first if example.second is None else f"{example.first}\t{example.second}"


class LabelledLines:
    """A labeller over lines."""

    def __init__(self, labeller: Labeller) -> None:
        self.labeller = labeller
        self.cut = labeller.reader.cut

    def predict(self, lines: Sequence[str]) -> list[str]:
        """A label, or a number, for each line."""
        return self.labeller.predict([_texts(line) for line in lines])

    def scores(self, lines: Sequence[str], outputs: Sequence[str]) -> list[float]:
        """The log-probability of each given label, or the number that is told."""
        found = self.labeller.scores([_texts(line) for line in lines])
        classes = self.labeller.labels.classes
        if not classes:
            return found.flatten().tolist()
        return [float(row[classes.index(output)]) for row, output in zip(found, outputs, strict=True)]


def _texts(line: str) -> tuple[str, str | None]:
    first, tab, second = line.partition("\t")
    return normalise(first), normalise(second) if tab else None
