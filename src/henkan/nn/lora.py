"""Low-rank adaptation (LoRA, Hu et al. 2022): a trained matrix W stays, and what it becomes is W + (alpha / rank) B A.

A is (rank, inputs) and starts at random, B is (outputs, rank) and starts at zero, so training starts from the model as
it was. Where one product makes several things, as a self-attention's queries, keys and values, one A serves them all.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from henkan.config import Config
from henkan.errors import ConfigError
from henkan.nn.dropout import Dropout

BODY = ("encoder", "decoder")
"""The parts of an assembly that are adapted; everything else is its heads, which learn as a whole."""

ATTENTION = ("attention", "source_attention")
"""What is adapted where nothing else is said, as published: all attention, that of a decoder over its source too."""


class LowRankConfig(Config):
    """Which products of the body are adapted, and by how much."""

    rank: Annotated[int, Field(ge=1, le=65536)] = 8
    alpha: Annotated[float, Field(gt=0.0)] = 16.0  # B A is multiplied by alpha / rank
    parts: Annotated[tuple[str, ...], Field(min_length=1)] | None = None  # as in names: feed_forward; None: ATTENTION
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0  # of what A reads


class LowRank(nn.Module):
    """Interchangeable with the linear part it is made from, whose weights no longer learn.

    Args:
        linear: it becomes a part of this one.
        generator: of the start of A, which is uniform in [-1, 1] / sqrt(inputs) as in the code of the paper.
    """

    def __init__(self, linear: nn.Linear, config: LowRankConfig, generator: torch.Generator) -> None:
        super().__init__()
        self.linear = linear.requires_grad_(False)
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.scale = config.alpha / config.rank
        self.dropout = Dropout(config.dropout)
        start = torch.rand(config.rank, linear.in_features, generator=generator)
        self.down = nn.Parameter(((2 * start - 1) * linear.in_features**-0.5).to(linear.weight))
        self.up = nn.Parameter(linear.weight.new_zeros(linear.out_features, config.rank))

    @property
    def weight(self) -> Tensor:
        """W + scale B A, for those who take the matrix without the part; there is no dropout in it."""
        return torch.addmm(self.linear.weight, self.up, self.down, alpha=self.scale)

    @property
    def bias(self) -> nn.Parameter | None:
        """As it was."""
        return self.linear.bias

    def forward(self, vectors: Tensor) -> Tensor:
        """(..., inputs) to (..., outputs)."""
        low = functional.linear(self.dropout(vectors), self.down)
        return self.linear(vectors) + functional.linear(low * self.scale, self.up)


def adapt(network: nn.Module, config: LowRankConfig, seed: int) -> None:
    """Wrap linear parts of the body, in place; of the body nothing learns but A and B.

    Args:
        seed: of the random start; the same on every process of a run.

    Raises:
        ConfigError: one of ``parts`` is in no name of a linear part of the body; says which is nearest.
    """
    generator = torch.Generator().manual_seed(seed)
    linears = {
        name: part
        for name, part in network.named_modules()
        if isinstance(part, nn.Linear) and name.partition(".")[0] in BODY
    }
    parts = config.parts or _attention(linears)
    for wanted in parts:
        if not any(_within(wanted, name) for name in linears):
            words = sorted({word for name in linears for word in name.split(".") if not word.isdecimal()})
            near = difflib.get_close_matches(wanted, words, n=1)
            hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(words) or 'none'}"
            raise ConfigError(f"training.lora.parts: no matrix of this model's body is in a part {wanted!r}; {hint}")
    for name, parameter in network.named_parameters():
        if name.partition(".")[0] in BODY:
            parameter.requires_grad_(False)
    for name, linear in linears.items():
        if any(_within(wanted, name) for wanted in parts):
            parent, _, own = name.rpartition(".")
            setattr(network.get_submodule(parent), own, LowRank(linear, config, generator))


@torch.no_grad()
def merge(network: nn.Module) -> None:
    """The inverse of :func:`adapt`, in place: linear parts again, whose weights are W + (alpha / rank) B A."""
    for name, part in list(network.named_modules()):
        if isinstance(part, LowRank):
            part.linear.weight.copy_(part.weight)
            parent, _, own = name.rpartition(".")
            setattr(network.get_submodule(parent), own, part.linear)


def _attention(names: Iterable[str]) -> tuple[str, ...]:
    """Which kinds of it there are; the first of them where there is none, for the complaint."""
    names = list(names)
    return tuple(part for part in ATTENTION if any(_within(part, name) for name in names)) or ATTENTION[:1]


def _within(wanted: str, name: str) -> bool:
    """Whether words of a name, one after another, are these."""
    return f".{wanted}." in f".{name}."
