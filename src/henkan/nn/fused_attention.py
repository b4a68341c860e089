"""The fast path of :func:`henkan.nn.attentive.attend_then_step`: one autograd function for the whole target.

The embedding's share of the gates and the keys come in ready; the context's share is added at each step. Gradients of
weights, keys and values are products over all steps at once, after the loop.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from henkan.nn import looks, loops
from henkan.nn.attended import Attended
from henkan.nn.cell import CellState
from henkan.nn.fused import owned, refuse_second_derivative
from henkan.nn.product import Product


class _Counts(NamedTuple):
    """How many of the function's tensors are what."""

    state: int
    cell: int


def attend_then_step_fused(
    cell: loops.SplittingCell,
    scorer: looks.LookedScores,
    embedded: Tensor,
    mask: Tensor,
    source: Attended,
    state: CellState,
) -> tuple[Tensor, Tensor, Tensor, CellState]:
    """Outputs (N, T, D), contexts (N, T, C), weights (N, T, S) and the state after the last real position."""
    inside = loops.weights_of(cell)
    outputs, contexts, weights, *last = _AttendThenStep.apply(  # type: ignore[no-untyped-call]
        *(cell, _Counts(len(state), len(inside)), mask, source.bias, cell.project(embedded)),
        *(source.keys, source.values, cell.input_weight[:, embedded.shape[2] :]),
        *(*state, *inside, *looks.weights_of(scorer)),
    )
    return outputs, contexts, weights, tuple(last)


class _AttendThenStep(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        cell: loops.SplittingCell,
        counts: _Counts,
        mask: Tensor,
        bias: Tensor,
        projected: Tensor,  # (N, T, G * D)
        keys: Tensor,  # (N, S, A)
        values: Tensor,  # (N, S, C)
        context_weight: Tensor,  # (G * D, C)
        *tensors: Tensor,  # state, weights inside the cell, weights inside the scorer
    ) -> tuple[Tensor, ...]:
        rows, steps = mask.shape
        state, scorer_weights = tensors[: counts.state], tensors[counts.state + counts.cell :]
        loop = loops.make_loop(cell, state, steps)
        look = looks.make_look(keys, values, bias, scorer_weights, steps)
        contexts = values.new_empty(rows, steps, values.shape[2])
        share, real = context_weight.t().contiguous(), mask[..., None]
        for step in range(steps):
            look.forward(step, loop.hidden[:, step], contexts[:, step])
            loop.forward(step, torch.addmm(projected[:, step], contexts[:, step], share), real[:, step])
        ctx.save_for_backward(mask, context_weight, contexts, *tensors[counts.state :])
        ctx.loop, ctx.look = loop, look
        return (owned(loop.hidden[:, 1:]), contexts, look.weights.clone(), *loop.last())

    @staticmethod
    def backward(
        ctx: Any, grad_outputs: Tensor, grad_contexts: Tensor, grad_weights: Tensor, *grad_last: Tensor
    ) -> tuple[Any, ...]:
        refuse_second_derivative()
        mask, context_weight, contexts, *_ = ctx.saved_tensors
        loop, look, real = ctx.loop, ctx.look, mask[..., None]
        of_context = Product(context_weight.t(), len(mask))
        loop.turn(grad_last)
        look.turn()
        whole_contexts = torch.empty_like(contexts)
        grad_query = torch.zeros_like(loop.hidden[:, 0])
        for step in reversed(range(mask.shape[1])):
            # an output is seen by the readout, and asks at the next step
            loop.backward(step, grad_outputs[:, step] + grad_query, real[:, step])
            torch.add(of_context(loop.grad_projected[:, step]), grad_contexts[:, step], out=whole_contexts[:, step])
            grad_query = look.backward(step, whole_contexts[:, step], grad_weights[:, step])
        first, *others = loop.grad_first()
        grad_keys, grad_values, *grad_scorer = look.gradients(loop.hidden[:, :-1], whole_contexts)
        grad_context_weight = loop.grad_projected.flatten(0, 1).t() @ contexts.flatten(0, 1)
        return (
            *(None, None, None, None, loop.grad_projected, grad_keys, grad_values, grad_context_weight),
            *(first + grad_query, *others, *loop.grad_weights(), *grad_scorer),
        )
