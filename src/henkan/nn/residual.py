"""A sublayer with its residual connection; the absent norm is an identity, not a flag."""

from collections.abc import Callable
from typing import Literal

from torch import Tensor, nn

from henkan.nn.dropout import Dropout

Norm = Literal["pre", "post"]


class Residual(nn.Module):
    """after(x + dropout(sublayer(before(x)))).

    Post-norm (Vaswani et al. 2017) has its norm after the sum, pre-norm before the sublayer.
    """

    def __init__(self, width: int, norm: Norm, dropout: float, make: Callable[[int], nn.Module] = nn.LayerNorm) -> None:
        """``make``: a new norm of this width."""
        super().__init__()
        self.before = make(width) if norm == "pre" else nn.Identity()
        self.after = make(width) if norm == "post" else nn.Identity()
        self.dropout = Dropout(dropout)

    def join(self, vectors: Tensor, found: Tensor) -> Tensor:
        """What the sublayer found, (..., D), joined to its input; for sublayers that return more than vectors."""
        return self.after(self.dropout.added(vectors, found))

    def forward(self, vectors: Tensor, sublayer: Callable[[Tensor], Tensor]) -> Tensor:
        """Vectors (..., D), and a function of (..., D)."""
        return self.join(vectors, sublayer(self.before(vectors)))
