"""Which runs a comparison is made of, and the settings of each: presets and variants of them, seeds, matched sizes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from henkan import presets
from henkan.compare.matching import Matched, count_parameters, match
from henkan.config import validate
from henkan.errors import ConfigError
from henkan.recipe import RunConfig, file_layers, given_layers, with_preset
from henkan.settings import Layer
from henkan.tasks.preparation import vocabulary_sizes
from henkan.tasks.survey import USUAL, Facts, survey

Settings = dict[str, Any]
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Contender:
    """A system to be trained: a preset, and the settings in which it differs from it, as key.path=value words."""

    name: str
    preset: str
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trial:
    """One run to be made.

    Attributes:
        name: of the system; its seeds share it.
        config: every setting of the run.
        match: what became of its widths, where sizes are matched.
        widths: the same in words.
    """

    name: str
    config: RunConfig
    match: Matched | None = None
    widths: tuple[str, ...] = ()

    @property
    def seed(self) -> int:
        """Of the training."""
        return self.config.training.seed

    @property
    def folder(self) -> str:
        """The name of its run folder."""
        return f"{self.name}-seed-{self.seed}"

    @property
    def settings(self) -> Settings:
        """The configuration as plain values, for ``henkan.run.train``."""
        return self.config.model_dump(mode="json")


def contenders(names: Sequence[str], variants: Sequence[str]) -> list[Contender]:
    """Presets by name, then variants, written ``NAME=preset`` or ``NAME=preset,key.path=value,…``.

    Raises:
        ConfigError: an unknown preset, a name that no folder can have, or one that is there twice.
    """
    found = [Contender(name, name) for name in names] + [_variant(text) for text in variants]
    for place, contender in enumerate(found):
        presets.find(contender.preset)
        if contender.name in {other.name for other in found[:place]}:
            raise ConfigError(f"{contender.name}: there twice; give a second one another name by --variant NAME=preset")
    if not found:
        raise ConfigError("--presets: name at least one; `henkan presets` lists them")
    return found


def plan(
    chosen: Sequence[Contender],
    data: Mapping[str, str],
    overrides: Sequence[str] = (),
    *,
    training: Mapping[str, Any] | None = None,
    seeds: Sequence[int] = (),
    matched: bool = True,
    tell: Tell = lambda line: None,
) -> list[Trial]:
    """Every run of a comparison, all seeds of the first system before the second.

    Args:
        chosen: the systems.
        data: the ``data`` settings of all of them.
        overrides: key.path=value words for all of them; those of a contender win.
        training: ``training`` settings, such as the budget.
        seeds: none: the one that the settings have.
        matched: bring every system to the number of parameters of the first by its widths.
        tell: gets the lines that a user should see.

    Raises:
        ConfigError: settings that are wrong, or a system that cannot be brought to that size.
        DataError: the training pairs cannot be read.
    """
    facts: Facts | None = None
    configs = []
    for contender in chosen:
        recipe = {"preset": contender.preset, "data": dict(data), "training": dict(training or {})}
        given = given_layers(recipe, [*overrides, *contender.overrides])
        if facts is None:
            facts = survey(validate(RunConfig, with_preset(given, USUAL)[0]).data.training())
        configs.append(validate(RunConfig, [*with_preset(given, facts)[0], *file_layers(given)]))
    trials = [Trial(contender.name, config) for contender, config in zip(chosen, configs, strict=True)]
    if matched and len(trials) > 1:
        trials = _match(trials, tell)
    return [_seeded(trial, seed) for trial in trials for seed in seeds or (trial.seed,)]


def _variant(text: str) -> Contender:
    name, equals, rest = text.partition("=")
    if not equals or not re.fullmatch(r"[\w.+-]*\w[\w.+-]*", name):
        raise ConfigError(
            f"--variant {text!r}: expected NAME=preset or NAME=preset,key.path=value,…; "
            "a name has letters, digits, and . _ + -"
        )
    preset, *settings = re.split(r",(?=[A-Za-z_][\w.]*=)", rest)  # a comma may also stand inside [1, 2]
    return Contender(name, preset, tuple(settings))


def _match(trials: Sequence[Trial], tell: Tell) -> list[Trial]:
    known: dict[str, tuple[int, int]] = {}

    def vocabularies(config: RunConfig) -> tuple[int, int]:
        key = _source_of_vocabulary(config)
        if key not in known:
            known[key] = vocabulary_sizes(config.data, config.vocabulary)
        return known[key]

    first = trials[0]
    wanted = count_parameters(first.config.model, vocabularies(first.config))
    tell(f"matched size: {wanted:,} parameters, those of {first.name}")
    found = []
    for trial in trials:
        before = trial.config.model
        matched = match(before, wanted, vocabularies(trial.config))
        widths = tuple(matched.changes(before))
        config = trial.config.model_copy(update={"model": matched.model})
        found.append(replace(trial, config=config, match=matched, widths=widths))
        change = f"widths × {matched.factor:.3f}: {', '.join(widths)}" if widths else "as it is"
        tell(f"  {trial.name}: {matched.parameters:,} parameters; {change}")
    return found


def _source_of_vocabulary(config: RunConfig) -> str:
    """What a vocabulary is learnt from and how: equal for two runs whose vocabularies are equal."""
    data = config.data
    return f"{data.source} {data.target} {data.pairs} {config.vocabulary.model_dump_json()}"


def _seeded(trial: Trial, seed: int) -> Trial:
    training = trial.config.training.model_copy(update={"seed": seed})
    return replace(trial, config=trial.config.model_copy(update={"training": training}))


def as_layer(trial: Trial) -> Layer:
    """The settings of a trial as one layer."""
    return Layer(trial.settings, "henkan compare")
