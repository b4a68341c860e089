"""An encoder with heads: BERT and those after it read a text, and what is said of it is a head's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, field_validator
from torch import nn

from henkan.config import Config
from henkan.encoders.transformer import TransformerEncoder, TransformerEncoderConfig
from henkan.nn.embeddings import TokenEmbedding
from henkan.nn.pooling import FirstPoolerConfig, PoolerConfig
from henkan.nn.starts import Start, start_weights
from henkan.nn.text_heads import HeadConfig
from henkan.tensors import Batch, Features, Memory, Output


class EncoderOnly(nn.Module):
    """Source to Memory, Memory to one vector for each text, both to every head."""

    def __init__(self, encoder: TransformerEncoder, pooler: nn.Module, heads: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.encoder = encoder
        self.pooler = pooler
        self.heads = nn.Module()  # not a ModuleDict, which allows no head called "values"
        for name, head in heads.items():
            self.heads.add_module(name, head)

    def forward(self, batch: Batch) -> Output:
        """What every head says of the source; ``pooled`` (N, D) is among the extras."""
        assert batch.source is not None
        memory = self.encode(batch.source)
        pooled = self.pooler(memory)
        return Output({name: head(memory, pooled) for name, head in self.heads.named_children()}, {"pooled": pooled})

    def encode(self, source: Features) -> Memory:
        """A vector for each token."""
        return self.encoder(source)


class EncoderOnlyConfig(Config):
    """Which encoder, and what is said of what it read."""

    kind: Literal["encoder_only"] = "encoder_only"
    scaled_embedding: bool = False  # times sqrt(width)
    start: Start = "own"  # how weights start: each part its own way, or by the name of a paper
    encoder: TransformerEncoderConfig
    pooler: PoolerConfig = FirstPoolerConfig()
    heads: dict[str, HeadConfig] = Field({}, max_length=64)  # by the name of labels and of units

    @field_validator("heads")
    @classmethod
    def _names_are_words(cls, heads: dict[str, HeadConfig]) -> dict[str, HeadConfig]:
        if wrong := [name for name in heads if not name.isidentifier()]:
            raise ValueError(f"head {wrong[0]!r}: a name is a word of letters, digits and _, not starting with a digit")
        return heads

    def build(self, vocabulary: int) -> EncoderOnly:
        """The model with fresh weights."""
        embedding = TokenEmbedding(vocabulary, self.encoder.width, scaled=self.scaled_embedding)
        encoder = self.encoder.build(embedding)
        heads = {name: head.build(self.encoder.width, embedding.weight) for name, head in self.heads.items()}
        model = EncoderOnly(encoder, self.pooler.build(self.encoder.width), heads)
        start_weights(model, self.start)
        return model
