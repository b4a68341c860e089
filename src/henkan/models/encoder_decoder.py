"""An encoder, a decoder and a token head: every translator of the line is an assembly of these three."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from henkan.config import Config
from henkan.decoders import DecoderConfig
from henkan.encoders import EncoderConfig
from henkan.nn.embeddings import TokenEmbedding
from henkan.nn.heads import LinearStepScores, TokenHead
from henkan.nn.init import uniform_everywhere
from henkan.tensors import Batch, Decoded, Decoder, Encoder, Features, Memory, Output, State, Tokens


class EncoderDecoder(nn.Module):
    """Source to Memory, target to hidden vectors, hidden vectors to token scores."""

    def __init__(self, encoder: Encoder, decoder: Decoder, head: TokenHead) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.head = head

    def forward(self, batch: Batch) -> Output:
        """Teacher forcing: the decoder reads the whole target, already shifted."""
        assert batch.source is not None and batch.target is not None
        state = self.decoder.start(self.encode(batch.source), batch.target.mask.shape[0])
        return Output({"tokens": self.head(self.decoder(batch.target, state).hidden)})

    def encode(self, source: Features) -> Memory:
        """What the decoder will attend to."""
        return self.encoder(source)

    def start(self, source: Features | None, rows: int, capacity: int) -> State:
        """The state before the first token, for ``rows`` sources; see :class:`henkan.decode.stepper.Stepper`."""
        return self.decoder.start(None if source is None else self.encode(source), rows, capacity)

    def step(self, inputs: Tokens, state: State) -> tuple[LinearStepScores, State]:
        """Scores of what follows each row's last real token in inputs (R, T)."""
        decoded = self.decoder(inputs, state)
        if inputs.ids.shape[1] == 1:
            scores = self.head.step(decoded.hidden[:, 0], lambda: self._attention(decoded, slice(None), 0))
            return scores, decoded.state
        rows = torch.arange(inputs.ids.shape[0], device=inputs.ids.device)
        last = (inputs.mask.sum(1) - 1).clamp(min=0)
        scores = self.head.step(decoded.hidden[rows, last], lambda: self._attention(decoded, rows, last))
        return scores, decoded.state

    def _attention(self, decoded: Decoded, rows: Tensor | slice, positions: Tensor | int) -> Tensor | None:
        """(R, S): the weights over the source at one position of each row."""
        weights = self.decoder.attention(decoded)
        return None if weights is None else weights[rows, positions]


class EncoderDecoderConfig(Config):
    """Which encoder, which decoder, and what they share."""

    kind: Literal["encoder_decoder"] = "encoder_decoder"
    embedding: int = Field(ge=1, le=65536)
    scaled_embedding: bool = False  # times sqrt(embedding)
    tied: Literal["all", "target", "none"] = (
        "none"  # one table for source, target and output; for the last two; for none
    )
    uniform_init: float | None = Field(
        None, gt=0.0, le=1.0
    )  # every weight uniform in [-x, x]; None: each part its own way
    encoder: EncoderConfig
    decoder: DecoderConfig

    @model_validator(mode="after")
    def _parts_fit(self) -> EncoderDecoderConfig:
        for name, part in (("encoder", self.encoder), ("decoder", self.decoder)):
            if part.kind == "transformer" and part.width != self.embedding:
                raise ValueError(f"embedding {self.embedding} is not the width of the {name}, {part.width}")
        if self.tied != "none" and self.decoder.output_width != self.embedding:
            raise ValueError(
                f"tied {self.tied!r} needs a decoder as wide as the embedding: "
                f"{self.decoder.output_width} is not {self.embedding}; widen the embedding or set tied: none"
            )
        if self.decoder.kind != "transformer":
            if self.encoder.kind == "transformer":
                raise ValueError(f"a {self.decoder.kind} decoder starts from a recurrent encoder's last state")
            if self.decoder.bridge.kind == "backward" and not self.encoder.bidirectional:
                raise ValueError("bridge {kind: backward} needs an encoder with bidirectional: true")
        self.decoder.check(self.encoder.sizes)
        return self

    def build(self, source_vocabulary: int, target_vocabulary: int) -> EncoderDecoder:
        """The model with fresh weights, for vocabularies of these sizes (equal and joint where all is tied)."""
        target = TokenEmbedding(target_vocabulary, self.embedding, scaled=self.scaled_embedding)
        if self.tied == "all":
            if source_vocabulary != target_vocabulary:
                raise ValueError(f"tied 'all' needs one vocabulary: {source_vocabulary} is not {target_vocabulary}")
            source = target
        else:
            source = TokenEmbedding(source_vocabulary, self.embedding, scaled=self.scaled_embedding)
        encoder = self.encoder.build(source)
        decoder = self.decoder.build(target, encoder.sizes)
        tied = None if self.tied == "none" else target.weight
        model = EncoderDecoder(encoder, decoder, TokenHead(decoder.width, target_vocabulary, tied=tied))
        if self.uniform_init is not None:
            uniform_everywhere(model, self.uniform_init)
        return model
