"""An encoder, a decoder and a token head: every translator of the line is an assembly of these three."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from henkan.config import Config
from henkan.decoders import DecoderConfig
from henkan.decoders.copying import CopyingDecoder
from henkan.decoders.transformer import TransformerDecoder
from henkan.encoders import EncoderConfig
from henkan.encoders.transformer import TransformerEncoder
from henkan.nn.copying import CopyHead
from henkan.nn.embeddings import TokenEmbedding
from henkan.nn.heads import Alignment, Head, TokenHead
from henkan.nn.init import uniform_everywhere
from henkan.nn.scaled_head import ScaledHead
from henkan.nn.starts import Start, start_weights
from henkan.tensors import (
    Batch,
    Decoded,
    Decoder,
    Encoder,
    Features,
    Memory,
    Output,
    State,
    StepScores,
    Tokens,
    check_padded,
)


class EncoderDecoder(nn.Module):
    """Source to Memory, target to hidden vectors, hidden vectors to token scores."""

    def __init__(self, encoder: Encoder, decoder: Decoder, head: Head) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.head = head

    @property
    def packs(self) -> bool:
        """Whether it reads packed batches; what cannot refuses them."""
        sides = (self.encoder, self.decoder)
        return all(isinstance(side, (TransformerEncoder, TransformerDecoder)) and side.packs for side in sides)

    def forward(self, batch: Batch) -> Output:
        """Teacher forcing: the decoder reads the whole target, already shifted."""
        assert batch.target is not None
        return self._output(self.decoder(batch.target, self._begin(batch)))

    def forward_by_steps(self, batch: Batch, own: Tensor, choose: Callable[[StepScores], Tensor]) -> Output:
        """The decoder reads a word of its own here and there, where it would have read the target's.

        Gradients flow through everything but that choice: the words are constants. Each word is a call of the decoder,
        so it must draw nothing once for each call: no mask of variational dropout.

        Args:
            batch: as in :meth:`forward`.
            own: (N, T) bool, on the processor. True: position t reads what the model says after position t - 1;
                the first position has nothing before it and reads the target's.
            choose: from the scores of some rows to a token for each.
        """
        target = batch.target
        assert isinstance(target, Tokens)
        check_padded(target, "scheduled sampling")
        state = self._begin(batch)
        steps: list[Decoded] = []
        for position in range(target.ids.shape[1]):
            ids = target.ids[:, position].clone()
            rows = own[:, position].nonzero()[:, 0].to(ids.device)
            if position and len(rows):
                with torch.no_grad():
                    ids[rows] = choose(self._scores(steps[-1], rows, 0))
            steps.append(self.decoder(Tokens(ids[:, None], target.mask[:, position, None]), state))
            state = steps[-1].state
        return self._output(_joined(steps))

    def encode(self, source: Features) -> Memory:
        """What the decoder will attend to."""
        memory = self.encoder(source)
        return replace(memory, ids=source.ids) if isinstance(source, Tokens) else memory

    def start(self, source: Features | None, rows: int, capacity: int) -> State:
        """The state before the first token, for ``rows`` sources; see :class:`henkan.decode.stepper.Stepper`."""
        return self.decoder.start(None if source is None else self.encode(source), rows, capacity)

    def step(self, inputs: Tokens, state: State) -> tuple[StepScores, State]:
        """Scores of what follows each row's last real token in inputs (R, T)."""
        decoded = self.decoder(inputs, state)
        if inputs.ids.shape[1] == 1:
            return self._scores(decoded, slice(None), 0), decoded.state
        rows = torch.arange(inputs.ids.shape[0], device=inputs.ids.device)
        last = (inputs.mask.sum(1) - 1).clamp(min=0)
        return self._scores(decoded, rows, last), decoded.state

    def _begin(self, batch: Batch) -> State:
        """The state before the first target position; nothing is cached."""
        assert batch.source is not None and batch.target is not None
        return self.start(batch.source, batch.target.mask.shape[0], 0)

    def _output(self, decoded: Decoded) -> Output:
        """Token scores at every position, and what the decoder has to tell beside."""
        alignment = Alignment(lambda: self.decoder.attention(decoded), decoded.source)
        return Output({"tokens": self.head(decoded.hidden, alignment)}, decoded.extras)

    def _scores(self, decoded: Decoded, rows: Tensor | slice, positions: Tensor | int) -> StepScores:
        """Scores of what follows one position of each of some rows."""

        def weights() -> Tensor | None:
            found = self.decoder.attention(decoded)
            return None if found is None else found[rows, positions]

        alignment = Alignment(weights, None if decoded.source is None else decoded.source[rows])
        return self.head.step(decoded.hidden[rows, positions], alignment)


def _joined(steps: Sequence[Decoded]) -> Decoded:
    """Consecutive pieces as if they had been decoded at once."""
    extras = {name: torch.cat([step.extras[name] for step in steps], 1) for name in steps[0].extras}
    return Decoded(torch.cat([step.hidden for step in steps], 1), steps[-1].state, extras, steps[-1].source)


class EncoderDecoderConfig(Config):
    """Which encoder, which decoder, and what they share."""

    kind: Literal["encoder_decoder"] = "encoder_decoder"
    embedding: int = Field(ge=1, le=65536)
    scaled_embedding: bool = False  # times sqrt(embedding)
    # One table for source, target and output; for the last two; for the first two; none.
    tied: Literal["all", "target", "inputs", "none"] = "none"
    output_bias: bool = False
    scaled_output: bool = False  # hidden vectors times embedding ** -0.5 before the output product, as in T5
    start: Start = "own"  # how weights start: each part its own way, or by the name of a paper
    uniform_init: float | None = Field(None, gt=0.0, le=1.0)  # every weight uniform in [-x, x]; None: each its own way
    copying: bool = False  # words of the source may be pointed at instead of written (See et al. 2017)
    encoder: EncoderConfig
    decoder: DecoderConfig

    @model_validator(mode="after")
    def _parts_fit(self) -> EncoderDecoderConfig:
        for name, part in (("encoder", self.encoder), ("decoder", self.decoder)):
            if part.kind == "transformer" and part.width != self.embedding:
                raise ValueError(f"embedding {self.embedding} is not the width of the {name}, {part.width}")
        if self.tied in ("all", "target") and self.decoder.output_width != self.embedding:
            raise ValueError(
                f"tied {self.tied!r} needs a decoder as wide as the embedding: "
                f"{self.decoder.output_width} is not {self.embedding}; widen the embedding or set tied: none"
            )
        if self.decoder.kind != "transformer":
            if self.encoder.kind == "transformer":
                raise ValueError(f"a {self.decoder.kind} decoder starts from a recurrent encoder's last state")
            if self.decoder.bridge.kind == "backward" and not self.encoder.has_backward_half:
                raise ValueError(
                    "bridge {kind: backward} needs an encoder whose last layer reads both ways: "
                    "bidirectional: all, merge: concatenation"
                )
            if self.decoder.bridge.kind == "last" and self.encoder.cell.parts != self.decoder.cell.parts:
                raise ValueError(
                    f"{self.decoder.cell.kind} cells cannot start from the last state of {self.encoder.cell.kind} "
                    "cells: only an LSTM's has a cell beside the output; use bridge {kind: projected}"
                )
        if self.copying and self.scaled_output:
            raise ValueError("a copying head is not scaled; set scaled_output: false")
        if self.copying and not self.decoder.attends:
            raise ValueError(f"copying points at words by attention, which a {self.decoder.kind} decoder does not have")
        self.decoder.check(self.encoder.sizes)
        return self

    def build(self, source_vocabulary: int, target_vocabulary: int) -> EncoderDecoder:
        """The model with fresh weights, for vocabularies of these sizes (equal and joint where all is tied)."""
        if source_vocabulary != target_vocabulary and (self.copying or self.tied in ("all", "inputs")):
            why = "copying" if self.copying else f"tied {self.tied!r}"
            raise ValueError(f"{why} needs one vocabulary: {source_vocabulary} is not {target_vocabulary}")
        target = TokenEmbedding(target_vocabulary, self.embedding, scaled=self.scaled_embedding)
        source = target
        if self.tied not in ("all", "inputs"):
            source = TokenEmbedding(source_vocabulary, self.embedding, scaled=self.scaled_embedding)
        encoder = self.encoder.build(source)
        decoder = self.decoder.build(target, encoder.sizes)
        tied = target.weight if self.tied in ("all", "target") else None
        head = TokenHead(decoder.width, target_vocabulary, tied=tied, bias=self.output_bias)
        if self.copying:
            model = EncoderDecoder(encoder, CopyingDecoder(decoder, target), CopyHead(head, decoder.width))
        else:
            scaled = ScaledHead(head, self.embedding**-0.5) if self.scaled_output else head
            model = EncoderDecoder(encoder, decoder, scaled)
        start_weights(model, self.start)
        if self.uniform_init is not None:
            uniform_everywhere(model, self.uniform_init)
        return model
