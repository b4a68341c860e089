"""A causal decoder and a token head: GPT and those after it continue a text."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from henkan.config import Config
from henkan.decoders.causal import CausalDecoder, CausalDecoderConfig
from henkan.nn.embeddings import TokenEmbedding
from henkan.nn.heads import Alignment, Head, TokenHead
from henkan.nn.starts import Start, start_weights
from henkan.tensors import Batch, Features, Output, State, StepScores, Tokens

_NOWHERE = Alignment(lambda: None)


class DecoderOnly(nn.Module):
    """Target to hidden vectors, hidden vectors to token scores; what others have as source stands in the target."""

    def __init__(self, decoder: CausalDecoder, head: Head) -> None:
        super().__init__()
        self.decoder = decoder
        self.head = head

    def forward(self, batch: Batch) -> Output:
        """Teacher forcing: the decoder reads the whole target, already shifted."""
        assert isinstance(batch.target, Tokens) and batch.source is None, "a text to continue is the target"
        decoded = self.decoder(batch.target, self.start(None, len(batch.target.ids), 0))
        return Output({"tokens": self.head(decoded.hidden, _NOWHERE)}, decoded.extras)

    def start(self, source: Features | None, rows: int, capacity: int) -> State:
        """The state before the first token; see :class:`henkan.decode.stepper.Stepper`."""
        assert source is None, "a text to continue is the prefix"
        return self.decoder.start(None, rows, capacity)

    def step(self, inputs: Tokens, state: State) -> tuple[StepScores, State]:
        """Scores of what follows each row's last real token in inputs (R, T)."""
        decoded = self.decoder(inputs, state)
        rows: Tensor = torch.arange(inputs.ids.shape[0], device=inputs.ids.device)
        last = (inputs.mask.sum(1) - 1).clamp(min=0)
        hidden = decoded.hidden[:, 0] if inputs.ids.shape[1] == 1 else decoded.hidden[rows, last]
        return self.head.step(hidden, _NOWHERE), decoded.state


class DecoderOnlyConfig(Config):
    """Which decoder, and whether its embedding is its output matrix too."""

    kind: Literal["decoder_only"] = "decoder_only"
    tied: bool = True
    scaled_embedding: bool = False  # times sqrt(width)
    output_bias: bool = False
    start: Start = "own"  # how weights start: each part its own way, or by the name of a paper
    decoder: CausalDecoderConfig

    def build(self, vocabulary: int) -> DecoderOnly:
        """The model with fresh weights."""
        width = self.decoder.width
        embedding = TokenEmbedding(vocabulary, width, scaled=self.scaled_embedding)
        tied = embedding.weight if self.tied else None
        decoder = self.decoder.build(embedding)
        model = DecoderOnly(decoder, TokenHead(width, vocabulary, tied=tied, bias=self.output_bias))
        start_weights(model, self.start)
        return model
