"""The recipe of a model that learns from running text alone."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator
from torch import nn

from henkan.data.documents import Documents, write_documents
from henkan.errors import ConfigError
from henkan.metrics import Score
from henkan.models.decoder_only import DecoderOnlyConfig
from henkan.models.encoder_decoder import EncoderDecoderConfig
from henkan.models.encoder_only import EncoderOnlyConfig
from henkan.models.outline import without_numbers
from henkan.nn.text_heads import ClassHeadConfig, MaskedHeadConfig
from henkan.presets import families
from henkan.recipe import starting
from henkan.recipe.base import Lines, Material, Recipe, Tell
from henkan.settings import Layer, merge
from henkan.tasks.base import Task
from henkan.tasks.continuing import Continuing, Filling, Writing
from henkan.tasks.preparation import Progress
from henkan.tasks.pretraining import Pretraining, text_scores
from henkan.tasks.readings import MaskedReading, ReadingConfig, document_ends, lines_apart
from henkan.tasks.text_preparation import PreparedText, TextConfig, prepare_text
from henkan.text.extension import extended
from henkan.text.tokenizer import SPACE, Tokenizer, TokenizerConfig
from henkan.text.vocabulary import make_vocabulary
from henkan.training.options import TrainingConfig

NetworkConfig = Annotated[EncoderOnlyConfig | DecoderOnlyConfig | EncoderDecoderConfig, Field(discriminator="kind")]

USUAL_BUDGET = "20m"


class PretrainingRecipe(Recipe):
    """Learning from text: hidden words, the next word, lost spans, spoilt sentences."""

    task: Literal["pretraining"] = "pretraining"
    preset: str
    size: families.Size = "mini"
    start: Path | None = None  # a model to go on from, with its vocabulary
    extend: int = Field(0, ge=0, le=100_000)  # tokens that this text may add to that vocabulary
    data: TextConfig
    vocabulary: TokenizerConfig = TokenizerConfig()
    reading: ReadingConfig
    length: int = Field(128, ge=8, le=65536)  # tokens of an example, at most
    model: NetworkConfig
    training: TrainingConfig

    @model_validator(mode="after")
    def _reading_suits_the_model(self) -> Self:
        wanted = {"masked": "encoder_only", "next": "decoder_only"}.get(self.reading.kind, "encoder_decoder")
        if self.model.kind != wanted:
            raise ValueError(
                f"reading {{kind: {self.reading.kind}}} needs model {{kind: {wanted}}}, here it is {self.model.kind}"
            )
        if isinstance(self.model, EncoderOnlyConfig):
            heads = self.model.heads
            if not isinstance(heads.get("tokens"), MaskedHeadConfig):
                raise ValueError("masked reading needs model.heads.tokens of kind 'masked'")
            follows = isinstance(self.reading, MaskedReading) and self.reading.next_sentence
            if follows and not isinstance(heads.get("next"), ClassHeadConfig):
                raise ValueError("reading.next_sentence needs model.heads.next: {kind: class, classes: 2}")
        if self.model.kind == "encoder_decoder" and self.model.tied != "all":
            raise ValueError("source and target are one text, so model.tied must be 'all'")
        return self

    @model_validator(mode="after")
    def _marks_are_there(self) -> Self:
        kind = self.reading.kind
        if self.start is None and kind in ("masked", "denoising") and not self.vocabulary.mask:
            raise ValueError(f"reading {{kind: {kind}}} hides tokens: {self.vocabulary.cure('mask: true')}")
        if self.start is None and kind == "spans" and not self.vocabulary.sentinels:
            raise ValueError(f"reading {{kind: spans}} needs sentinels: {self.vocabulary.cure('sentinels: 100')}")
        return self

    @model_validator(mode="after")
    def _something_is_extended(self) -> Self:
        if self.extend and self.start is None:
            raise ValueError(f"extend {self.extend} adds to the vocabulary of `start`: name a model there")
        if self.extend and self.vocabulary.kind in ("word", "character"):
            raise ValueError(f"extend: start has a vocabulary of kind {self.vocabulary.kind!r}, which has no subwords")
        return self

    @model_validator(mode="after")
    def _pairs_are_read_as_such(self) -> Self:
        pairs = isinstance(self.reading, MaskedReading) and self.reading.translations
        if self.data.pairs is not None and not pairs:
            raise ValueError(
                "data.pairs are masked on both sides: set reading: {kind: masked, translations: true, "
                "next_sentence: false}"
            )
        return self

    def longest(self) -> tuple[str, int]:
        """Where there are two sides, a passage is followed by END."""
        return "length", self.length + (self.model.kind == "encoder_decoder")

    @classmethod
    def settle(cls, given: Sequence[Layer]) -> tuple[list[Layer], str]:
        """The preset, or what the model says that is gone on from."""
        said = merge(given)
        layers: list[Layer] = []
        began = ""
        if said.get("start") is not None:
            place = starting.model_folder(Path(str(said["start"])))
            layers.append(starting.settings(place, ("reading", "length", "vocabulary"), heads=True))
            began = f", going on from {place}"
        name = str(said.get("preset") or merge(layers).get("preset") or "bert")
        family = families.find(name)
        size = str(said.get("size") or merge(layers).get("size") or "mini")
        values: dict[str, Any] = {"preset": name, "size": size, **family.pretraining(size)}
        if (merge(layers).get("model") or {}).get("heads"):  # they are taken as they are
            values["model"] = {**values["model"], "heads": {}}
        values["training"] = {**values["training"], "budget": USUAL_BUDGET}
        bottom = Layer(values, f"preset {name} ({size})")
        return [bottom, *layers, *given], f"preset {name}, size {size}{began}"

    def parameters(self) -> int:
        """With as many tokens as the vocabulary may have."""
        size = self.vocabulary.vocabulary + self.extend
        return sum(parameter.numel() for parameter in self.outline((size, size)).parameters())

    def prepare(self, folder: Path, tell: Tell, progress: Progress) -> TextMaterial:
        """Text to integers."""
        place = None if self.start is None else starting.model_folder(self.start)
        vocabulary = partial(self._vocabulary, place, tell)
        ends, apart = document_ends(self.reading), lines_apart(self.reading)
        return TextMaterial(self, prepare_text(self.data, vocabulary, folder, tell, ends, apart), place, tell)

    def _vocabulary(self, place: Path | None, tell: Tell, lines: Iterable[str]) -> Tokenizer:
        """Learnt from the lines, or that of the model in ``place``, to which the lines may add."""
        if place is None:
            return make_vocabulary(self.vocabulary, lines)
        old = starting.tokenizer(place)
        if not self.extend:
            return old
        new = extended(old, lines, self.extend, self.vocabulary.sample)
        added = [new.readable([token])[0].replace(SPACE, "") for token in range(old.size, new.size)]
        shown = f": {', '.join(added[:5])}{' …' * (len(added) > 5)}" if added else "; none of its pairs is frequent"
        tell(f"vocabulary: {old.size:,} tokens of {place}, and {len(added):,} of this text{shown}")
        return new

    def outline(self, vocabularies: tuple[int, int]) -> nn.Module:
        """Encoder, decoder, or both."""
        with without_numbers():
            return self.build(vocabularies[0])

    def build(self, vocabulary: int) -> nn.Module:
        """The network with fresh weights."""
        if isinstance(self.model, EncoderDecoderConfig):
            return self.model.build(vocabulary, vocabulary)
        return self.model.build(vocabulary)

    def lines(self, network: nn.Module, tokenizers: tuple[Tokenizer, Tokenizer]) -> Lines:
        """Masks of a line are filled; a line is continued; or it is written anew."""
        if isinstance(self.model, EncoderOnlyConfig):
            return Filling(network, tokenizers[0], self.length)
        if isinstance(self.model, DecoderOnlyConfig):
            return Continuing(network, tokenizers[0], self.length)
        return Writing(network, tokenizers[0], self.length)

    def score(self, network: nn.Module, tokenizers: tuple[Tokenizer, Tokenizer], data: Path) -> list[Score]:
        """The loss of a text, as nats for each token and as bits for each character."""
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "text"
            lines = list(self.data.lines(data))
            ends, apart = document_ends(self.reading), lines_apart(self.reading)
            write_documents(folder, lines, tokenizers[0], self.data.line_ends, ends, apart)
            reading = self.reading.build(Documents.open(folder), tokenizers[0], self.length, self.training.seed)
            if not self.data.line_ends:  # otherwise what stands between lines is one space
                lines = [line for each in lines if (line := each.strip())]
            characters = sum(len(line) + 1 for line in lines)
            return text_scores(network, reading, self.reading.objective(), characters)


@dataclass
class TextMaterial(Material):
    """Running text, ready."""

    config: PretrainingRecipe
    prepared: PreparedText
    start: Path | None
    tell: Tell

    @property
    def tokenizers(self) -> tuple[Tokenizer, Tokenizer]:  # type: ignore[override]
        """One, twice."""
        return self.prepared.tokenizer, self.prepared.tokenizer

    def network(self, tell: Tell) -> nn.Module:
        """Fresh, or with the weights that there are."""
        network = self.config.build(self.prepared.tokenizer.size)
        if self.start is not None:
            starting.take_weights(network, self.start, tell, self.prepared.tokenizer)
        return network

    def task(self) -> Task:
        """Readings of both texts."""
        config, seed = self.config, self.config.training.seed
        texts = {"train": self.prepared.train, "valid": self.prepared.valid}
        readings = {
            split: config.reading.build(documents, self.prepared.tokenizer, config.length, seed)
            for split, documents in texts.items()
        }
        for split, reading in readings.items():
            if not len(reading.lengths()):
                raise ConfigError(f"the {split} text gives no example of {config.length} tokens; set a smaller length")
        return Pretraining(readings, config.reading.objective())

    def examples(self) -> list[str]:
        """The first lines of the validation text."""
        documents = self.prepared.valid
        lines = [documents.line(number)[:60].tolist() for number in range(min(8, len(documents.lines) - 1))]
        return self.prepared.tokenizer.decode(lines)

    def origin(self) -> str:
        """The file."""
        return f"{len(self.prepared.train.tokens):,} tokens from {self.config.data.training()}"
