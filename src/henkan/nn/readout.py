"""What stands between a recurrent decoder's state and its token head."""

import torch
from torch import Tensor, nn

from henkan.nn.init import glorot_uniform


class DeepOutput(nn.Module):
    """Maxout over pairs of U s + V y + C c (Bahdanau et al. 2015, appendix A.2.2; Pascanu et al. 2014)."""

    def __init__(self, state_width: int, embedding_width: int, context_width: int, size: int) -> None:
        super().__init__()
        self.width = size
        self.state = nn.Linear(state_width, 2 * size)
        self.embedding = nn.Linear(embedding_width, 2 * size, bias=False)
        self.context = nn.Linear(context_width, 2 * size, bias=False)
        for linear in (self.state, self.embedding, self.context):
            glorot_uniform(linear.weight)
        nn.init.zeros_(self.state.bias)

    def forward(self, states: Tensor, embedded: Tensor, contexts: Tensor) -> Tensor:
        """Three times (N, T, width of each) to (N, T, size)."""
        mixed = self.state(states) + self.embedding(embedded) + self.context(contexts)
        return mixed.unflatten(-1, (self.width, 2)).amax(-1)


class AttentionalVector(nn.Module):
    """tanh(W [c; h]) (Luong et al. 2015, equation 5)."""

    def __init__(self, context_width: int, hidden_width: int) -> None:
        super().__init__()
        self.mix = nn.Linear(context_width + hidden_width, hidden_width, bias=False)
        glorot_uniform(self.mix.weight)

    def forward(self, context: Tensor, hidden: Tensor) -> Tensor:
        """(..., C) and (..., D) to (..., D)."""
        return torch.tanh(self.mix(torch.cat([context, hidden], -1)))
