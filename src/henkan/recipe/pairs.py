"""RunConfig: the schema of a recipe that turns text into text on one screen, and the layers of its settings.

default < preset (by the amount of data, where its size is auto) < model that `start` names < recipe file < command line
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, get_args

from pydantic import model_validator
from torch import nn

from henkan import presets
from henkan.config import validate
from henkan.data.readers import read_references
from henkan.decode.beam import BeamOptions
from henkan.errors import ConfigError, DataError
from henkan.metrics import MEASURES, Score
from henkan.models.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from henkan.models.outline import outline
from henkan.objectives import CrossEntropyConfig, ObjectiveConfig
from henkan.presets.basis import further
from henkan.recipe import starting
from henkan.recipe.base import Lines, Material, Recipe, Tell
from henkan.settings import Layer, merge, merge_with_owners, parse_overrides, read_layer, report
from henkan.tasks.base import Task
from henkan.tasks.preparation import (
    DataConfig,
    Prepared,
    Progress,
    VocabularyConfig,
    load_tokenizers,
    prepare,
)
from henkan.tasks.survey import USUAL, Facts, survey
from henkan.tasks.translation import Translation
from henkan.tasks.translator import Translator, log_probs_of
from henkan.text.tokenizer import Tokenizer
from henkan.training.options import TrainingConfig

ScoreName = Literal[
    "bleu",
    "chrf",
    "ter",
    "exact-match",
    "phoneme-error-rate",
    "word-error-share",
    "rouge-1",
    "rouge-2",
    "rouge-l",
    "answer-exact",
    "answer-f1",
]

USUAL_BUDGET = "20m"
"""How long to train when nobody said."""


class RunConfig(Recipe):
    """From pairs: translation, pronunciation, summaries, dialogue, code."""

    task: Literal["pairs"] = "pairs"
    preset: str  # an architecture by name; `henkan presets` lists them
    size: Literal["auto", "small", "published", "tiny", "mini", "base"] = "auto"
    start: Path | None = None  # a model to go on from, with its vocabulary: pretrained on text, or on other pairs
    data: DataConfig
    vocabulary: VocabularyConfig = VocabularyConfig()
    model: EncoderDecoderConfig
    objective: ObjectiveConfig = CrossEntropyConfig()
    training: TrainingConfig
    decoding: BeamOptions = BeamOptions()
    scores: tuple[ScoreName, ...] = ("bleu", "chrf")  # of `henkan evaluate`; by length, the first

    @model_validator(mode="after")
    def _one_table_needs_one_vocabulary(self) -> Self:
        if self.model.tied == "all" and not self.vocabulary.joint:
            raise ValueError("model.tied 'all' needs vocabulary.joint: true; or set model.tied: target")
        if self.model.copying and not self.vocabulary.joint:
            raise ValueError("model.copying needs vocabulary.joint: true: a word has one id in source and target")
        return self

    @model_validator(mode="after")
    def _coverage_needs_attention(self) -> Self:
        if self.decoding.coverage and not self.model.decoder.attends:
            raise ValueError(
                f"decoding.coverage {self.decoding.coverage} needs attention, "
                f"which a {self.model.decoder.kind} decoder does not have; set it to 0"
            )
        return self

    @model_validator(mode="after")
    def _objective_finds_its_attention(self) -> Self:
        attention = getattr(self.model.decoder, "attention", None)
        kind, has = self.objective.kind, "none" if attention is None else attention.kind
        if kind == "reinforce" and has != "hard":
            raise ValueError(f"objective 'reinforce' needs model.decoder.attention of kind 'hard', here it is {has!r}")
        if kind == "coverage" and has in ("none", "hard"):
            raise ValueError(
                "objective 'coverage' needs model.decoder.attention of kind 'soft', 'local' or 'coverage', "
                f"here it is {has!r}"
            )
        return self

    @model_validator(mode="after")
    def _masks_last_a_sentence(self) -> Self:
        decoder = self.model.decoder
        if self.training.scheduled_sampling and decoder.kind == "recurrent" and decoder.variational:
            raise ValueError(
                "training.scheduled_sampling reads word by word, and a mask of model.decoder.variational would change "
                "with every word; set one of them to null or false"
            )
        return self

    @model_validator(mode="after")
    def _chooser_is_known(self) -> Self:
        known = ("loss", *get_args(ScoreName))
        if self.training.validate_by not in known:
            raise ValueError(f"training.validate_by {self.training.validate_by!r} is none of {', '.join(known)}")
        return self

    def longest(self) -> tuple[str, int]:
        """A side is followed by END."""
        return "data.filters.max_length", self.data.filters.max_length + 1

    @classmethod
    def settle(cls, given: Sequence[Layer]) -> tuple[list[Layer], str]:
        """The preset by a glance at the pairs; wrong settings are found before any pair is read."""
        draft = validate(cls, with_preset(given, USUAL)[0])
        return with_preset(given, survey(draft.data.training()))

    def parameters(self) -> int:
        """With as many tokens as the vocabularies may have."""
        source = self.vocabulary.source
        network = self.outline((source.vocabulary, (self.vocabulary.target or source).vocabulary))
        return sum(parameter.numel() for parameter in network.parameters())

    def prepare(self, folder: Path, tell: Tell, progress: Progress) -> PairsMaterial:
        """Pairs to integers."""
        if self.start is None:
            return PairsMaterial(self, prepare(self.data, self.vocabulary, folder, tell, progress), None)
        place = starting.model_folder(self.start)
        return PairsMaterial(self, prepare(self.data, load_tokenizers(place), folder, tell, progress), place)

    def outline(self, vocabularies: tuple[int, int]) -> EncoderDecoder:
        """Encoder, decoder and head."""
        return outline(self.model, *vocabularies)

    def lines(self, network: nn.Module, tokenizers: tuple[Tokenizer, Tokenizer]) -> Lines:
        """Each line its greedy output, by the network itself."""
        assert isinstance(network, EncoderDecoder)
        return PairsLines(self, network, tokenizers)

    def score(self, network: nn.Module, tokenizers: tuple[Tokenizer, Tokenizer], data: Path) -> list[Score]:
        """Of a file of pairs; see :mod:`henkan.evaluation` for more."""
        rows = self.references(data)
        outputs = self.lines(network, tokenizers).predict([source for source, _ in rows])
        return [MEASURES[name](outputs, [right for _, right in rows]).score() for name in self.scores]

    def references(self, path: Path) -> list[tuple[str, list[str]]]:
        """Sources of a file of pairs, each with all its targets; by the recipe's fields where the file has such."""
        fields = self.data.fields
        return read_references(path, fields if fields is not None and fields.suits(path) else None)

    def validation_scores(self) -> list[str]:
        """Which scores a validation computes: those of the recipe that are cheap, and the one that chooses."""
        cheap = [name for name in ("bleu", "exact-match") if name in self.scores]
        chooser = self.training.validate_by
        return sorted({*cheap, *([chooser] if chooser != "loss" else [])})


@dataclass
class PairsMaterial(Material):
    """Pairs, ready."""

    config: RunConfig
    prepared: Prepared
    start: Path | None

    @property
    def tokenizers(self) -> tuple[Tokenizer, Tokenizer]:  # type: ignore[override]
        """The source's and the target's."""
        return self.prepared.tokenizers

    def network(self, tell: Tell) -> nn.Module:
        """Fresh, or with the weights of the model that is gone on from."""
        source, target = self.prepared.tokenizers
        network = self.config.model.build(source.size, target.size)
        if self.start is not None:
            starting.take_weights(network, self.start, tell)
        return network

    def task(self) -> Task:
        """Translation, whatever it is called."""
        config = self.config
        data, scores = config.data, config.validation_scores()
        objective = config.objective.build()
        return Translation(self.prepared, objective, config.decoding, data.reverse_source, scores, data.prefix)

    def examples(self) -> list[str]:
        """Sources of the validation pairs."""
        return [pair[0] for pair in self.prepared.valid_pairs[:8]]

    def origin(self) -> str:
        """The files."""
        data = self.config.data
        return f"{self.prepared.report['kept']:,} pairs from {data.pairs or f'{data.source} and {data.target}'}"


@dataclass(frozen=True)
class PairsLines:
    """A translator over lines, greedy, as a self-test wants it: by the weights alone."""

    config: RunConfig
    network: EncoderDecoder
    tokenizers: tuple[Tokenizer, Tokenizer]

    def predict(self, lines: Sequence[str]) -> list[str]:
        """The best output for each line, token by token."""
        return [found[0].text for found in self._translator().predict(lines)]

    def scores(self, lines: Sequence[str], outputs: Sequence[str]) -> list[float]:
        """The log-probability of each output given its line, the end included; forced decoding."""
        return log_probs_of(self.network, self._translator(), lines, outputs)

    def _translator(self) -> Translator:
        greedy, data = self.config.decoding.model_copy(update={"beam": 1, "n_best": 1}), self.config.data
        return Translator.of(self.network, self.tokenizers, data.reverse_source, greedy, data.prefix)


def given_layers(recipe: Path | Mapping[str, Any] | None, overrides: Sequence[str]) -> list[Layer]:
    """What the user said: a recipe file or mapping, and key.path=value words."""
    layers = []
    if isinstance(recipe, Mapping):
        layers.append(Layer(dict(recipe), "settings"))
    elif recipe is not None:
        layers.append(read_layer(Path(recipe)))
    if overrides:
        layers.append(parse_overrides(overrides))
    return layers


def with_preset(given: Sequence[Layer], facts: Facts) -> tuple[list[Layer], str]:
    """The layers of a run, the preset's at the bottom, and a sentence that says what was chosen and why."""
    began = _begun(given)
    said = merge([*began, *given])
    name, wanted = said.get("preset"), said.get("size", "auto")
    chosen = presets.default(facts) if name is None else str(name)
    with _located(given, "preset"):
        preset = presets.find(chosen)
    with _located(given, "size"):
        size = preset.choose(str(wanted), facts)
    why = [] if name else ["no preset was named"]
    why += [] if wanted != "auto" or len(preset.sizes) == 1 else ["size auto"]
    reason = f"; {' and '.join(why)}, and there are {facts.pairs:,} pairs" if why else ""
    sides = f"source as {_units(facts.source.unit)}, target as {_units(facts.target.unit)}"
    values = {"preset": chosen, "size": size, **preset.sizes[size](facts)}
    if began:
        values, reason = further(values), f", going on from {said['start']}{reason}"
    else:
        _follow_vocabulary(values, said)
    values["training"] = {**values["training"], "budget": USUAL_BUDGET}
    layer = Layer(values, f"preset {chosen} ({size})")
    above = [resolved(layer, size) for layer in given]
    return [layer, *began, *above], f"preset {chosen}, size {size}, {sides}{reason}"


def _begun(given: Sequence[Layer]) -> list[Layer]:
    """What the model says that ``start`` names: its network, its vocabularies, and how it read and searched pairs."""
    start = merge(given).get("start")
    if start is None:
        return []
    place = starting.model_folder(Path(str(start)))
    layer = starting.settings(place, ("task", "vocabulary", "data", "objective", "decoding", "scores"), heads=True)
    values = dict(layer.values)
    task, data, network = values.pop("task", "pairs"), values.pop("data", {}), values["model"]
    if network.get("kind", "encoder_decoder") != "encoder_decoder":
        raise ConfigError(f"start {place}: its model is {network['kind']}; pairs need an encoder and a decoder")
    if task == "pairs":
        values["data"] = {name: data[name] for name in ("prefix", "reverse_source") if name in data}
    else:  # it was pretrained, on one text with one vocabulary
        values["vocabulary"] = {"joint": True, "source": values["vocabulary"]}
    return [Layer(values, layer.origin)]


@contextmanager
def _located(given: Sequence[Layer], key: str) -> Iterator[None]:
    """Let an error about a key name the place where it is written."""
    try:
        yield
    except ConfigError as error:
        layer, line = merge_with_owners(given).place((key,))
        place = "settings" if layer is None else layer.file or layer.origin
        raise ConfigError(report(place, [(line, str(error))])) from None


def _follow_vocabulary(values: dict[str, Any], said: Mapping[str, Any]) -> None:
    """Change of a preset's settings what does not go with the joint or separate vocabularies that were asked for."""
    vocabulary = said.get("vocabulary")
    joint = vocabulary.get("joint") if isinstance(vocabulary, dict) else None
    if joint is False and values["model"].get("tied") == "all":
        values["model"] = {**values["model"], "tied": "target"}
    if joint is True:
        values["vocabulary"] = {key: value for key, value in values["vocabulary"].items() if key != "target"}


def resolved(layer: Layer, size: str) -> Layer:
    """A layer that says ``size: auto`` gets what auto became, so that it does not win over that."""
    if layer.values.get("size") != "auto":
        return layer
    return Layer({**layer.values, "size": size}, layer.origin, layer.lines, layer.file)


def _units(unit: str) -> str:
    return {"subword": "subwords", "word": "words", "character": "characters"}[unit]


def look(given: Sequence[Layer]) -> Facts:
    """Facts about the training pairs that the layers name; of a usual corpus where they cannot be read."""
    try:
        return survey(validate(RunConfig, with_preset(given, USUAL)[0]).data.training())
    except DataError:
        return USUAL


def settings_layers(recipe: Path | Mapping[str, Any] | None, overrides: Sequence[str] = ()) -> list[Layer]:
    """Every layer of a recipe's settings, the preset's included; for ``henkan explain``."""
    given = given_layers(recipe, overrides)
    data = merge(given).get("data", {})
    if isinstance(data, dict) and not data.keys() & {"source", "target", "pairs"}:
        given = [Layer({"data": {"pairs": "PAIRS.tsv"}}, "an example: no pairs are named"), *given]
    return with_preset(given, look(given))[0]
