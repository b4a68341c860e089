"""The Transformer that only continues a text (Radford et al. 2018): a decoder without a source."""

from __future__ import annotations

from typing import Literal, Self

import torch
from pydantic import model_validator
from torch import Tensor, nn

from henkan.decoders.transformer import Past, causal
from henkan.nn.cache import Cache, GrowingCache, empty_cache
from henkan.nn.dropout import Dropout
from henkan.nn.embeddings import TokenEmbedding
from henkan.nn.multihead import score_bias
from henkan.nn.residual import Residual
from henkan.nn.transformer import Bias, TransformerSizes
from henkan.nn.varlen import Within
from henkan.tensors import Decoded, Frames, Memory, State, Tokens


class CausalLayer(nn.Module):
    """Self-attention with a cache, then feed-forward, each with its residual."""

    def __init__(self, attention: nn.Module, feed_forward: nn.Module, around: tuple[Residual, Residual]) -> None:
        super().__init__()
        self.attention = attention
        self.feed_forward = feed_forward
        self.around_attention, self.around_feed_forward = around

    def forward(self, vectors: Tensor, bias: Bias, cache: Cache) -> tuple[Tensor, Cache]:
        """Vectors (R, T, D) to (R, T, D), and the cache with these positions in it."""
        context, cache = self.attention(self.around_attention.before(vectors), bias, cache)
        vectors = self.around_attention.join(vectors, context)
        return self.around_feed_forward(vectors, self.feed_forward), cache


class CausalDecoder(nn.Module):
    """Embeddings, positions, layers, and a last norm where the layers are pre-norm. What is absent does nothing."""

    def __init__(
        self,
        embedding: TokenEmbedding,
        positions: nn.Module,
        layers: list[CausalLayer],
        last_norm: nn.Module,
        dropout: float,
        *,
        first_norm: nn.Module,
        terms: nn.Module,
        last_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.width = embedding.width
        self.embedding = embedding
        self.positions = positions
        self.first_norm = first_norm
        self.terms = terms
        self.layers = nn.ModuleList(layers)
        self.last_norm = last_norm
        self.dropout = Dropout(dropout)
        self.last_dropout = Dropout(last_dropout)

    def start(self, memory: Memory | None, rows: int, capacity: int = 0) -> State:
        """The state before the first token of ``rows`` texts."""
        assert memory is None, "this decoder has no source"
        read = torch.zeros(rows, dtype=torch.int64, device=self.embedding.weight.device)
        return State((), Past(read, GrowingCache(), tuple(empty_cache(capacity) for _ in self.layers)))

    def forward(self, inputs: Tokens | Frames, state: State) -> Decoded:
        """Tokens (R, T) after what the state has read, to hidden vectors (R, T, D)."""
        assert isinstance(inputs, Tokens)
        past = state.moving
        mask = past.mask.append(inputs.mask)
        read = inputs.mask.cumsum(1) + past.read[:, None]
        positions, limit = (read - 1).clamp_(min=0), mask.slots
        visible: Tensor | Within
        if inputs.sentences is None:
            visible = score_bias(causal(mask.filled, inputs.ids.shape[1]), self.embedding.weight.dtype)
        else:
            positions, limit = inputs.positions(), inputs.longest
            visible = Within(inputs.sentences, inputs.sentences, causal=True)
        bias = self.terms(visible, mask.filled, inputs.ids.shape[1])
        vectors = self.dropout(self.first_norm(self.positions(self.embedding(inputs.ids), positions, limit)))
        caches: list[Cache] = []
        for layer, cache in zip(self.layers, past.layers, strict=True):
            vectors, grown = layer(vectors, bias, cache)
            caches.append(grown)
        moved = Past(read[:, -1], mask, tuple(caches))
        return Decoded(self.last_dropout(self.last_norm(vectors)), State((), moved, state.width))

    def attention(self, decoded: Decoded) -> None:
        """There is no source to look at."""


class CausalDecoderConfig(TransformerSizes):
    """The Transformer of Radford et al. (2018, 2019), and of the families after it."""

    kind: Literal["causal"] = "causal"

    @model_validator(mode="after")
    def _sees_one_side(self) -> Self:
        self.check_one_sided()
        return self

    def build(self, embedding: TokenEmbedding) -> CausalDecoder:
        """The decoder over an embedding of this width."""
        layers = [
            CausalLayer(self.self_attention(), self.inner_network(), (self.residual(), self.residual()))
            for _ in range(self.layers)
        ]
        return CausalDecoder(
            embedding,
            self.input_positions(),
            layers,
            self.last_norm(),
            self.dropout,
            first_norm=self.first_norm(),
            terms=self.score_terms(two_sided=False),
            last_dropout=self.last_dropout,
        )
