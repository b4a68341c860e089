"""How weights start, by the name of the paper or of its author.

Every function fills tensors in place and draws from torch's default generator.
"""

import torch
from torch import Tensor, nn


def glorot_uniform(weight: Tensor, blocks: int = 1) -> None:
    """Glorot & Bengio (2010): uniform with variance 2 / (fan in + fan out).

    Args:
        weight: (outputs, inputs).
        blocks: how many equal matrices are stacked along the outputs (3 for fused queries, keys and values);
            each gets its own fan out.
    """
    for block in weight.chunk(blocks, 0):
        nn.init.xavier_uniform_(block)


def embedding_normal(weight: Tensor) -> None:
    """Normal with deviation D ** -0.5, so that a tied output product starts at unit scale (Vaswani et al. 2017)."""
    nn.init.normal_(weight, std=weight.shape[1] ** -0.5)


def orthogonal_blocks(weight: Tensor, blocks: int) -> None:
    """Orthogonal recurrence (Saxe et al. 2014), one orthogonal matrix for each gate."""
    with torch.no_grad():
        for block in weight.chunk(blocks, 0):
            nn.init.orthogonal_(block)


def uniform_everywhere(module: nn.Module, bound: float) -> None:
    """Every parameter uniform in [-bound, bound]; 0.08 in Sutskever et al. (2014)."""
    for parameter in module.parameters():
        nn.init.uniform_(parameter, -bound, bound)
