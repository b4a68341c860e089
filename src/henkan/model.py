"""A trained model: loaded from its folder, asked for predictions, checked against its own self-test.

model.safetensors, config.yaml, tokenizer*.json --(load)--> Model --(predict)--> text
"""

from __future__ import annotations

import json
import shlex
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, overload

from torch import Tensor, nn

from henkan import folder as model_folder
from henkan.config import dump, validate
from henkan.decode.beam import BeamOptions
from henkan.decode.reversal import ReversedSource
from henkan.decode.stepper import Ensemble as EnsembleStepper
from henkan.decode.stepper import Stepper
from henkan.errors import ConfigError, FolderError, RunError
from henkan.metrics import Score
from henkan.models.encoder_decoder import EncoderDecoder
from henkan.models.encoder_only import EncoderOnly
from henkan.models.inference import Inference, Precision, product_type
from henkan.models.outline import fill
from henkan.recipe import Recipe, RunConfig, read_recipe
from henkan.settings import Layer, read_layer
from henkan.tasks.classification import Reader
from henkan.tasks.preparation import load_tokenizers, save_tokenizers
from henkan.tasks.translator import Prediction, Translator
from henkan.tasks.vectors import TextVectors
from henkan.tasks.workers import ALONE, Workers
from henkan.text.tokenizer import Tokenizer

TOLERANCE = 1e-3
"""How far a self-test's scores may be off, in nats per output."""


class TextModel(ABC):
    """Text in, text out: one trained model, or several as one."""

    config: RunConfig
    tokenizers: tuple[Tokenizer, Tokenizer]

    @abstractmethod
    def translator(self) -> Translator:
        """The model as a text-to-text function."""

    def predict(self, texts: Sequence[str], *, beam: int | None = None, processes: int = 1) -> list[str]:
        """The best output for each text, in order.

        Args:
            texts: what to predict for.
            beam: None takes the beam the model was made for, 1 is greedy.
            processes: how many copies of this process share the work, on one thread each (Linux); 1: it is done here.
        """
        return [found[0].text for found in self.explain(texts, self.options(beam), workers=Workers(processes))]

    def explain(
        self,
        texts: Sequence[str],
        options: BeamOptions | None = None,
        *,
        align: bool = False,
        workers: Workers = ALONE,
    ) -> list[list[Prediction]]:
        """The ``n_best`` outputs for each text, best first, with scores, pieces and, on request, alignments."""
        return self.translator().predict(texts, options=options, align=align, workers=workers)

    def options(self, beam: int | None = None) -> BeamOptions:
        """How the model searches unless told otherwise, with another beam."""
        return self.config.decoding if beam is None else self.searching({"beam": beam}, "beam")

    def searching(self, changes: Mapping[str, Any], origin: str) -> BeamOptions:
        """How the model searches, with some options changed; ``origin`` says in errors who changed them.

        Raises:
            ConfigError: an option that there is not, or a value it cannot have.
        """
        own = Layer(self.config.decoding.model_dump(mode="json"), "model")
        return validate(BeamOptions, [own, Layer(dict(changes), origin)])


@dataclass(frozen=True)
class Model(TextModel):
    """A trained model with its settings and tokenizers."""

    config: RunConfig
    network: EncoderDecoder
    tokenizers: tuple[Tokenizer, Tokenizer]
    precision: Precision = "auto"
    _inference: Inference = field(default_factory=Inference, init=False, repr=False, compare=False)

    def translator(self) -> Translator:
        """The model as a text-to-text function; its precision is that of products on a processor."""
        return self._translator(self._inference.of(self.network, self.precision))

    def plain_translator(self) -> Translator:
        """The same by the network itself: the specification, in the precision of its weights."""
        return self._translator(self.network)

    def _translator(self, network: EncoderDecoder) -> Translator:
        data = self.config.data
        return Translator.of(network, self.tokenizers, data.reverse_source, self.config.decoding, data.prefix)

    def log_probs(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """The log-probability, in nats, of each target given its source, the end included; forced decoding."""
        lines = self.config.lines(self.network, self.tokenizers)
        return lines.scores([source for source, _ in pairs], [target for _, target in pairs])


@dataclass(frozen=True)
class LineModel:
    """A trained model of another task than pairs: a label, an answer or a continuation for each line."""

    config: Recipe
    network: nn.Module
    tokenizers: tuple[Tokenizer, Tokenizer]

    def predict(self, texts: Sequence[str]) -> list[str]:
        """What the model says of each line; what a line holds depends on the task, see its recipe."""
        return self.config.lines(self.network, self.tokenizers).predict(texts)

    def vectors(self, texts: Sequence[str]) -> Tensor:
        """One vector of length 1 for each text, (N, D) float32: the mean of what the encoder says of its tokens.

        A model that was imported to give vectors may give that of the first token instead. For models that read as
        BERT does; see :mod:`henkan.tasks.vectors`.

        Raises:
            ConfigError: the model has no encoder of its own, or a decoder beside it.
        """
        if not isinstance(self.network, EncoderOnly):
            raise ConfigError(f"preset {self.config.preset} has a decoder; vectors are of encoders alone")
        reader = Reader(self.tokenizers[0], self.config.length)  # type: ignore[attr-defined]
        return TextVectors(self.network, reader, getattr(self.config, "pooling", "mean")).of(texts)

    def score(self, data: str | Path) -> list[Score]:
        """How good it is on a test file of the kind that it was trained on.

        Raises:
            DataError: the file cannot be used.
        """
        return self.config.score(self.network, self.tokenizers, Path(data))


TrainedModel = Model | LineModel


class Ensemble(TextModel):
    """Several models as one, which predicts with the mean of their probabilities; their families may differ.

    Settings that are not of one network (search, scores, the longest input) are the first model's.

    Raises:
        ConfigError: the models do not share their tokenizers.
    """

    def __init__(self, models: Sequence[Model]) -> None:
        self.models = tuple(models)
        self.config = models[0].config
        self.tokenizers = models[0].tokenizers
        for number, model in enumerate(models[1:], start=2):
            for side, first, other in zip(("source", "target"), self.tokenizers, model.tokenizers, strict=True):
                if other != first:
                    raise ConfigError(
                        f"model {number} of the ensemble has another {side} vocabulary than model 1 ({other.size:,} "
                        f"entries, {first.size:,}); the mean is over one vocabulary: train all of them on the same "
                        "pairs with the same `vocabulary` settings"
                    )

    def translator(self) -> Translator:
        """The models as one text-to-text function."""
        reverse_source = self.config.data.reverse_source
        members: list[Stepper] = []
        for model in self.models:
            alone = model.translator()
            members.append(alone.stepper if alone.reverse_source == reverse_source else ReversedSource(alone.stepper))
        return replace(self.models[0].translator(), stepper=EnsembleStepper(members))


@overload
def load(folder: str | Path, *, precision: Precision = "auto") -> Model: ...


@overload
def load(folder: str | Path, second: str | Path, /, *others: str | Path, precision: Precision = "auto") -> Ensemble: ...


def load(folder: str | Path, *others: str | Path, precision: Precision = "auto") -> Model | Ensemble:
    """The model in a model folder, or the best model of a run folder; of several folders an ensemble.

    Args:
        folder: and others, where the models are.
        precision: of matrix products on a processor; ``auto``: bf16 where it has instructions for that, else fp32.

    Raises:
        FolderError: missing, damaged, or written by a newer version.
        ConfigError: the models of several folders do not share their tokenizers; a precision that there is not here.
    """
    if others:
        return Ensemble([_load(Path(place), precision) for place in (folder, *others)])
    return _load(Path(folder), precision)


@overload
def load_any(folder: str | Path, *, precision: Precision = "auto") -> Model | LineModel: ...


@overload
def load_any(
    folder: str | Path, *others: str | Path, precision: Precision = "auto"
) -> Model | LineModel | Ensemble: ...


def load_any(folder: str | Path, *others: str | Path, precision: Precision = "auto") -> Model | LineModel | Ensemble:
    """``henkan.load``: as :func:`load`, but a single model may be of any task; ``precision`` is for models of pairs.

    Raises:
        FolderError, ConfigError: as there.
    """
    return load(folder, *others, precision=precision) if others else _load_any(Path(folder), precision)


def _load_any(place: Path, precision: Precision) -> TrainedModel:
    if precision != "auto":
        product_type(precision)  # complains before anything is read
    if not (place / "manifest.json").exists() and (place / "model" / "manifest.json").exists():
        place = place / "model"
    elif not (place / "manifest.json").exists() and (place / "checkpoints").is_dir():
        how = f"henkan train --output {shlex.quote(str(place))} --resume"
        raise FolderError(f"{place}: a run that has no model yet; finish it with: {how}")
    model_folder.check_folder(place)
    try:
        config = read_recipe([read_layer(place / "config.yaml")])
    except ConfigError as error:
        raise FolderError(f"{place / 'config.yaml'}: not settings that this version knows:\n{error}") from error
    tokenizers = load_tokenizers(place)
    network = config.outline((tokenizers[0].size, tokenizers[1].size))
    fill(network, model_folder.load_weights(place / "model.safetensors"), place)
    return assemble(config, network.eval(), tokenizers, precision)


def assemble(
    config: Recipe, network: nn.Module, tokenizers: tuple[Tokenizer, Tokenizer], precision: Precision = "auto"
) -> TrainedModel:
    """A trained network as a model of its task."""
    if isinstance(config, RunConfig):
        assert isinstance(network, EncoderDecoder)
        return Model(config, network, tokenizers, precision)
    return LineModel(config, network, tokenizers)


def _load(place: Path, precision: Precision) -> Model:
    found = _load_any(place, precision)
    if not isinstance(found, Model):
        raise ConfigError(
            f"{place}: a model of the task {found.config.task}; this needs one of pairs "
            "(any model answers `henkan predict`, and is scored by `henkan evaluate --data`)"
        )
    return found


def save(model: TrainedModel, place: Path, examples: Sequence[str], card: str) -> None:
    """Write the model folder ``place``, with a self-test on a few example inputs and the text of the model card."""

    def fill(building: Path) -> None:
        weights = {name: parameter.float() for name, parameter in model.network.named_parameters()}
        model_folder.save_weights(building / "model.safetensors", weights)
        (building / "config.yaml").write_text(dump(model.config), encoding="utf-8")
        save_tokenizers(model.tokenizers, building)
        selftest = json.dumps(make_selftest(model, examples), ensure_ascii=False, indent=1)
        (building / "selftest.json").write_text(selftest + "\n", encoding="utf-8")
        (building / "metrics.json").write_text('{"scores": []}\n', encoding="utf-8")
        (building / "README.md").write_text(card, encoding="utf-8")

    model_folder.write_folder(place, fill)


def make_selftest(model: TrainedModel, inputs: Sequence[str]) -> dict:
    """Outputs and their scores in float32 by the network itself, to be compared wherever the model is loaded again."""
    lines = model.config.lines(model.network, model.tokenizers)
    outputs = lines.predict(inputs)
    scores = lines.scores(inputs, outputs)
    return {"inputs": list(inputs), "outputs": outputs, "scores": scores, "tolerance": TOLERANCE}


def verify(folder: str | Path) -> list[str]:
    """Load a model and re-run its self-test; what was checked, in sentences.

    Raises:
        FolderError: damaged, or without a self-test.
        RunError: the self-test gave other scores.
    """
    place = Path(folder)
    model = _load_any(place, "auto")
    place = place if (place / "selftest.json").exists() else place / "model"
    test = model_folder.read_json(place / "selftest.json")
    try:
        inputs, outputs = list(map(str, test["inputs"])), list(map(str, test["outputs"]))
        expected, tolerance = list(map(float, test["scores"])), float(test["tolerance"])
        if not len(inputs) == len(outputs) == len(expected):
            raise ValueError("unequal lengths")
    except (KeyError, TypeError, ValueError) as error:
        raise FolderError(f"{place / 'selftest.json'}: not a self-test; copy the folder again") from error
    lines = model.config.lines(model.network, model.tokenizers)
    for source, score, wanted in zip(inputs, lines.scores(inputs, outputs), expected, strict=True):
        if not abs(score - wanted) <= tolerance:
            raise RunError(
                f"{place}: the self-test gave {score:.6f} for {source!r}, expected {wanted:.6f} within {tolerance}; "
                "this machine or version computes another model: do not trust its output"
            )
    same = sum(found == wanted for found, wanted in zip(lines.predict(inputs), outputs, strict=True))
    return [
        f"{place}: every file is whole (size and SHA-256)",
        f"forced scores of {len(inputs)} outputs are within {tolerance} of those recorded at training",
        f"greedy outputs equal the recorded ones: {same} of {len(inputs)}",
    ]
