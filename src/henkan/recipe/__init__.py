"""Recipes: the schema of everything that can be said about a run, and where its settings come from.

``task`` says which of them a recipe is; without it, it is about pairs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from henkan.config import validate
from henkan.errors import ConfigError
from henkan.recipe.base import Material, Recipe, Tuned
from henkan.recipe.pairs import (
    USUAL_BUDGET,
    RunConfig,
    ScoreName,
    given_layers,
    look,
    resolved,
    settings_layers,
    with_preset,
)
from henkan.recipe.vocabulary_files import file_layers
from henkan.settings import Layer, merge

_PLACES: Mapping[str, tuple[str, str]] = {
    "pairs": ("henkan.recipe.pairs", "RunConfig"),
    "pretraining": ("henkan.recipe.pretraining", "PretrainingRecipe"),
    "mixture": ("henkan.recipe.mixture", "MixtureRecipe"),
    "classification": ("henkan.recipe.classification", "ClassificationRecipe"),
    "tagging": ("henkan.recipe.tagging", "TaggingRecipe"),
    "multiple_choice": ("henkan.recipe.multiple_choice", "MultipleChoiceRecipe"),
    "question_answering": ("henkan.recipe.questions", "QuestionAnsweringRecipe"),
    "vectors": ("henkan.recipe.vectors", "VectorsRecipe"),
}
TASKS = tuple(_PLACES)
"""What ``task`` may be."""


def kind(values: Mapping[str, Any]) -> type[Recipe]:
    """Which recipe these settings are; it is imported here, as nobody needs all of them.

    Raises:
        ConfigError: there is no such task.
    """
    task = values.get("task", "pairs")
    if task not in _PLACES:
        raise ConfigError(f"task {task!r}: expected one of {', '.join(TASKS)}")
    module, name = _PLACES[task]
    return getattr(import_module(module), name)


def settle(given: Sequence[Layer]) -> tuple[list[Layer], str]:
    """All layers of a run's settings, and a sentence that says what was chosen; see :meth:`Recipe.settle`."""
    above = file_layers(given)
    layers, choice = kind(merge(given)).settle(given)
    return [*layers, *above], choice


def read_recipe(layers: Sequence[Layer]) -> Recipe:
    """Settings that are complete, as a recipe of their kind; ConfigError lists all that is wrong."""
    return validate(kind(merge(layers)), layers)


__all__ = [
    "TASKS",
    "USUAL_BUDGET",
    "Material",
    "Recipe",
    "RunConfig",
    "ScoreName",
    "Tuned",
    "file_layers",
    "given_layers",
    "kind",
    "look",
    "read_recipe",
    "resolved",
    "settings_layers",
    "settle",
    "with_preset",
]
