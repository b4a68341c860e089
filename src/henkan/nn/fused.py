"""The fast path of a cell through time: one autograd function for a whole sequence.

Used by :func:`henkan.nn.recurrent.run` for every cell that has a loop in nn/loops and no faster kernel of the
vendor's. The plain path, :func:`henkan.nn.recurrent.run_plain`, is the specification.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor

from henkan.nn.cell import CellState
from henkan.nn.loops import LoopedCell, make_loop, weights_of

_fast: ContextVar[bool] = ContextVar("fast", default=True)


@contextmanager
def plain_path() -> Iterator[None]:
    """Inside, everything recurrent runs by its plain path: for tests, and for gradients of gradients."""
    token = _fast.set(False)
    try:
        yield
    finally:
        _fast.reset(token)


def allowed() -> bool:
    """Whether fast paths may be taken; see :func:`plain_path`."""
    return _fast.get()


def refuse_second_derivative() -> None:
    """To be called first in a hand-written backward: what it computes is not recorded."""
    if torch.is_grad_enabled():
        raise RuntimeError(
            "the fast path of a recurrence has no second derivative (create_graph=True asked for one); "
            "run the forward pass inside `with henkan.nn.fused.plain_path():`"
        )


def owned(results: Tensor) -> Tensor:
    """A contiguous copy, so that whoever changes it in place leaves alone what the way back reads."""
    return results.clone(memory_format=torch.contiguous_format)


def run_fused(cell: LoopedCell, inputs: Tensor, mask: Tensor, state: CellState) -> tuple[Tensor, CellState]:
    """The fast path of :func:`henkan.nn.recurrent.run_plain`: same arguments, same results to rounding."""
    outputs, *last = _Run.apply(  # type: ignore[no-untyped-call]
        cell, len(state), mask, cell.project(inputs), *state, *weights_of(cell)
    )
    return outputs, tuple(last)


class _Run(torch.autograd.Function):
    """(cell, parts of its state, mask (N, T), projected (N, T, G * D), state, weights) to outputs and last state."""

    @staticmethod
    def forward(
        ctx: Any, cell: LoopedCell, parts: int, mask: Tensor, projected: Tensor, *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        steps = mask.shape[1]
        loop = make_loop(cell, tensors[:parts], steps)
        real = mask[..., None]
        for step in range(steps):
            loop.forward(step, projected[:, step], real[:, step])
        ctx.save_for_backward(mask, *tensors[parts:])  # the weights: so that a change in place is noticed
        ctx.loop = loop
        return (owned(loop.hidden[:, 1:]), *loop.last())

    @staticmethod
    def backward(ctx: Any, grad_outputs: Tensor, *grad_last: Tensor) -> tuple[Any, ...]:
        refuse_second_derivative()
        mask, *_ = ctx.saved_tensors
        loop, real = ctx.loop, mask[..., None]
        grad_outputs = grad_outputs.contiguous()
        loop.turn(grad_last)
        for step in reversed(range(mask.shape[1])):
            loop.backward(step, grad_outputs[:, step], real[:, step])
        return (None, None, None, loop.grad_projected, *loop.grad_first(), *loop.grad_weights())
