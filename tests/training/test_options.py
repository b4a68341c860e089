"""What TrainingConfig accepts."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from henkan.training.options import TrainingConfig


def test_one_length_is_enough() -> None:
    assert TrainingConfig(steps=5).steps == 5
    assert TrainingConfig(epochs=2).epochs == 2
    assert TrainingConfig.model_validate({"budget": "10m"}).budget == 600.0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "got none"),
        ({"steps": 5, "epochs": 1}, "got `steps` and `epochs`"),
        ({"steps": 0}, "greater than or equal to 1"),
        ({"steps": 5, "ema": 0.9, "average": 3}, "set one of them"),
        ({"steps": 5, "average": 1}, "averages nothing"),
        ({"steps": 5, "precision": "fp16"}, "bf16"),
        ({"steps": 5, "validate_every": 0}, "greater than or equal to 1"),
        ({"steps": 5, "optimiser": {"kind": "adam"}}, "adamw"),
        ({"steps": 5, "clip": 0.0}, "greater than 0"),
        ({"steps": 5, "layer_decay": 1.5}, "less than or equal to 1"),
        ({"steps": 5, "lora": {"parts": ()}}, "at least 1"),
    ],
)
def test_what_makes_no_sense_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TrainingConfig.model_validate(settings)
