"""The Transformer's encoder (Vaswani et al. 2017, section 3.1)."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from henkan.nn.dropout import Dropout
from henkan.nn.embeddings import TokenEmbedding
from henkan.nn.feedforward import FeedForward
from henkan.nn.multihead import SelfAttention, score_bias
from henkan.nn.positions import SinusoidalPositions
from henkan.nn.residual import Residual
from henkan.nn.transformer import TransformerSizes
from henkan.tensors import Features, Memory, Tokens


class TransformerEncoderLayer(nn.Module):
    """Self-attention, then feed-forward, each with its residual."""

    def __init__(self, attention: SelfAttention, feed_forward: FeedForward, around: tuple[Residual, Residual]) -> None:
        super().__init__()
        self.attention = attention
        self.feed_forward = feed_forward
        self.around_attention, self.around_feed_forward = around

    def forward(self, vectors: Tensor, bias: Tensor) -> Tensor:
        """Vectors (N, S, D), score bias (N, 1, 1, S), to (N, S, D)."""
        vectors = self.around_attention(vectors, lambda inner: self.attention(inner, bias)[0])
        return self.around_feed_forward(vectors, self.feed_forward)


class TransformerEncoder(nn.Module):
    """Embeddings, positions, layers, and a last norm where the layers are pre-norm."""

    def __init__(
        self,
        embedding: TokenEmbedding,
        positions: SinusoidalPositions,
        layers: list[TransformerEncoderLayer],
        last_norm: nn.Module,
        dropout: float,
    ) -> None:
        super().__init__()
        self.sizes = (embedding.width,)
        self.embedding = embedding
        self.positions = positions
        self.layers = nn.ModuleList(layers)
        self.last_norm = last_norm
        self.dropout = Dropout(dropout)

    def forward(self, source: Features) -> Memory:
        """Tokens (N, S) to a Memory of (N, S, D)."""
        assert isinstance(source, Tokens)
        positions = (source.mask.cumsum(1) - 1).clamp_(min=0)
        vectors = self.dropout(self.positions(self.embedding(source.ids), positions, source.ids.shape[1]))
        bias = score_bias(source.mask[:, None], vectors.dtype)
        for layer in self.layers:
            vectors = layer(vectors, bias)
        return Memory(self.last_norm(vectors), source.mask)


class TransformerEncoderConfig(TransformerSizes):
    """The encoder of Vaswani et al. (2017)."""

    kind: Literal["transformer"] = "transformer"

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
        return TransformerEncoder(embedding, SinusoidalPositions(self.width), layers, self.last_norm(), self.dropout)
