"""The Transformer's encoder (Vaswani et al. 2017, section 3.1)."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from henkan.nn.biases import MaskAlone
from henkan.nn.dropout import Dropout
from henkan.nn.embeddings import TokenEmbedding
from henkan.nn.multihead import score_bias
from henkan.nn.residual import Residual
from henkan.nn.segments import NoSegments, SegmentEmbedding
from henkan.nn.transformer import Bias, TransformerSizes
from henkan.nn.varlen import Within
from henkan.tensors import Features, Memory, Tokens


class TransformerEncoderLayer(nn.Module):
    """Self-attention, then feed-forward, each with its residual."""

    def __init__(self, attention: nn.Module, feed_forward: nn.Module, around: tuple[Residual, Residual]) -> None:
        super().__init__()
        self.attention = attention
        self.feed_forward = feed_forward
        self.around_attention, self.around_feed_forward = around

    def forward(self, vectors: Tensor, bias: Bias) -> Tensor:
        """Vectors (N, S, D), score bias (N, 1, 1, S) or sentences of a packed row, to (N, S, D)."""
        return self.transform(self.attend(vectors, bias))

    def attend(self, vectors: Tensor, bias: Bias) -> Tensor:
        """The first half, in which positions see each other: (N, S, D) to (N, S, D)."""
        return self.around_attention(vectors, lambda inner: self.attention(inner, bias)[0])

    def transform(self, vectors: Tensor) -> Tensor:
        """The second half, in which they do not: (..., D) to (..., D)."""
        return self.around_feed_forward(vectors, self.feed_forward)


class TransformerEncoder(nn.Module):
    """Embeddings, positions, layers, and a last norm where the layers are pre-norm."""

    def __init__(
        self,
        embedding: TokenEmbedding,
        positions: nn.Module,
        layers: list[TransformerEncoderLayer],
        last_norm: nn.Module,
        dropout: float,
        *,
        segments: nn.Module,
        first_norm: nn.Module,
        terms: nn.Module,
        last_dropout: float = 0.0,
    ) -> None:
        """``segments``, ``terms``: see ``nn/segments.py``, ``nn/biases.py``. Absent ones do nothing."""
        super().__init__()
        self.sizes = (embedding.width,)
        self.embedding = embedding
        self.positions = positions
        self.segments = segments
        self.first_norm = first_norm
        self.terms = terms
        self.layers = nn.ModuleList(layers)
        self.last_norm = last_norm
        self.dropout = Dropout(dropout)
        self.last_dropout = Dropout(last_dropout)

    @property
    def packs(self) -> bool:
        """Whether it reads packed rows, which terms of places cannot do."""
        return isinstance(self.terms, MaskAlone)

    def forward(self, source: Features, read: Tensor | None = None) -> Memory:
        """Tokens (N, S) to a Memory of (N, S, D).

        Args:
            read: (K,) int64, the places among the N * S whose states somebody reads; the others are zeros, which saves
                most of the last layer. None: all.
        """
        vectors, bias = self.below(source)
        last = self.layers[-1]
        assert isinstance(last, TransformerEncoderLayer)
        if read is None:
            return self.above(last(vectors, bias), source)
        assert isinstance(source, Tokens)
        attended = last.attend(vectors, bias).flatten(0, 1)
        found = self.finish(last.transform(attended.index_select(0, read)))
        states = torch.zeros_like(attended).index_copy(0, read, found).view(vectors.shape)
        return Memory(states, source.mask, sentences=source.sentences)

    def below(self, source: Features) -> tuple[Tensor, Bias]:
        """What the last layer reads: vectors (N, S, D), and what attentions take beside them."""
        assert isinstance(source, Tokens)
        vectors = self.positions(self.embedding(source.ids), source.positions(), source.longest)
        vectors = self.dropout(self.first_norm(self.segments(vectors, source.segments)))
        sentences = source.sentences
        visible = score_bias(source.mask[:, None], vectors.dtype) if sentences is None else Within(sentences, sentences)
        bias = self.terms(visible, source.mask, source.mask.shape[1])
        for layer in list(self.layers)[:-1]:
            vectors = layer(vectors, bias)
        return vectors, bias

    def above(self, vectors: Tensor, source: Features) -> Memory:
        """The Memory of what the last layer returned."""
        assert isinstance(source, Tokens)
        return Memory(self.finish(vectors), source.mask, sentences=source.sentences)

    def finish(self, vectors: Tensor) -> Tensor:
        """What the last layer returned, (..., D), as others read it."""
        return self.last_dropout(self.last_norm(vectors))


class TransformerEncoderConfig(TransformerSizes):
    """The encoder of Vaswani et al. (2017), and of the families after it."""

    kind: Literal["transformer"] = "transformer"
    segments: int = Field(0, ge=0, le=1024)  # kinds of segments that have a vector; 0: none

    @property
    def sizes(self) -> tuple[int, ...]:
        """What a decoder must know: the width of the Memory."""
        return (self.width,)

    def build(self, embedding: TokenEmbedding) -> TransformerEncoder:
        """The encoder over an embedding of this width."""
        layers = [
            TransformerEncoderLayer(self.self_attention(), self.inner_network(), (self.residual(), self.residual()))
            for _ in range(self.layers)
        ]
        return TransformerEncoder(
            embedding,
            self.input_positions(),
            layers,
            self.last_norm(),
            self.dropout,
            segments=SegmentEmbedding(self.segments, self.width) if self.segments else NoSegments(),
            first_norm=self.first_norm(),
            terms=self.score_terms(two_sided=True),
            last_dropout=self.last_dropout,
        )
