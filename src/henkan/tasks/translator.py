"""Text to text with a trained model.

Sentences are encoded, sorted by length, searched in batches of limited size, and given back in order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from henkan.decode.beam import BeamOptions, beam_search
from henkan.decode.greedy import greedy_search
from henkan.decode.hypothesis import Hypothesis
from henkan.decode.stepper import ModelStepper, Stepper
from henkan.models.encoder_decoder import EncoderDecoder
from henkan.tensors import Tokens
from henkan.text.normalise import normalise
from henkan.text.tokenizer import END, PAD, START, Tokenizer
from henkan.tree import map_leaves

BATCH_TOKENS = 8192
"""Padded source tokens, times beams, that are searched at one time."""

BATCH_ROWS = 512
"""Hypotheses that are searched at one time."""


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

    @classmethod
    def of(
        cls,
        model: EncoderDecoder,
        tokenizers: tuple[Tokenizer, Tokenizer],
        reverse_source: bool,
        decoding: BeamOptions,
    ) -> Translator:
        """A translator over one model."""
        device = next(model.parameters()).device
        return cls(ModelStepper(model, tokenizers[1].size), *tokenizers, reverse_source, decoding, device)

    def predict(
        self, texts: Sequence[str], *, options: BeamOptions | None = None, align: bool = False, scored: bool = True
    ) -> list[list[Prediction]]:
        """The ``n_best`` predictions for each text, best first, in the order of the texts.

        An empty text (only spaces) gives an empty prediction of score 0. Greedy search without scores (NaN) is faster.
        """
        options = options or self.decoding
        sources = self.source_tokenizer.encode([normalise(text) for text in texts])
        found: list[list[Prediction]] = [[] for _ in texts]
        for group in batches([len(source) for source in sources], options.beam):
            rows = [sources[place] for place in group]
            for place, row, hypotheses in zip(group, rows, self._search(rows, options, align, scored), strict=True):
                found[place] = self._worded(row, hypotheses)
        for place, source in enumerate(sources):
            if not source:
                found[place] = [Prediction("", 0.0, 0.0, [], [], [] if align else None)]
        return found

    def _search(
        self, sources: list[list[int]], options: BeamOptions, align: bool, scored: bool
    ) -> list[list[Hypothesis]]:
        with torch.inference_mode():
            tokens = pad_sources(sources, self.reverse_source)
            limits = options.limits(tokens.mask.sum(1))
            tokens = map_leaves(lambda tensor: tensor.to(self.device), tokens)
            state = self.stepper.start(tokens, len(sources), int(limits.max()) + 1)
            start = torch.full((len(sources), 1), START, device=self.device)
            prefix = Tokens(start, torch.ones_like(start, dtype=torch.bool))
            if options.beam == 1 and not (scored and options.coverage):
                penalty = options.penalty if scored else None
                greedy = greedy_search(self.stepper, state, prefix, limits, penalty, align=align)
                return [[best] for best in greedy]
            return beam_search(self.stepper, state, prefix, limits, options, source_mask=tokens.mask, align=align)

    def _worded(self, source: list[int], hypotheses: list[Hypothesis]) -> list[Prediction]:
        texts = self.target_tokenizer.decode([hypothesis.tokens for hypothesis in hypotheses])
        read = source[::-1] if self.reverse_source else source
        return [
            Prediction(
                text,
                hypothesis.score,
                hypothesis.log_prob,
                self.target_tokenizer.pieces(hypothesis.tokens),
                [*self.source_tokenizer.pieces(read), "</s>"],
                hypothesis.alignment,
                hypothesis.finished,
            )
            for text, hypothesis in zip(texts, hypotheses, strict=True)
        ]


def batches(lengths: Sequence[int], beam: int) -> Iterator[list[int]]:
    """Places of the texts that are searched together: of similar length, longest first, so that memory peaks early.

    Texts of length 0 are left out.
    """
    order = sorted((place for place, length in enumerate(lengths) if length), key=lambda place: -lengths[place])
    group: list[int] = []
    for place in order:
        longest = lengths[group[0]] if group else lengths[place]
        rows = (len(group) + 1) * beam
        if group and (rows > BATCH_ROWS or rows * longest > BATCH_TOKENS):
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
