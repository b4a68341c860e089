"""The recipe of an encoder without any head, as it is imported: it gives each text a vector.

Nothing here can be trained; a recipe of another task goes on from such a model by ``start``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NoReturn, Self

from pydantic import Field, model_validator
from torch import nn

from henkan.errors import ConfigError
from henkan.metrics import Score
from henkan.models.encoder_only import EncoderOnlyConfig
from henkan.models.outline import without_numbers
from henkan.presets import families
from henkan.recipe.base import Lines, Material, Recipe, Tell
from henkan.settings import Layer
from henkan.tasks.classification import Reader
from henkan.tasks.preparation import Progress
from henkan.tasks.vectors import TextVectors
from henkan.text.tokenizer import Tokenizer, TokenizerConfig
from henkan.training.options import TrainingConfig


class VectorsRecipe(Recipe):
    """Texts to vectors, by a model that learnt it elsewhere."""

    task: Literal["vectors"] = "vectors"
    preset: str
    size: families.Size = "base"
    vocabulary: TokenizerConfig = TokenizerConfig()
    length: int = Field(512, ge=8, le=65536)  # tokens of a text, marks included; what is more is cut off
    pooling: Literal["mean", "first"] = "mean"  # of what is said of all tokens, or of START alone
    model: EncoderOnlyConfig
    training: TrainingConfig = TrainingConfig(steps=1)  # there is none

    @model_validator(mode="after")
    def _has_no_head(self) -> Self:
        if self.model.heads:
            raise ValueError(f"model.heads.{next(iter(self.model.heads))}: a model that gives vectors has no head")
        return self

    def longest(self) -> tuple[str, int]:
        """Marks are counted in ``length``."""
        return "length", self.length

    @classmethod
    def settle(cls, given: Sequence[Layer]) -> tuple[list[Layer], str]:
        """ConfigError: nothing is learnt here."""
        _refuse()

    def parameters(self) -> int:
        """With as many tokens as the vocabulary has."""
        size = self.vocabulary.vocabulary
        return sum(parameter.numel() for parameter in self.outline((size, size)).parameters())

    def prepare(self, folder: Path, tell: Tell, progress: Progress) -> Material:
        """ConfigError, as :meth:`settle`."""
        _refuse()

    def outline(self, vocabularies: tuple[int, int]) -> nn.Module:
        """The encoder."""
        with without_numbers():
            return self.model.build(vocabularies[0])

    def lines(self, network: nn.Module, tokenizers: tuple[Tokenizer, Tokenizer]) -> Lines:
        """Each line its vector, as numbers with spaces between."""
        return VectorLines(TextVectors(network, Reader(tokenizers[0], self.length), self.pooling))

    def score(self, network: nn.Module, tokenizers: tuple[Tokenizer, Tokenizer], data: Path) -> list[Score]:
        """ConfigError: no file says what a vector should be."""
        raise ConfigError(
            "task vectors: there is no right vector to compare with; to score how alike texts are, fine-tune on pairs "
            "with a number, {task: classification, start: FOLDER, data: {glue: stsb, folder: ...}}"
        )


class VectorLines:
    """Vectors over lines."""

    def __init__(self, vectors: TextVectors) -> None:
        self.vectors = vectors
        self.cut = vectors.reader.cut

    def predict(self, lines: Sequence[str]) -> list[str]:
        """The numbers of each vector."""
        return [" ".join(f"{value:.6f}" for value in row) for row in self.vectors.of(lines).tolist()]

    def scores(self, lines: Sequence[str], outputs: Sequence[str]) -> list[float]:
        """The cosine of each line's vector and that of the line before it, of the first that of the last.

        It moves with every number of both, and what is to be compared does not depend on how outputs are printed.
        """
        vectors = self.vectors.of(lines)
        return (vectors * vectors.roll(1, 0)).sum(-1).tolist()


def _refuse() -> NoReturn:
    raise ConfigError(
        "task vectors: nothing is learnt by it; name another task and go on from the model by start: FOLDER, as in "
        "{task: pretraining, start: FOLDER, data: {text: mine.txt}}"
    )
