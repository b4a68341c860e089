"""An encoder with a head that learns the tiny task: the smallest model with layers to tell apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tiny_run import VOCABULARY, TinyTask, tiny_options

from henkan.models.encoder_only import EncoderOnly, EncoderOnlyConfig
from henkan.training.loop import Result, train


def tiny_encoder(**changes: Any) -> EncoderOnly:
    """Two layers, always with the same weights; ``changes`` are of the encoder."""
    torch.manual_seed(0)
    sizes = {"kind": "transformer", "width": 8, "heads": 2, "feed_forward": 12, "layers": 2, "dropout": 0.1}
    settings = {
        "encoder": {**sizes, **changes},
        "pooler": {"kind": "first"},
        "heads": {"tokens": {"kind": "label", "labels": VOCABULARY}},
    }
    return EncoderOnlyConfig.model_validate(settings).build(VOCABULARY)


def train_encoder(
    folder: Path, *, resume: bool = False, scores: Sequence[float] = (), **changes: Any
) -> tuple[EncoderOnly, Result]:
    """The trained model, and what training came to; ``scores``: see TinyTask, ``changes`` are of training."""
    model, task = tiny_encoder(), TinyTask()
    task.scores = list(scores)
    settings = {"schedule": {"kind": "constant"}, "validate_every": 100, **changes}
    return model, train(task, model, tiny_options(**settings), folder, resume=resume)
