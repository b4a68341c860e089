"""Soft attention inside a loop, with the way back written by hand.

A look lives for one sequence of queries, one query a step. What the steps have in common waits until after the loop:
the gradients of keys, values and weights are single batched products then.

Shapes: N rows, T steps, S source positions, D width of a query, A width of a key, C width of a value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from henkan.nn import pointwise
from henkan.nn.product import Product
from henkan.nn.scores import AdditiveScores, ConcatScores, DotScores, GeneralScores

LookedScores = DotScores | GeneralScores | AdditiveScores | ConcatScores
"""The scorers that have a look."""


class Look(Protocol):
    """One sequence of one soft attention."""

    weights: Tensor  # (N, T, S)

    def forward(self, step: int, query: Tensor, context: Tensor) -> None:
        """Query (N, D); writes the context (N, C)."""
        ...

    def turn(self) -> None:
        """Prepare the way back, which may be gone more than once."""
        ...

    def backward(self, step: int, grad_context: Tensor, grad_weights: Tensor) -> Tensor:
        """Gradients of the context (N, C) and of the weights (N, S) to that of the query (N, D)."""
        ...

    def gradients(self, queries: Tensor, grad_contexts: Tensor) -> tuple[Tensor, ...]:
        """Of keys, values, and :func:`weights_of` the scorer, given all queries and all gradients of contexts."""
        ...


class Expectation:
    """What every soft attention has: weights from scores, and the expected value."""

    def __init__(self, values: Tensor, bias: Tensor, steps: int) -> None:
        rows, positions, _ = values.shape
        self._values = values
        self._bias = bias[:, 0]
        self.weights = values.new_empty(rows, steps, positions)

    def forward(self, step: int, scores: Tensor, context: Tensor) -> None:
        """Scores (N, S) to the context."""
        weights = torch.softmax(scores + self._bias, -1)
        self.weights[:, step] = weights
        context.copy_(torch.bmm(self.weights[:, step, None], self._values)[:, 0])

    def backward(self, step: int, grad_context: Tensor, grad_weights: Tensor) -> Tensor:
        """The gradient of the scores (N, S), at least float32."""
        weights = self.weights[:, step].to(pointwise.wide(self._values.dtype))
        whole = torch.bmm(self._values, grad_context[..., None])[..., 0] + grad_weights
        whole = whole.to(weights.dtype)
        return weights * (whole - (weights * whole).sum(-1, keepdim=True))

    def grad_values(self, grad_contexts: Tensor) -> Tensor:
        """(N, S, C)."""
        return torch.bmm(self.weights.transpose(1, 2), grad_contexts)


class DotLook:
    """Scores are products of query and key; see :class:`DotScores` and :class:`GeneralScores`."""

    def __init__(self, keys: Tensor, values: Tensor, bias: Tensor, steps: int) -> None:
        self._keys = keys
        self._expectation = Expectation(values, bias, steps)
        self.weights = self._expectation.weights
        self._grad_scores = self.weights  # made by turn

    def forward(self, step: int, query: Tensor, context: Tensor) -> None:
        """See :meth:`Look.forward`."""
        scores = torch.bmm(self._keys, query[..., None])[..., 0]
        self._expectation.forward(step, scores, context)

    def turn(self) -> None:
        """See :meth:`Look.turn`."""
        self._grad_scores = torch.empty_like(self.weights)

    def backward(self, step: int, grad_context: Tensor, grad_weights: Tensor) -> Tensor:
        """See :meth:`Look.backward`."""
        self._grad_scores[:, step] = self._expectation.backward(step, grad_context, grad_weights)
        return torch.bmm(self._grad_scores[:, step, None], self._keys)[:, 0]

    def gradients(self, queries: Tensor, grad_contexts: Tensor) -> tuple[Tensor, ...]:
        """See :meth:`Look.gradients`."""
        grad_keys = torch.bmm(self._grad_scores.transpose(1, 2), queries)
        return (grad_keys, self._expectation.grad_values(grad_contexts))


class AdditiveLook:
    """Scores are v . tanh(W query + key); see :class:`AdditiveScores` and :class:`ConcatScores`."""

    def __init__(
        self, query_weight: Tensor, vector: Tensor, keys: Tensor, values: Tensor, bias: Tensor, steps: int
    ) -> None:
        rows = len(keys)
        self._ask, self._return = Product(query_weight, rows), Product(query_weight.t(), rows)
        self._vector = vector.detach()
        self._keys = keys.contiguous()
        self._expectation = Expectation(values, bias, steps)
        self.weights = self._expectation.weights
        self._squashed = keys.new_empty(rows, steps, *keys.shape[1:])
        self._grad_keys = self._grad_vector = self._grad_asked = self._keys  # made by turn

    def forward(self, step: int, query: Tensor, context: Tensor) -> None:
        """See :meth:`Look.forward`."""
        scores = pointwise.additive_forward(self._ask(query), self._keys, self._vector, self._squashed[:, step])
        self._expectation.forward(step, scores, context)

    def turn(self) -> None:
        """See :meth:`Look.turn`."""
        rows, steps, _ = self.weights.shape
        wide = pointwise.wide(self._keys.dtype)
        self._grad_keys = torch.zeros_like(self._keys, dtype=wide)
        self._grad_vector = torch.zeros_like(self._keys[:, 0], dtype=wide)
        self._grad_asked = self._keys.new_empty(rows, steps, self._keys.shape[2])

    def backward(self, step: int, grad_context: Tensor, grad_weights: Tensor) -> Tensor:
        """See :meth:`Look.backward`."""
        grad_scores = self._expectation.backward(step, grad_context, grad_weights).contiguous()
        grad_asked = pointwise.additive_backward(
            grad_scores, self._squashed[:, step], self._vector, self._grad_keys, self._grad_vector
        )
        self._grad_asked[:, step] = grad_asked
        return self._return(grad_asked)

    def gradients(self, queries: Tensor, grad_contexts: Tensor) -> tuple[Tensor, ...]:
        """See :meth:`Look.gradients`."""
        dtype = self._keys.dtype
        grad_weight = self._grad_asked.flatten(0, 1).t() @ queries.flatten(0, 1)
        grad_vector = self._grad_vector.sum(0).to(dtype)
        return (self._grad_keys.to(dtype), self._expectation.grad_values(grad_contexts), grad_weight, grad_vector)


def weights_of(scorer: LookedScores) -> tuple[Tensor, ...]:
    """The weights of a scorer inside the loop, in the order of :meth:`Look.gradients`; keys are projected outside."""
    if isinstance(scorer, AdditiveScores | ConcatScores):
        return (scorer.query_weight, scorer.vector)
    return ()


def make_look(keys: Tensor, values: Tensor, bias: Tensor, weights: Sequence[Tensor], steps: int) -> Look:
    """The look of a scorer with these :func:`weights_of` it at an attended source, for so many queries."""
    keys, values, bias = keys.detach(), values.detach(), bias.detach()
    if weights:
        query_weight, vector = weights
        return AdditiveLook(query_weight.detach(), vector, keys, values, bias, steps)
    return DotLook(keys, values, bias, steps)
