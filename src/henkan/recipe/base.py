"""What a recipe is, whatever its task: settings that know how to become data, a network and something to learn."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from torch import nn

from henkan.config import Config
from henkan.errors import ConfigError
from henkan.metrics import Score
from henkan.settings import Layer
from henkan.tasks.base import Task
from henkan.tasks.preparation import Progress
from henkan.text.tokenizer import Tokenizer
from henkan.training.options import TrainingConfig

Tell = Callable[[str], None]
"""Hears the few lines that a user should see."""


class Lines(Protocol):
    """A trained model as a function from lines to lines, in order."""

    def predict(self, lines: Sequence[str]) -> list[str]:
        """An output for each line."""
        ...

    def scores(self, lines: Sequence[str], outputs: Sequence[str]) -> list[float]:
        """How likely each output is, in nats, or the number itself: what a self-test compares."""
        ...


class Material(ABC):
    """The data of a recipe, ready to be learnt from."""

    tokenizers: tuple[Tokenizer, Tokenizer]

    @abstractmethod
    def network(self, tell: Tell) -> nn.Module:
        """With fresh weights, or those of the model that is gone on from, which ``tell`` hears of.

        The caller has set the seed.
        """

    @abstractmethod
    def task(self) -> Task:
        """What the training loop learns."""

    @abstractmethod
    def examples(self) -> list[str]:
        """A few inputs as lines, for the model's self-test."""

    @abstractmethod
    def origin(self) -> str:
        """What the model was trained on, to follow "Trained by Henkan on"."""


class Recipe(Config, ABC):
    """Everything about a run."""

    task: str
    preset: str
    size: str
    training: TrainingConfig
    if TYPE_CHECKING:  # a field of every recipe, of a type and at a place of its own
        model: Any

    def check_places(self) -> None:
        """ConfigError if texts may be longer than the model has places. Of a trained model it no longer matters."""
        setting, longest = self.longest()
        limits = {}
        for name in ("encoder", "decoder"):
            positions = getattr(getattr(self.model, name, None), "positions", None)
            limits[f"{name}.positions"] = None if positions is None else positions.room
        for name, head in getattr(self.model, "heads", {}).items():
            limits[f"heads.{name}.decoder"] = getattr(getattr(head, "decoder", None), "limit", None)
        for name, limit in limits.items():
            if limit is not None and longest > limit:
                raise ConfigError(
                    f"{setting} lets texts of {longest} tokens in, marks included, and model.{name} has {limit} "
                    f"places; lower {setting} by {longest - limit}, or take a model with more places"
                )

    @abstractmethod
    def longest(self) -> tuple[str, int]:
        """The setting that says how long texts may be, and how many places such a text takes, marks included."""

    @classmethod
    @abstractmethod
    def settle(cls, given: Sequence[Layer]) -> tuple[list[Layer], str]:
        """All layers of a run's settings, the preset's at the bottom, and a sentence that says what was chosen.

        Raises:
            ConfigError: the preset or what it depends on is wrong.
            DataError: files that the choice depends on cannot be read.
        """

    @abstractmethod
    def parameters(self) -> int:
        """About how many numbers the model has; its vocabularies may turn out smaller."""

    @abstractmethod
    def prepare(self, folder: Path, tell: Tell, progress: Progress) -> Material:
        """Make the data in ``folder``, or open it where it is there already.

        Raises:
            DataError: files that are missing, damaged, or of which nothing is left.
        """

    @abstractmethod
    def outline(self, vocabularies: tuple[int, int]) -> nn.Module:
        """The network for vocabularies of these sizes; without numbers, so that a file can fill it."""

    @abstractmethod
    def lines(self, network: nn.Module, tokenizers: tuple[Tokenizer, Tokenizer]) -> Lines:
        """The trained network as a function of lines."""

    @abstractmethod
    def score(self, network: nn.Module, tokenizers: tuple[Tokenizer, Tokenizer], data: Path) -> list[Score]:
        """How good the network is on a test file of the kind that it was trained on.

        Raises:
            DataError: the file cannot be used.
        """


@runtime_checkable
class Submitting(Protocol):
    """A recipe whose outputs have a form in which somebody else scores them."""

    def submit(
        self, network: nn.Module, tokenizers: tuple[Tokenizer, Tokenizer], tests: Path, folder: Path
    ) -> list[Path]:
        """Write the outputs for the test data at ``tests`` into ``folder``, under the names that are wanted.

        Returns:
            The files.

        Raises:
            ConfigError: this model was trained on something that nobody takes submissions of.
            DataError: the test data is not there, or cannot be used.
        """
        ...


@runtime_checkable
class Tuned(Protocol):
    """The data of a recipe of which a setting is chosen by validation while it trains."""

    def tuned(self, scores: Mapping[str, float]) -> Recipe:
        """The recipe that goes with the best weights, whose validation gave these scores."""
        ...
