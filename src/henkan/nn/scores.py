"""How well a query and a key fit: the scorers of single-head attention.

A scorer projects the keys once for each source (``project``) and is then asked for scores many times.
"""

from __future__ import annotations

from typing import Annotated, Literal, Protocol

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from henkan.config import Config
from henkan.nn.init import glorot_uniform


class Scorer(Protocol):
    """(queries, projected keys) to scores."""

    def project(self, states: Tensor) -> Tensor:
        """Source states (N, S, D) to whatever ``__call__`` compares queries with, (N, S, D')."""
        ...

    def __call__(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Queries (N, T, D), projected keys (N, S, D'), to scores (N, T, S)."""
        ...


class DotScores(nn.Module):
    """h_t . h_s (Luong et al. 2015, section 3.1, "dot"); query and key have one width."""

    def project(self, states: Tensor) -> Tensor:
        """The states themselves."""
        return states

    def forward(self, queries: Tensor, keys: Tensor) -> Tensor:
        """(N, T, D), (N, S, D) to (N, T, S)."""
        return torch.bmm(queries, keys.transpose(1, 2))


class GeneralScores(nn.Module):
    """h_t W h_s (Luong et al. 2015, section 3.1, "general"); W is applied to the keys, once."""

    def __init__(self, query_width: int, key_width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(query_width, key_width))
        glorot_uniform(self.weight)

    def project(self, states: Tensor) -> Tensor:
        """(N, S, key width) to (N, S, query width)."""
        return functional.linear(states, self.weight)

    def forward(self, queries: Tensor, keys: Tensor) -> Tensor:
        """(N, T, D), (N, S, D) to (N, T, S)."""
        return torch.bmm(queries, keys.transpose(1, 2))


class AdditiveScores(nn.Module):
    """v . tanh(W s + U h) (Bahdanau et al. 2015, appendix A.1.2)."""

    def __init__(self, query_width: int, key_width: int, size: int) -> None:
        super().__init__()
        self.query_weight = nn.Parameter(torch.empty(size, query_width))
        self.key_weight = nn.Parameter(torch.empty(size, key_width))
        self.bias = nn.Parameter(torch.zeros(size))
        self.vector = nn.Parameter(torch.empty(size))
        glorot_uniform(self.query_weight)
        glorot_uniform(self.key_weight)
        nn.init.normal_(self.vector, std=size**-0.5)

    def project(self, states: Tensor) -> Tensor:
        """U h + b: (N, S, key width) to (N, S, size)."""
        return functional.linear(states, self.key_weight, self.bias)

    def forward(self, queries: Tensor, keys: Tensor) -> Tensor:
        """(N, T, query width), (N, S, size) to (N, T, S)."""
        asked = functional.linear(queries, self.query_weight)
        return torch.matmul(torch.tanh(asked[:, :, None] + keys[:, None]), self.vector)


class ConcatScores(nn.Module):
    """v . tanh(W [h_t; h_s]) (Luong et al. 2015, section 3.1, "concat"); no bias. W is applied half by half."""

    def __init__(self, query_width: int, key_width: int, size: int) -> None:
        super().__init__()
        both = torch.empty(size, query_width + key_width)
        glorot_uniform(both)
        self.query_weight, self.key_weight = (
            nn.Parameter(half.clone()) for half in both.split([query_width, key_width], 1)
        )
        self.vector = nn.Parameter(torch.empty(size))
        nn.init.normal_(self.vector, std=size**-0.5)

    def project(self, states: Tensor) -> Tensor:
        """The half of W that sees the source: (N, S, key width) to (N, S, size)."""
        return functional.linear(states, self.key_weight)

    def forward(self, queries: Tensor, keys: Tensor) -> Tensor:
        """(N, T, query width), (N, S, size) to (N, T, S)."""
        asked = functional.linear(queries, self.query_weight)
        return torch.matmul(torch.tanh(asked[:, :, None] + keys[:, None]), self.vector)


class CoveredScores(nn.Module):
    """v . tanh(W s + U h + w c): c says how much of a position was attended to before (See et al. 2017, equation 11).

    Tu et al. (2016) with their linguistic coverage and fertility 1 for every word.
    """

    def __init__(self, additive: AdditiveScores) -> None:
        super().__init__()
        self.additive = additive
        self.coverage_weight = nn.Parameter(torch.empty_like(additive.vector))
        nn.init.normal_(self.coverage_weight, std=len(additive.vector) ** -0.5)

    def project(self, states: Tensor) -> Tensor:
        """U h + b: (N, S, key width) to (N, S, size)."""
        return self.additive.project(states)

    def forward(self, queries: Tensor, keys: Tensor, coverage: Tensor) -> Tensor:
        """(N, T, query width), (N, S, size), (N, T, S) to (N, T, S)."""
        asked = functional.linear(queries, self.additive.query_weight)
        covered = coverage[..., None] * self.coverage_weight
        return torch.matmul(torch.tanh(asked[:, :, None] + keys[:, None] + covered), self.additive.vector)


class DotScoresConfig(Config):
    """Luong et al. (2015), "dot"."""

    kind: Literal["dot"] = "dot"

    def check(self, query_width: int, key_width: int) -> None:
        """ValueError unless the widths are equal."""
        if query_width != key_width:
            raise ValueError(f"dot scores need equal widths: the query has {query_width}, the keys have {key_width}")

    def build(self, query_width: int, key_width: int) -> DotScores:
        """For queries and keys of one width."""
        return DotScores()


class GeneralScoresConfig(Config):
    """Luong et al. (2015), "general"."""

    kind: Literal["general"] = "general"

    def check(self, query_width: int, key_width: int) -> None:
        """Any widths will do."""

    def build(self, query_width: int, key_width: int) -> GeneralScores:
        """For queries and keys of these widths."""
        return GeneralScores(query_width, key_width)


class AdditiveScoresConfig(Config):
    """Bahdanau et al. (2015)."""

    kind: Literal["additive"] = "additive"
    size: int = Field(ge=1, le=65536)

    def check(self, query_width: int, key_width: int) -> None:
        """Any widths will do."""

    def build(self, query_width: int, key_width: int) -> AdditiveScores:
        """For queries and keys of these widths."""
        return AdditiveScores(query_width, key_width, self.size)


class ConcatScoresConfig(Config):
    """Luong et al. (2015), "concat"."""

    kind: Literal["concat"] = "concat"
    size: int = Field(ge=1, le=65536)

    def check(self, query_width: int, key_width: int) -> None:
        """Any widths will do."""

    def build(self, query_width: int, key_width: int) -> ConcatScores:
        """For queries and keys of these widths."""
        return ConcatScores(query_width, key_width, self.size)


ScoresConfig = Annotated[
    DotScoresConfig | GeneralScoresConfig | AdditiveScoresConfig | ConcatScoresConfig, Field(discriminator="kind")
]
