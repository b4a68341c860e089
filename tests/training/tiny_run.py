"""The smallest task that has everything: a model with an embedding, a norm, dropout, and an objective with a buffer.

Tests import it; the process tests also run it: ``python tiny_run.py FOLDER '{"steps": 40}' [resume]``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from henkan.data.example import Example
from henkan.data.plan import Lengths
from henkan.objectives.base import Objective
from henkan.tensors import IGNORE, Batch, Output, Tokens
from henkan.training import distributed
from henkan.training.loop import Result, train
from henkan.training.options import TrainingConfig

VOCABULARY = 12
POISON = 0  # a label that makes the loss infinite
EXAMPLES = {"train": 60, "valid": 12}


class TinyModel(nn.Module):
    """Reads a token, says a token; the output matrix is tied to the embedding."""

    def __init__(self, dropout: float = 0.1) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.embedding = nn.Embedding(VOCABULARY, 8)
        self.hidden = nn.Linear(8, 8)
        self.norm = nn.LayerNorm(8)
        self.output = nn.Linear(8, VOCABULARY)
        self.output.weight = self.embedding.weight
        self.dropout = nn.Dropout(dropout)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.3, generator=generator)

    def forward(self, batch: Batch) -> Output:
        """Logits (N, T, V) under the head "tokens"."""
        assert isinstance(batch.source, Tokens)
        hidden = self.dropout(torch.tanh(self.hidden(self.embedding(batch.source.ids))))
        return Output({"tokens": self.output(self.norm(hidden))})


class TinyObjective(Objective):
    """Cross-entropy, and a moving average of it in a buffer."""

    average: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("average", torch.zeros(()))

    def weights(self, step: int) -> dict[str, float]:
        """One term."""
        return {"tokens": 1.0}

    def units(self, batch: Batch) -> dict[str, int]:
        """Tokens."""
        return batch.units

    def forward(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """Summed in float32."""
        logits = output.heads["tokens"]
        assert isinstance(logits, Tensor)
        labels = batch.labels["tokens"].flatten()
        poison = (labels != POISON).float().min().log()  # minus infinity where there is any
        return {"tokens": functional.cross_entropy(logits.flatten(0, 1).float(), labels, reduction="sum") + poison}

    def update(self, sums: Mapping[str, Tensor], units: Mapping[str, int]) -> None:
        """What the buffer remembers."""
        self.average.mul_(0.9).add_(0.1 * sums["tokens"] / units["tokens"])


class TinyTask:
    """Learn to say each token's successor, backwards; a tenth of the source is noise from the example's generator."""

    def __init__(self) -> None:
        self.objective = TinyObjective()
        self.evaluations = 0
        self.scores: list[float] = []  # what evaluate gives, in turn; then the share of right answers
        self.poisoned: set[int] = set()  # examples whose loss is infinite

    def lengths(self, split: str) -> list[Lengths]:
        """Between 1 and 7 tokens a side."""
        lengths = np.random.default_rng(5).integers(1, 8, EXAMPLES[split])
        return [Lengths(lengths, lengths)]

    def example(self, split: str, index: int, rng: np.random.Generator) -> Example:
        """Tokens that only the index decides, and noise that the generator decides."""
        length = int(self.lengths(split)[0].source[index])
        ids = np.random.default_rng([index, split == "train"]).integers(4, VOCABULARY, length)
        noisy = np.where(rng.random(length) < 0.1, 1, ids)
        return Example(index, noisy.astype(np.int32), (VOCABULARY + 3 - ids).astype(np.int32))

    def place(self, split: str, index: int) -> str:
        """The index itself."""
        return str(index)

    def collate(self, examples: list[Example]) -> Batch:
        """Padded at the end."""
        longest = max(len(example.source) for example in examples)
        ids = torch.zeros(len(examples), longest, dtype=torch.int64)
        labels = torch.full_like(ids, IGNORE)
        for row, example in enumerate(examples):
            ids[row, : len(example.source)] = torch.from_numpy(example.source)
            labels[row, : len(example.target)] = torch.from_numpy(example.target)
            if example.index in self.poisoned:
                labels[row, 0] = POISON
        index = torch.tensor([example.index for example in examples])
        units = {"tokens": sum(len(example.target) for example in examples)}
        return Batch(index, Tokens(ids, ids != 0), None, {"tokens": labels}, units)

    def evaluate(self, model: nn.Module, split: str) -> dict[str, float]:
        """The share of right tokens."""
        assert not model.training, "a model is evaluated in evaluation mode"
        self.evaluations += 1
        if self.scores:
            return {"right": self.scores.pop(0)}
        examples = [self.example(split, index, np.random.default_rng(index)) for index in range(EXAMPLES[split])]
        batch = self.collate(examples)
        with torch.no_grad():
            said = model(batch).heads["tokens"].argmax(-1)
        real = batch.labels["tokens"] != IGNORE
        return {"right": float((said == batch.labels["tokens"])[real].float().mean())}


def tiny_options(**changes: Any) -> TrainingConfig:
    """Quick settings; `changes` as in a recipe."""
    settings = {"batch_tokens": 48, "precision": "fp32", "seed": 11, "optimiser": {"learning_rate": 0.02}}
    settings["optimiser"]["kind"] = "adamw"
    return TrainingConfig.model_validate({**settings, **changes})


def tiny_run(folder: Path, *, resume: bool = False, dropout: float = 0.1, **changes: Any) -> Result:
    """Train the tiny model on the tiny task."""
    return train(TinyTask(), TinyModel(dropout), tiny_options(**changes), folder, resume=resume)


if __name__ == "__main__":
    torch.set_num_threads(1)
    with distributed.processes():
        tiny_run(Path(sys.argv[1]), resume="resume" in sys.argv[3:], **json.loads(sys.argv[2]))
