"""Recipes: the schema of everything that can be said about a run, and where its settings come from."""

from __future__ import annotations

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

__all__ = [
    "USUAL_BUDGET",
    "RunConfig",
    "ScoreName",
    "given_layers",
    "look",
    "resolved",
    "settings_layers",
    "with_preset",
]
