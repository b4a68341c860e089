"""What stood under the masks: BERT's output layer (Devlin et al. 2019)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from henkan.nn.feedforward import ACTIVATIONS, Activation
from henkan.nn.heads import LinearTokenScores, TokenHead
from henkan.nn.init import glorot_uniform
from henkan.tensors import IGNORE, Memory


@dataclass(frozen=True)
class TransformedTokenScores:
    """:class:`henkan.nn.heads.LinearTokenScores` of vectors that are transformed first, where that is wanted at all."""

    hidden: Tensor  # (N, T, D)
    transform: Callable[[Tensor], Tensor]  # (..., D) to (..., D)
    weight: Tensor  # (V, D)
    bias: Tensor | None  # (V,)

    def logits(self) -> Tensor:
        """(N, T, V)."""
        return self._scores(self.hidden).logits()

    def loss(self, labels: Tensor, smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
        """See :meth:`henkan.tensors.TokenScores.loss`."""
        if labels.device.type != "cpu":  # to ask which are wanted would make the accelerator wait
            return self._scores(self.hidden).loss(labels, smoothing)
        wanted = (labels != IGNORE).flatten().nonzero()[:, 0]  # one in seven
        hidden = self.hidden.flatten(0, 1).index_select(0, wanted)
        loss, chosen = self._scores(hidden[None]).loss(labels.flatten().index_select(0, wanted)[None], smoothing)
        log_probs = chosen.new_zeros(labels.numel()).index_copy_(0, wanted, chosen[0])
        return loss, log_probs.view(labels.shape)

    def _scores(self, hidden: Tensor) -> LinearTokenScores:
        return LinearTokenScores(self.transform(hidden), self.weight, self.bias)


class MaskedHead(nn.Module):
    """norm(activation(W x + b)), then an output matrix with a bias, tied to the embedding where that is given."""

    def __init__(
        self,
        width: int,
        vocabulary: int,
        norm: nn.Module,
        *,
        activation: Activation = "gelu",
        tied: nn.Parameter | None = None,
    ) -> None:
        super().__init__()
        self.dense = nn.Linear(width, width)
        self.activation = ACTIVATIONS[activation]
        self.norm = norm
        self.output = TokenHead(width, vocabulary, tied=tied, bias=True)
        glorot_uniform(self.dense.weight)
        nn.init.zeros_(self.dense.bias)

    def reads(self, mask: Tensor, labels: Tensor | None) -> Tensor | None:
        """See :func:`henkan.nn.read_places.places_read`."""
        return None if labels is None else labels != IGNORE

    def forward(self, memory: Memory, pooled: Tensor | None) -> TransformedTokenScores:
        """Scores of a token at every position of (N, S, D)."""
        return TransformedTokenScores(memory.states, self.transform, self.output.weight, self.output.bias)

    def transform(self, hidden: Tensor) -> Tensor:
        """(..., D) to (..., D)."""
        return self.norm(self.activation(self.dense(hidden)))
