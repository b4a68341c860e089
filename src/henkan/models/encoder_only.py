"""An encoder with heads: BERT and those after it read a text, and what is said of it is a head's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator
from torch import Tensor, nn

from henkan.config import Config
from henkan.encoders.transformer import TransformerEncoder, TransformerEncoderConfig, TransformerEncoderLayer
from henkan.nn.disentangled import Distances
from henkan.nn.embeddings import TokenEmbedding
from henkan.nn.mask_decoder import DecodingHead
from henkan.nn.pooling import FirstPoolerConfig, PoolerConfig
from henkan.nn.read_places import places_read
from henkan.nn.starts import Start, start_weights
from henkan.nn.text_heads import HeadConfig, MaskedHeadConfig
from henkan.tensors import Batch, Features, Memory, Output, Tokens, TokenScores


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
        source, heads = batch.source, list(self.heads.named_children())
        assert isinstance(source, Tokens)
        read = None
        if self.training:  # afterwards somebody may ask for what was not announced
            pooling: list[tuple[Any, Tensor | None]] = [(self.pooler, None)]
            read = places_read(source, pooling + [(head, batch.labels.get(name)) for name, head in heads])
        memory = self.encode(source) if read is None else self.encoder(source, read)
        pooled = self.pooler(memory)
        return Output({name: head(memory, pooled) for name, head in heads}, {"pooled": pooled})

    def encode(self, source: Features) -> Memory:
        """A vector for each token."""
        return self.encoder(source)


class MaskDecodingEncoder(EncoderOnly):
    """An encoder whose last layer is asked again for what stood under the masks; see ``nn/mask_decoder.py``.

    The last layer reads the text as in :class:`EncoderOnly` only where another head wants what it says.
    """

    def forward(self, batch: Batch) -> Output:
        """As :meth:`EncoderOnly.forward`; ``pooled`` is there only where there is another head."""
        source = batch.source
        assert isinstance(source, Tokens)
        vectors, bias = self.encoder.below(source)
        last = self.encoder.layers[-1]
        assert isinstance(bias, Distances) and isinstance(last, TransformerEncoderLayer)
        said: dict[str, Tensor | TokenScores] = {}
        others: dict[str, nn.Module] = {}
        for name, head in self.heads.named_children():
            if isinstance(head, DecodingHead):
                said[name] = head.decoded(vectors, bias, last, self.encoder.finish, source.mask)
            else:
                others[name] = head
        if not others:
            return Output(said)
        memory = self.encoder.above(last(vectors, bias), source)
        pooled = self.pooler(memory)
        return Output(said | {name: head(memory, pooled) for name, head in others.items()}, {"pooled": pooled})


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

    @model_validator(mode="after")
    def _mask_decoders_have_distances(self) -> Self:
        decoding = [name for name, head in self.heads.items() if isinstance(head, MaskedHeadConfig) and head.decoder]
        if decoding and self.encoder.positions.kind != "disentangled":
            raise ValueError(
                f"heads.{decoding[0]}.decoder: a mask decoder adds places to attention over distances; set "
                "encoder.positions.kind: disentangled, or leave the decoder out"
            )
        return self

    def build(self, vocabulary: int) -> EncoderOnly:
        """The model with fresh weights."""
        embedding = TokenEmbedding(vocabulary, self.encoder.width, scaled=self.scaled_embedding)
        encoder = self.encoder.build(embedding)
        heads = {name: head.build(self.encoder.width, embedding.weight) for name, head in self.heads.items()}
        kind = MaskDecodingEncoder if any(isinstance(head, DecodingHead) for head in heads.values()) else EncoderOnly
        model = kind(encoder, self.pooler.build(self.encoder.width), heads)
        start_weights(model, self.start)
        return model
