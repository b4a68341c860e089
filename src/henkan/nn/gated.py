"""The gated feed-forward network (Dauphin et al. 2017; Shazeer 2020)."""

from torch import Tensor, nn

from henkan.nn.dropout import Dropout
from henkan.nn.feedforward import ACTIVATIONS, Activation
from henkan.nn.init import glorot_uniform


class GatedFeedForward(nn.Module):
    """W2 dropout(activation(W1 x) * V x): one half says what, the other how much of it passes.

    Interchangeable with :class:`henkan.nn.feedforward.FeedForward`. T5 1.1 has it with a GELU and without biases.
    """

    def __init__(self, width: int, inner: int, activation: Activation, dropout: float = 0.0, *, bias: bool = True):
        super().__init__()
        self.gate = nn.Linear(width, inner, bias=bias)
        self.inner = nn.Linear(width, inner, bias=bias)
        self.outer = nn.Linear(inner, width, bias=bias)
        self.activation = ACTIVATIONS[activation]
        self.dropout = Dropout(dropout)
        for linear in (self.gate, self.inner, self.outer):
            glorot_uniform(linear.weight)
            if bias:
                nn.init.zeros_(linear.bias)

    def forward(self, vectors: Tensor) -> Tensor:
        """(..., D) to (..., D)."""
        return self.outer(self.dropout(self.activation(self.gate(vectors)) * self.inner(vectors)))
