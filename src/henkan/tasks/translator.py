"""Text to text with a trained model.

Sentences are encoded, sorted by length, searched in batches of limited size, and given back in order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TypeVar

import torch
from torch import Tensor

from henkan.data.collate import collate_pairs
from henkan.data.example import Example
from henkan.data.prefixed import prefixed
from henkan.decode.beam import BeamOptions, beam_search
from henkan.decode.captured import CapturedBeamSearch
from henkan.decode.greedy import greedy_search
from henkan.decode.hypothesis import Hypothesis
from henkan.decode.stepper import ModelStepper, Stepper
from henkan.models.encoder_decoder import EncoderDecoder
from henkan.tasks.workers import ALONE, Workers
from henkan.tensors import Tokens
from henkan.text.normalise import normalise
from henkan.text.tokenizer import END, PAD, START, Tokenizer
from henkan.tree import map_leaves

K = TypeVar("K")

BATCH_TOKENS = 8192
"""Padded source tokens, times beams, that are searched at one time."""

BATCH_ROWS = 512
"""Hypotheses that are searched at one time,"""

BATCH_ROWS_CPU = 192
"""and on a processor: more gain nothing there, and fewer pieces are harder to share evenly."""


@dataclass(frozen=True)
class Prediction:
    """One output for one input.

    Attributes:
        text: the output.
        score: what the search ranked it by: log-probability over length penalty.
        log_prob: log-probability of its tokens, the end included.
        pieces: its tokens as text.
        source_pieces: the input's tokens as text, as the encoder read them.
        alignment: for each output piece, the place in ``source_pieces`` it attended to most; None unless asked for.
        finished: False if the output was cut at its largest length.
    """

    text: str
    score: float
    log_prob: float
    pieces: list[str]
    source_pieces: list[str]
    alignment: list[int] | None
    finished: bool = True


@dataclass(frozen=True)
class Translator:
    """A model with its tokenizers: all that is needed to turn text into text.

    Several steppers (an ensemble) may share the tokenizers: give one that combines them.
    """

    stepper: Stepper
    source_tokenizer: Tokenizer
    target_tokenizer: Tokenizer
    reverse_source: bool
    decoding: BeamOptions
    device: torch.device  # where the stepper computes
    prefix: str = ""  # before every text

    @classmethod
    def of(
        cls,
        model: EncoderDecoder,
        tokenizers: tuple[Tokenizer, Tokenizer],
        reverse_source: bool,
        decoding: BeamOptions,
        prefix: str = "",
    ) -> Translator:
        """A translator over one model."""
        device = next(model.parameters()).device
        return cls(ModelStepper(model, tokenizers[1].size), *tokenizers, reverse_source, decoding, device, prefix)

    def predict(
        self,
        texts: Sequence[str],
        *,
        options: BeamOptions | None = None,
        align: bool = False,
        scored: bool = True,
        workers: Workers = ALONE,
    ) -> list[list[Prediction]]:
        """The ``n_best`` predictions for each text, best first, in the order of the texts.

        An empty text (only spaces) gives an empty prediction of score 0. Greedy search without scores (NaN) is faster.
        """
        options = options or self.decoding
        sources = self.encode(texts)
        found: list[list[Prediction]] = [[] for _ in texts]
        pieces = ((group, [sources[place] for place in group]) for group in self.batches(sources, options.beam))
        for group, answers in self.answer(pieces, options, align=align, scored=scored, workers=workers):
            for place, predictions in zip(group, answers, strict=True):
                found[place] = predictions
        return found

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text as the search takes them."""
        return self.source_tokenizer.encode([prefixed(normalise(text), self.prefix) for text in texts])

    def batches(self, sources: Iterable[list[int]], beam: int) -> Iterator[list[int]]:
        """Places of the sources that are searched together; see :func:`batches`."""
        return batches(map(len, sources), beam, BATCH_ROWS_CPU if self.device.type == "cpu" else BATCH_ROWS)

    def answer(
        self,
        pieces: Iterable[tuple[K, list[list[int]]] | None],
        options: BeamOptions,
        *,
        align: bool = False,
        scored: bool = True,
        workers: Workers = ALONE,
    ) -> Iterator[tuple[K, list[list[Prediction]]]]:
        """The predictions for sources that are searched together, with the key that they came with.

        The outputs do not depend on who does the work, only on what is in one piece.
        """
        if self.device.type != "cpu":
            workers = ALONE  # another device serves one process
        return workers.results(partial(self._answer, options=options, align=align, scored=scored), pieces)

    def _answer(
        self, sources: list[list[int]], options: BeamOptions, align: bool, scored: bool
    ) -> list[list[Prediction]]:
        """What :meth:`predict` says of each source; those without tokens are not searched."""
        rows = [source for source in sources if source]
        found = iter(self._worded(rows, self._search(rows, options, align, scored)) if rows else [])
        return [next(found) if source else [_nothing(align)] for source in sources]

    @cached_property
    def _captured(self) -> CapturedBeamSearch:
        return CapturedBeamSearch(self.stepper)

    def _search(
        self, sources: list[list[int]], options: BeamOptions, align: bool, scored: bool
    ) -> list[list[Hypothesis]]:
        with torch.inference_mode():
            tokens = pad_sources(sources, self.reverse_source)
            limits = options.limits(tokens.mask.sum(1))
            tokens = map_leaves(lambda tensor: tensor.to(self.device), tokens)
            if self.device.type == "cuda" and not (align or options.coverage):
                return self._captured.search(tokens, limits, options)
            state = self.stepper.start(tokens, len(sources), int(limits.max()) + 1)
            start = torch.full((len(sources), 1), START, device=self.device)
            prefix = Tokens(start, torch.ones_like(start, dtype=torch.bool))
            if options.beam == 1 and not (scored and options.coverage):
                penalty = options.penalty if scored else None
                greedy = greedy_search(self.stepper, state, prefix, limits, penalty, align=align)
                return [[best] for best in greedy]
            return beam_search(self.stepper, state, prefix, limits, options, source_mask=tokens.mask, align=align)

    def _worded(self, sources: list[list[int]], found: list[list[Hypothesis]]) -> list[list[Prediction]]:
        texts = iter(self.target_tokenizer.decode([each.tokens for hypotheses in found for each in hypotheses]))
        return [
            [self._prediction(source, hypothesis, next(texts)) for hypothesis in hypotheses]
            for source, hypotheses in zip(sources, found, strict=True)
        ]

    def _prediction(self, source: list[int], hypothesis: Hypothesis, text: str) -> Prediction:
        return Prediction(
            text,
            hypothesis.score,
            hypothesis.log_prob,
            self.target_tokenizer.pieces(hypothesis.tokens),
            [*self.source_tokenizer.pieces(source[::-1] if self.reverse_source else source), "</s>"],
            hypothesis.alignment,
            hypothesis.finished,
        )


def _nothing(align: bool) -> Prediction:
    return Prediction("", 0.0, 0.0, [], [], [] if align else None)


def log_probs_of(
    network: EncoderDecoder, translator: Translator, texts: Sequence[str], outputs: Sequence[str]
) -> list[float]:
    """The log-probability of each output given its text, the end included, in nats; forced decoding.

    Args:
        network: the model that the translator searches with.
    """
    sources, targets = translator.encode(texts), translator.target_tokenizer.encode(outputs)
    examples = [Example.of(index, *pair) for index, pair in enumerate(zip(sources, targets, strict=True))]
    batch = collate_pairs(examples, translator.reverse_source).to(translator.device)
    with torch.inference_mode():
        scores = network(batch).heads["tokens"]
        assert not isinstance(scores, Tensor)
        return scores.loss(batch.labels["tokens"])[1].sum(1).tolist()


def batches(lengths: Iterable[int], beam: int, most: int = BATCH_ROWS) -> Iterator[list[int]]:
    """Places of the texts that are searched together: of similar length, longest first, so that memory peaks early."""
    tokens = list(lengths)
    group: list[int] = []
    for place in sorted(range(len(tokens)), key=lambda place: -tokens[place]):
        longest = tokens[group[0]] if group else tokens[place]
        rows = (len(group) + 1) * beam
        if group and (rows > most or rows * longest > BATCH_TOKENS):
            yield group
            group = []
        group.append(place)
    if group:
        yield group


def pad_sources(sources: list[list[int]], reverse_source: bool) -> Tokens:
    """Source ids as the encoder reads them: reversed where the model was trained so, END behind, padding last."""
    longest = max(map(len, sources)) + 1
    ids = torch.full((len(sources), longest), PAD)
    mask = torch.zeros(len(sources), longest, dtype=torch.bool)
    for row, source in enumerate(sources):
        ids[row, : len(source) + 1] = torch.tensor([*(source[::-1] if reverse_source else source), END])
        mask[row, : len(source) + 1] = True
    return Tokens(ids, mask)
