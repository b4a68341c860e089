"""The recipe of one model for several tasks, all of them text to text (Raffel et al. 2020)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator
from torch import nn

from henkan.data.readers import read_references
from henkan.decode.beam import BeamOptions
from henkan.errors import ConfigError, DataError
from henkan.metrics import MEASURES, Score
from henkan.models.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from henkan.models.outline import outline
from henkan.objectives import CrossEntropyConfig
from henkan.presets import families
from henkan.recipe import starting
from henkan.recipe.base import Lines, Material, Recipe, Tell
from henkan.recipe.pairs import ScoreName
from henkan.settings import Layer, merge
from henkan.tasks.base import Task
from henkan.tasks.mixture import Mixture, tempered
from henkan.tasks.mixture_preparation import PairsPart, PartConfig, PreparedMixture, TextPart, prepare_mixture
from henkan.tasks.preparation import Progress
from henkan.tasks.pretraining import Pretraining
from henkan.tasks.translation import Translation
from henkan.tasks.translator import Translator, log_probs_of
from henkan.text.tokenizer import Tokenizer, TokenizerConfig
from henkan.text.vocabulary import make_vocabulary
from henkan.training.options import TrainingConfig

USUAL_BUDGET = "20m"


class MixtureRecipe(Recipe):
    """Pairs of several kinds, told apart by their prefixes, and running text of which something is lost."""

    task: Literal["mixture"] = "mixture"
    preset: str
    size: families.Size = "mini"
    start: Path | None = None  # a model to go on from, with its vocabulary
    parts: dict[str, PartConfig] = Field(min_length=1)
    temperature: float = Field(1.0, ge=1.0)  # without weights: a part comes as often as size^(1 / temperature)
    vocabulary: TokenizerConfig = TokenizerConfig()
    length: int = Field(128, ge=8, le=65536)  # tokens of a passage of running text, at most
    model: EncoderDecoderConfig
    objective: CrossEntropyConfig = CrossEntropyConfig()
    training: TrainingConfig
    decoding: BeamOptions = BeamOptions(beam=1)
    scores: tuple[ScoreName, ...] = ("bleu", "chrf")  # of `henkan evaluate`

    @model_validator(mode="after")
    def _parts_are_told_apart(self) -> Self:
        for name in self.parts:
            if not name.replace("-", "").replace("_", "").isalnum():
                raise ValueError(f"parts.{name}: a name has letters, digits, - and _ only")
        pairs = self._pairs()
        prefixes = [part.data.prefix for part in pairs.values()]
        if twice := [name for name, part in pairs.items() if prefixes.count(part.data.prefix) > 1]:
            raise ValueError(
                f"parts {' and '.join(twice)} have the same data.prefix {pairs[twice[0]].data.prefix!r}; the model "
                "cannot see what is to be done, so give each its own"
            )
        return self

    @model_validator(mode="after")
    def _weights_of_all_or_none(self) -> Self:
        without = [name for name, part in self.parts.items() if part.weight is None]
        if without and len(without) < len(self.parts):
            raise ValueError(f"parts.{without[0]}.weight is missing; give one to every part, or to none")
        if not without and self.temperature != 1.0:
            raise ValueError("temperature is for parts without weights; leave one or the other out")
        return self

    @model_validator(mode="after")
    def _marks_are_there(self) -> Self:
        for name, part in self.parts.items():
            if self.start is not None or isinstance(part, PairsPart):
                continue
            if part.reading.kind == "spans" and not self.vocabulary.sentinels:
                raise ValueError(f"parts.{name} hides spans: {self.vocabulary.cure('sentinels: 100')}")
            if part.reading.kind == "denoising" and not self.vocabulary.mask:
                raise ValueError(f"parts.{name} hides tokens: {self.vocabulary.cure('mask: true')}")
        if self.model.tied != "all":
            raise ValueError("sources and targets have one vocabulary, so model.tied must be 'all'")
        return self

    @model_validator(mode="after")
    def _chooser_is_known(self) -> Self:
        known = ["loss", *(f"{part}.{score}" for part in self._pairs() for score in self.scores)]
        if self.training.validate_by not in known:
            raise ValueError(f"training.validate_by {self.training.validate_by!r} is none of {', '.join(known)}")
        return self

    def longest(self) -> tuple[str, int]:
        """Of passages and of both sides of pairs; END follows."""
        found = [("length", self.length + 1)]
        for name, part in self._pairs().items():
            found.append((f"parts.{name}.data.filters.max_length", part.data.filters.max_length + 1))
        return max(found, key=lambda each: each[1])

    @classmethod
    def settle(cls, given: Sequence[Layer]) -> tuple[list[Layer], str]:
        """The preset, or what the model says that is gone on from."""
        said = merge(given)
        layers: list[Layer] = []
        began = ""
        if said.get("start") is not None:
            place = starting.model_folder(Path(str(said["start"])))
            found = starting.settings(place, ("length", "vocabulary"), heads=True)
            if "source" in found.values.get("vocabulary", {}):  # of pairs, which may have two
                found = replace(found, values={**found.values, "vocabulary": found.values["vocabulary"]["source"]})
            layers.append(found)
            began = f", going on from {place}"
        name = str(said.get("preset") or merge(layers).get("preset") or "t5")
        size = str(said.get("size") or merge(layers).get("size") or "mini")
        family = families.find(name)
        if family.model(size)["kind"] != "encoder_decoder" or family.reading is None:
            known = [each.name for each in families.PRESETS if each.reading and _writes(each)]
            raise ConfigError(f"preset {name!r}: a mixture is of text to text; choose one of {', '.join(known)}")
        settings = {key: value for key, value in family.pretraining(size).items() if key != "reading"}
        values: dict[str, Any] = {"preset": name, "size": size, **settings}
        values["training"] = {**values["training"], "budget": USUAL_BUDGET}
        parts = said.get("parts")
        names = ", ".join(parts) if isinstance(parts, dict) else "nothing"
        bottom = Layer(values, f"preset {name} ({size})")
        return [bottom, *layers, *given], f"preset {name}, size {size}{began}; a mixture of {names}"

    def parameters(self) -> int:
        """With as many tokens as the vocabulary may have."""
        size = self.vocabulary.vocabulary
        return sum(parameter.numel() for parameter in self.outline((size, size)).parameters())

    def prepare(self, folder: Path, tell: Tell, progress: Progress) -> MixtureMaterial:
        """All parts to integers."""
        place = None if self.start is None else starting.model_folder(self.start)
        vocabulary = partial(self._vocabulary, place)
        material = MixtureMaterial(self, prepare_mixture(self.parts, vocabulary, folder, tell, progress), place)
        counts = material.task().counts("train")
        tell(f"an epoch: {', '.join(f'{count:,} examples of {name}' for name, count in counts.items())}")
        return material

    def _vocabulary(self, place: Path | None, lines: Iterable[str]) -> Tokenizer:
        return make_vocabulary(self.vocabulary, lines) if place is None else starting.tokenizer(place)

    def outline(self, vocabularies: tuple[int, int]) -> EncoderDecoder:
        """Encoder, decoder and head."""
        return outline(self.model, *vocabularies)

    def lines(self, network: nn.Module, tokenizers: tuple[Tokenizer, Tokenizer]) -> Lines:
        """Each line, which begins with the prefix of what is to be done, its output."""
        assert isinstance(network, EncoderDecoder)
        return MixtureLines(network, Translator.of(network, tokenizers, False, self.decoding))

    def score(self, network: nn.Module, tokenizers: tuple[Tokenizer, Tokenizer], data: Path) -> list[Score]:
        """Of a file of pairs whose sources begin with a prefix; apart for each part that comes in it."""
        rows = read_references(data)
        found = [self._part(source, place, data) for place, (source, _) in enumerate(rows, start=1)]
        outputs = self.lines(network, tokenizers).predict([source for source, _ in rows])
        scores: list[Score] = []
        for name in dict.fromkeys(found):
            chosen = [place for place, part in enumerate(found) if part == name]
            given, right = [outputs[place] for place in chosen], [rows[place][1] for place in chosen]
            measured = [MEASURES[score](given, right).score() for score in self.scores]
            scores += [replace(score, name=f"{name}: {score.name}") for score in measured]
        return scores

    def _part(self, source: str, place: int, data: Path) -> str:
        """Whose prefix a source has; the longest, where there are several."""
        prefixes = {name: part.data.prefix for name, part in self._pairs().items()}
        fitting = [name for name, prefix in prefixes.items() if source.startswith(prefix)]
        if not fitting:
            known = ", ".join(map(repr, prefixes.values())) or "none: this model learnt no pairs"
            raise DataError(
                f"{data}: source {place} has no prefix that the model knows ({known}); write it before each source"
            )
        return max(fitting, key=lambda name: len(prefixes[name]))

    def _pairs(self) -> dict[str, PairsPart]:
        return {name: part for name, part in self.parts.items() if isinstance(part, PairsPart)}


def _writes(family: families.Family) -> bool:
    return bool(family.model("tiny")["kind"] == "encoder_decoder")


@dataclass
class MixtureMaterial(Material):
    """All parts, ready."""

    config: MixtureRecipe
    prepared: PreparedMixture
    start: Path | None

    @property
    def tokenizers(self) -> tuple[Tokenizer, Tokenizer]:  # type: ignore[override]
        """One, twice."""
        return self.prepared.tokenizer, self.prepared.tokenizer

    def network(self, tell: Tell) -> nn.Module:
        """Fresh, or with the weights that there are."""
        network = self.config.model.build(self.prepared.tokenizer.size, self.prepared.tokenizer.size)
        if self.start is not None:
            starting.take_weights(network, self.start, tell)
        return network

    def task(self) -> Mixture:
        """A task for each part, as one."""
        tasks = {name: self._task(name, part) for name, part in self.config.parts.items()}
        weights = [part.weight for part in self.config.parts.values() if part.weight is not None]
        if not weights:
            shards = [task.lengths("train") for task in tasks.values()]
            sizes = [sum(len(each[number]) for number in range(len(each))) for each in shards]
            weights = tempered(sizes, self.config.temperature)
        return Mixture(tasks, weights)

    def _task(self, name: str, part: PairsPart | TextPart) -> Task:
        config = self.config
        objective = config.objective.build()
        if isinstance(part, PairsPart):
            scores = [score for score in config.scores if config.training.validate_by == f"{name}.{score}"]
            prepared = self.prepared.pairs[name]
            return Translation(prepared, objective, config.decoding, False, scores, part.data.prefix)
        texts = {"train": self.prepared.texts[name].train, "valid": self.prepared.texts[name].valid}
        readings = {
            split: part.reading.build(documents, self.prepared.tokenizer, config.length, config.training.seed)
            for split, documents in texts.items()
        }
        return Pretraining(readings, objective)

    def examples(self) -> list[str]:
        """Sources of the validation pairs, a few of each part, or the first lines of the validation text."""
        parts = self.config.parts
        each = max(1, 8 // len(parts))
        found: list[str] = []
        for name, part in parts.items():
            if isinstance(part, PairsPart):
                found += [part.data.prefix + source for source, _ in self.prepared.pairs[name].valid_pairs[:each]]
            else:
                text = self.prepared.texts[name].valid
                lines = [text.line(number)[:60].tolist() for number in range(min(each, len(text.lines) - 1))]
                found += self.prepared.tokenizer.decode(lines)
        return found

    def origin(self) -> str:
        """The parts."""
        pairs = [f"{len(part.train):,} pairs ({name})" for name, part in self.prepared.pairs.items()]
        texts = [f"{len(part.train.tokens):,} tokens ({name})" for name, part in self.prepared.texts.items()]
        return " and ".join([*pairs, *texts])


@dataclass(frozen=True)
class MixtureLines:
    """A translator over lines with prefixes."""

    network: EncoderDecoder
    translator: Translator

    def predict(self, lines: Sequence[str]) -> list[str]:
        """The best output for each line."""
        return [found[0].text for found in self.translator.predict(lines)]

    def scores(self, lines: Sequence[str], outputs: Sequence[str]) -> list[float]:
        """The log-probability of each output given its line, the end included; forced decoding."""
        return log_probs_of(self.network, self.translator, lines, outputs)
