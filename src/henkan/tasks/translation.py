"""Text to text: pairs in, a translator out. Pronunciation, spelling and the like are this task with other units."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from henkan.data.collate import collate_packed, collate_pairs
from henkan.data.example import Example
from henkan.data.packing import PackedShape
from henkan.data.plan import Shards
from henkan.decode.beam import BeamOptions
from henkan.metrics import MEASURES
from henkan.models.encoder_decoder import EncoderDecoder
from henkan.models.inference import trained_for_inference
from henkan.objectives.base import Objective
from henkan.tasks.preparation import Prepared
from henkan.tasks.translator import Translator
from henkan.tensors import Batch

VALIDATED_TOKENS = 10_000
"""Validation sources that are translated have at most so many tokens; they are spread over the whole split."""


class Translation:
    """A prepared corpus with an objective; see :class:`henkan.tasks.base.Task`."""

    def __init__(
        self,
        prepared: Prepared,
        objective: Objective,
        decoding: BeamOptions,
        reverse_source: bool,
        scores: Sequence[str],
        prefix: str = "",
    ) -> None:
        self.prepared = prepared
        self.objective = objective
        self.decoding = decoding
        self.reverse_source = reverse_source
        self.scores = scores
        self.prefix = prefix
        self.corpora = {"train": prepared.train, "valid": prepared.valid}

    def lengths(self, split: str) -> Shards:
        """With the end mark on both sides."""
        return self.corpora[split].lengths

    def example(self, split: str, index: int, rng: np.random.Generator) -> Example:
        """As it is: no noise."""
        return self.corpora[split].example(index)

    def place(self, split: str, index: int) -> str:
        """Its line in the file of pairs."""
        return f"line {self.corpora[split].line(index)}"

    def collate(self, examples: list[Example]) -> Batch:
        """Padded source, shifted target, labels."""
        return collate_pairs(examples, self.reverse_source)

    def pack(self, examples: list[Example], shape: PackedShape) -> Batch:
        """The same, packed."""
        return collate_packed(examples, shape, self.reverse_source)

    def evaluate(self, model: EncoderDecoder, split: str) -> dict[str, float]:
        """Scores of greedy outputs for the validation sources, by the names that ``validate_by`` knows."""
        assert split == "valid"
        sources, references = grouped(self.prepared.valid_pairs)
        step = max(1, -(-self.prepared.valid.tokens("source") // VALIDATED_TOKENS))
        sources, references = sources[::step], references[::step]
        # an untrained model does not know where to end: let it not write much more than its source
        shorter = {"beam": 1, "n_best": 1, "max_ratio": self.decoding.max_ratio / 2}
        greedy = self.decoding.model_copy(update=shorter)
        fast = trained_for_inference(model)
        translator = Translator.of(fast, self.prepared.tokenizers, self.reverse_source, greedy, self.prefix)
        outputs = [found[0].text for found in translator.predict(sources, scored=False)]
        return {name: MEASURES[name](outputs, references).value() for name in self.scores}


def grouped(pairs: Sequence[tuple[str, str]]) -> tuple[list[str], list[list[str]]]:
    """Each source once, with all its targets: a word may have several pronunciations."""
    targets: dict[str, list[str]] = {}
    for source, target in pairs:
        targets.setdefault(source, []).append(target)
    return list(targets), list(targets.values())
