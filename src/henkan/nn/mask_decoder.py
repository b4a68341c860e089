"""DeBERTa's enhanced mask decoder (He et al. 2021, section 3.2): what stood under the masks, told with absolute places.

Attention over distances does not know where a text begins: of "a new store opened beside the new mall" it cannot tell
which of the two nouns is the subject. So places come in at the very end, where tokens are told, and nowhere else:

    I(0) = H + P                 H (N, S, D): what the encoder's last layer reads; P: a learnt vector for each place
    I(k) = last layer(I(k - 1), H)             k = 1 ... n, n = 2 in the paper, always with the same weights

I are the queries, and what the residual sum starts from; keys and values are those of H. The output layer reads I(n).
A query meets H and no other query, so only the positions that are told are computed. After pretraining this part is
gone, and the encoder's last layer reads H alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from henkan.nn.disentangled import DisentangledAttention, Distances
from henkan.nn.feedforward import Activation
from henkan.nn.heads import LinearTokenScores
from henkan.nn.masked_head import MaskedHead
from henkan.nn.positions import LearnedPositions
from henkan.nn.residual import Residual
from henkan.tensors import IGNORE


class AskedLayer(Protocol):
    """What is needed of an encoder's layer; see :class:`henkan.encoders.transformer.TransformerEncoderLayer`."""

    attention: Any  # a DisentangledAttention
    feed_forward: Any
    around_attention: Residual
    around_feed_forward: Residual


class MaskDecoder(nn.Module):
    """The equations above.

    Args:
        limit: places that have a vector.
        passes: n.
    """

    def __init__(self, width: int, limit: int, passes: int) -> None:
        super().__init__()
        self.positions = LearnedPositions(width, limit)
        self.passes = passes

    def forward(self, vectors: Tensor, distances: Distances, layer: AskedLayer, places: Tensor) -> Tensor:
        """I(n) at ``places`` (N, T) of what the layer reads, ``vectors`` (N, S, D): (N, T, D).

        Raises:
            DataError: a text is longer than ``limit``.
        """
        assert isinstance(layer.attention, DisentangledAttention)
        length, width = vectors.shape[1:]
        seen = layer.attention.met(layer.around_attention.before(vectors), distances.asked_at(places))
        asking = self.positions(vectors.gather(1, places[..., None].expand(-1, -1, width)), places, length)
        for _ in range(self.passes):
            asking = layer.around_attention(asking, lambda inner: layer.attention.look(inner, seen))
            asking = layer.around_feed_forward(asking, layer.feed_forward)
        return asking


@dataclass(frozen=True)
class DecodedTokenScores:
    """Scores of tokens (:class:`henkan.tensors.TokenScores`) at positions that are computed when they are asked for."""

    decode: Callable[[Tensor], Tensor]  # places (N, T) to (N, T, D)
    mask: Tensor  # (N, S) bool
    weight: Tensor  # (V, D)
    bias: Tensor | None  # (V,)

    def logits(self) -> Tensor:
        """(N, S, V)."""
        return self._scores(self._everywhere()).logits()

    def loss(self, labels: Tensor, smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
        """See :meth:`henkan.tensors.TokenScores.loss`."""
        if labels.device.type != "cpu":  # to ask how many are wanted would make the accelerator wait
            return self._scores(self._everywhere()).loss(labels, smoothing)
        wanted = labels != IGNORE
        most = max(1, int(wanted.sum(1).max()))  # rows with fewer have positions without a label among these
        places = wanted.byte().argsort(dim=1, descending=True, stable=True)[:, :most]
        loss, chosen = self._scores(places).loss(labels.gather(1, places), smoothing)
        return loss, chosen.new_zeros(labels.shape).scatter_(1, places, chosen)

    def _everywhere(self) -> Tensor:
        return torch.arange(self.mask.shape[1], device=self.mask.device).expand(self.mask.shape)

    def _scores(self, places: Tensor) -> LinearTokenScores:
        return LinearTokenScores(self.decode(places), self.weight, self.bias)


class DecodingHead(MaskedHead):
    """A masked head that reads what a mask decoder makes, in place of what the encoder returns."""

    def __init__(
        self,
        width: int,
        vocabulary: int,
        norm: nn.Module,
        decoder: MaskDecoder,
        *,
        activation: Activation = "gelu",
        tied: nn.Parameter | None = None,
    ) -> None:
        """See :class:`henkan.nn.masked_head.MaskedHead`."""
        super().__init__(width, vocabulary, norm, activation=activation, tied=tied)
        self.decoder = decoder

    def decoded(
        self,
        vectors: Tensor,
        distances: Distances,
        layer: AskedLayer,
        finish: Callable[[Tensor], Tensor],
        mask: Tensor,
    ) -> DecodedTokenScores:
        """Scores of a token at every position.

        Args:
            vectors, distances: what the encoder's last layer reads.
            layer: that layer.
            finish: what the encoder does with what its last layer returns.
            mask: (N, S) bool, where there is a token.
        """

        def decode(places: Tensor) -> Tensor:
            return self.transform(finish(self.decoder(vectors, distances, layer, places)))

        return DecodedTokenScores(decode, mask, self.output.weight, self.output.bias)
