"""The position-wise feed-forward network."""

from collections.abc import Callable
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from henkan.nn.dropout import Dropout
from henkan.nn.gelu import gelu_tanh
from henkan.nn.init import glorot_uniform

Activation = Literal["relu", "gelu", "gelu_tanh", "silu"]

ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "relu": functional.relu,
    "gelu": functional.gelu,
    "gelu_tanh": gelu_tanh,  # GPT-2's and T5 1.1's
    "silu": functional.silu,
}


class FeedForward(nn.Module):
    """W2 dropout(activation(W1 x + b1)) + b2 (Vaswani et al. 2017, equation 2)."""

    def __init__(
        self, width: int, inner: int, activation: Activation = "relu", dropout: float = 0.0, *, bias: bool = True
    ) -> None:
        super().__init__()
        self.inner = nn.Linear(width, inner, bias=bias)
        self.outer = nn.Linear(inner, width, bias=bias)
        self.activation = ACTIVATIONS[activation]
        self.dropout = Dropout(dropout)
        for linear in (self.inner, self.outer):
            glorot_uniform(linear.weight)
            if bias:
                nn.init.zeros_(linear.bias)

    def forward(self, vectors: Tensor) -> Tensor:
        """(..., D) to (..., D)."""
        return self.outer(self.dropout(self.activation(self.inner(vectors))))
