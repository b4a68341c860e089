"""A head that reads hidden vectors times a number."""

from torch import Tensor, nn

from henkan.nn.heads import Alignment, Head
from henkan.tensors import StepScores, TokenScores


class ScaledHead(nn.Module):
    """T5 with tied tables scores hidden vectors times D ** -0.5, where the 2017 model has embeddings times D ** 0.5."""

    def __init__(self, head: Head, scale: float) -> None:
        super().__init__()
        self.head = head
        self.scale = scale

    @property
    def weight(self) -> nn.Parameter:
        """(V, D), which may be an embedding's."""
        return self.head.weight

    def forward(self, hidden: Tensor, alignment: Alignment) -> TokenScores:
        """Hidden (N, T, D)."""
        return self.head(hidden * self.scale, alignment)

    def step(self, hidden: Tensor, alignment: Alignment) -> StepScores:
        """Hidden (N, D) of one step."""
        return self.head.step(hidden * self.scale, alignment)
