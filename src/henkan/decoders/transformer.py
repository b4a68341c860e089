"""The Transformer's decoder (Vaswani et al. 2017, section 3.1): one call for a whole target, a prompt or a step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

import torch
from pydantic import model_validator
from torch import Tensor, nn

from henkan.nn.biases import MaskAlone
from henkan.nn.cache import Cache, GrowingCache, empty_cache
from henkan.nn.dropout import Dropout
from henkan.nn.embeddings import TokenEmbedding
from henkan.nn.grouped import GroupedSourceAttention
from henkan.nn.multihead import SourceAttention, SourceKeys, score_bias
from henkan.nn.residual import Residual
from henkan.nn.transformer import Bias, TransformerSizes
from henkan.nn.varlen import Within
from henkan.tensors import Decoded, Frames, Memory, Sentences, State, Tokens


@dataclass(frozen=True)
class Source:
    """What does not change while decoding; one row for each source."""

    bias: Tensor | Sentences  # (sources, 1, 1, S), or where the sentences of a packed row are
    layers: tuple[SourceKeys, ...]


@dataclass(frozen=True)
class Past:
    """What changes; one row for each hypothesis."""

    read: Tensor  # (R,) int64: real tokens read so far, which is the position of the next one
    mask: GrowingCache  # (R, slots) bool
    layers: tuple[Cache, ...]  # (R, slots, 2, H, E) each


class TransformerDecoderLayer(nn.Module):
    """Self-attention, source attention, feed-forward, each with its residual."""

    def __init__(
        self,
        attention: nn.Module,
        source_attention: SourceAttention | GroupedSourceAttention,
        feed_forward: nn.Module,
        around: tuple[Residual, Residual, Residual],
    ) -> None:
        super().__init__()
        self.attention = attention
        self.source_attention = source_attention
        self.feed_forward = feed_forward
        self.around_attention, self.around_source_attention, self.around_feed_forward = around

    def forward(
        self,
        vectors: Tensor,
        bias: Bias,
        cache: Cache,
        source: SourceKeys,
        source_bias: Tensor | Within,
    ) -> tuple[Tensor, Cache, Tensor]:
        """Vectors (R, T, D) to (R, T, D), the cache with these positions in it, and what asked the source (R, T, D)."""
        context, cache = self.attention(self.around_attention.before(vectors), bias, cache)
        vectors = self.around_attention.join(vectors, context)
        asking = self.around_source_attention.before(vectors)
        vectors = self.around_source_attention.join(vectors, self.source_attention(asking, source, source_bias))
        return self.around_feed_forward(vectors, self.feed_forward), cache, asking


class TransformerDecoder(nn.Module):
    """Embeddings, positions, layers, and a last norm where the layers are pre-norm."""

    def __init__(
        self,
        embedding: TokenEmbedding,
        positions: nn.Module,
        layers: list[TransformerDecoderLayer],
        last_norm: nn.Module,
        dropout: float,
        *,
        first_norm: nn.Module,
        terms: nn.Module,
        last_dropout: float = 0.0,
    ) -> None:
        """``terms``: see ``nn/biases.py``. What is absent is a part that does nothing."""
        super().__init__()
        self.width = embedding.width
        self.embedding = embedding
        self.positions = positions
        self.first_norm = first_norm
        self.terms = terms
        self.layers = nn.ModuleList(layers)
        self._source_attentions = [layer.source_attention for layer in layers]
        self.last_norm = last_norm
        self.dropout = Dropout(dropout)
        self.last_dropout = Dropout(last_dropout)
        self.aligning = max(0, len(layers) - 2)  # the last but one aligns best (Garg et al. 2019)

    @property
    def packs(self) -> bool:
        """Whether it reads packed rows, which terms of places cannot do."""
        return isinstance(self.terms, MaskAlone)

    def start(self, memory: Memory | None, rows: int, capacity: int = 0) -> State:
        """The state before the first token; keys and values of the source are projected here, once."""
        assert memory is not None, "this decoder attends to a source"
        source = Source(
            score_bias(memory.mask[:, None], memory.states.dtype) if memory.sentences is None else memory.sentences,
            tuple(part.project(memory.states) for part in self._source_attentions),
        )
        read = torch.zeros(rows, dtype=torch.int64, device=memory.mask.device)
        return State(source, Past(read, GrowingCache(), tuple(empty_cache(capacity) for _ in self.layers)))

    def forward(self, inputs: Tokens | Frames, state: State) -> Decoded:
        """Tokens (R, T) after what the state has read, to hidden vectors (R, T, D)."""
        assert isinstance(inputs, Tokens)
        source, past = state.fixed, state.moving
        mask = past.mask.append(inputs.mask)
        read = inputs.mask.cumsum(1) + past.read[:, None]
        positions, limit, source_bias = (read - 1).clamp_(min=0), mask.slots, source.bias
        visible: Tensor | Within
        if inputs.sentences is None:
            visible = score_bias(causal(mask.filled, inputs.ids.shape[1]), self.embedding.weight.dtype)
        else:
            positions, limit = inputs.positions(), inputs.longest
            visible = Within(inputs.sentences, inputs.sentences, causal=True)
            source_bias = Within(inputs.sentences, source.bias)
        bias = self.terms(visible, mask.filled, inputs.ids.shape[1])
        vectors = self.dropout(self.first_norm(self.positions(self.embedding(inputs.ids), positions, limit)))
        caches: list[Cache] = []
        asking: dict[str, Tensor] = {}
        for number, (layer, cache, keys) in enumerate(zip(self.layers, past.layers, source.layers, strict=True)):
            vectors, grown, asked = layer(vectors, bias, cache, keys, source_bias)
            caches.append(grown)
            if number == self.aligning:
                asking = {"asking": asked}
        moved = Past(read[:, -1], mask, tuple(caches))
        return Decoded(self.last_dropout(self.last_norm(vectors)), State(source, moved, state.width), asking)

    def attention(self, decoded: Decoded) -> Tensor:
        """Weights over the source, (R, T, S): the mean over the heads of one layer, computed only when asked for."""
        source = decoded.state.fixed
        if isinstance(source.bias, Sentences):
            raise ValueError("the weights of a packed row are never made; decode the sentences padded")
        return self._source_attentions[self.aligning].weights(
            decoded.extras["asking"], source.layers[self.aligning], source.bias
        )


def causal(mask: Tensor, length: int) -> Tensor:
    """Whom the last ``length`` of the positions in ``mask`` (R, slots) may see: the real ones up to themselves.

    Returns:
        (R, length or 1, slots) bool.
    """
    slots = mask.shape[1]
    visible = mask[:, None]
    if length == 1:
        return visible
    order = torch.arange(slots, device=mask.device)
    return visible & (order[None] <= order[slots - length :, None])


class TransformerDecoderConfig(TransformerSizes):
    """The decoder of Vaswani et al. (2017), and of the families after it."""

    kind: Literal["transformer"] = "transformer"

    @property
    def attends(self) -> bool:
        """Whether it looks at the source while it decodes."""
        return True

    @property
    def output_width(self) -> int:
        """D of the hidden vectors."""
        return self.width

    @model_validator(mode="after")
    def _sees_one_side(self) -> Self:
        self.check_one_sided()
        return self

    def check(self, encoder_sizes: tuple[int, ...]) -> None:
        """Any encoder will do."""

    def build(self, embedding: TokenEmbedding, encoder_sizes: tuple[int, ...]) -> TransformerDecoder:
        """The decoder over an embedding of this width, after an encoder whose layers have these widths."""
        layers = [
            TransformerDecoderLayer(
                self.self_attention(),
                self.source_attention(encoder_sizes[-1]),
                self.inner_network(),
                (self.residual(), self.residual(), self.residual()),
            )
            for _ in range(self.layers)
        ]
        return TransformerDecoder(
            embedding,
            self.input_positions(),
            layers,
            self.last_norm(),
            self.dropout,
            first_norm=self.first_norm(),
            terms=self.score_terms(two_sided=False),
            last_dropout=self.last_dropout,
        )
