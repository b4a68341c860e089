"""The fast path of :func:`henkan.nn.attentive.step_then_attend`: one autograd function for the whole target.

The embedding's share of the first layer's gates and the keys come in ready. Gradients of weights, keys and values are
products over all steps at once, after the loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from henkan.nn import looks, loops
from henkan.nn.attended import Attended
from henkan.nn.cell import CellState
from henkan.nn.fused import owned, refuse_second_derivative
from henkan.nn.product import Product


class _Plan(NamedTuple):
    """What the function's flat list of tensors means; also the order of the gradients."""

    cells: Sequence[loops.SplittingCell]
    scorer: int  # weights of the scorer
    states: list[int]  # tensors in the state of each layer
    inside: list[int]  # weights inside the loop of each layer

    def split(self, tensors: Sequence[Tensor]) -> tuple[list[Tensor], list[CellState], list[list[Tensor]]]:
        """Weights of the scorer, states of the layers, and (input weight, bias) of each layer above the first."""
        rest = iter(tensors)

        def take(count: int) -> list[Tensor]:
            return [next(rest) for _ in range(count)]

        return take(self.scorer), [tuple(take(count)) for count in self.states], [take(2) for _ in self.cells[1:]]


def step_then_attend_fused(
    cells: Sequence[loops.SplittingCell],
    scorer: looks.LookedScores,
    mix: Tensor,
    drops: Tensor | None,
    embedded: Tensor,
    mask: Tensor,
    source: Attended,
    states: Sequence[CellState],
    fed: Tensor,
) -> tuple[Tensor, Tensor, tuple[CellState, ...]]:
    """Attentional vectors (N, T, D), weights (N, T, S) and the states after the last real position.

    Args:
        cells: from the bottom up; all have one width D.
        scorer: of the soft attention.
        mix: (D, C + D), of the attentional vector.
        drops: (layers, N, T, D) factors of dropout on the outputs of the layers, or None.
        embedded, mask, source, states, fed: see the plain path.
    """
    first, *upper = cells
    inside, asking = [loops.weights_of(cell) for cell in cells], looks.weights_of(scorer)
    plan = _Plan(cells, len(asking), [len(state) for state in states], [len(weights) for weights in inside])
    outputs, weights, *last = _StepThenAttend.apply(  # type: ignore[no-untyped-call]
        *(plan, mask, source.bias, drops, first.project(embedded), source.keys, source.values),
        *(first.input_weight[:, embedded.shape[2] :], mix, fed, *asking),
        *(part for state in states for part in state),
        *(tensor for cell in upper for tensor in (cell.input_weight, cell.bias)),
        *(weight for of_layer in inside for weight in of_layer),
    )
    rest = iter(last)
    return outputs, weights, tuple(tuple(next(rest) for _ in range(count)) for count in plan.states)


class _StepThenAttend(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        plan: _Plan,
        mask: Tensor,
        bias: Tensor,
        drops: Tensor | None,
        projected: Tensor,  # (N, T, G * D)
        keys: Tensor,  # (N, S, A)
        values: Tensor,  # (N, S, C)
        fed_weight: Tensor,  # (G * D, D)
        mix: Tensor,  # (D, C + D)
        fed: Tensor,  # (N, D)
        *tensors: Tensor,
    ) -> tuple[Tensor, ...]:
        (rows, steps), width = mask.shape, values.shape[2]
        asking, states, above = plan.split(tensors)
        layers = [loops.make_loop(cell, state, steps) for cell, state in zip(plan.cells, states, strict=True)]
        look = looks.make_look(keys, values, bias, asking, steps)
        entering = [(Product(weight, rows), shift) for weight, shift in above]
        mixing, share, real = Product(mix, rows), fed_weight.t().contiguous(), mask[..., None]
        vectors = fed.new_empty(rows, steps + 1, fed.shape[1])
        vectors[:, 0] = fed
        tops = fed.new_empty(len(layers), rows, steps, fed.shape[1])  # outputs of the layers after dropout
        mixed = fed.new_empty(rows, steps, width + fed.shape[1])  # context and topmost output
        for step in range(steps):
            gates = torch.addmm(projected[:, step], vectors[:, step], share)
            for height, layer in enumerate(layers):
                if height:
                    product, shift = entering[height - 1]
                    gates = product(tops[height - 1, :, step]).add_(shift)
                layer.forward(step, gates, real[:, step])
                _drop(layer.hidden[:, step + 1], drops, height, step, tops[height, :, step])
            look.forward(step, tops[-1, :, step], mixed[:, step, :width])
            mixed[:, step, width:] = tops[-1, :, step]
            torch.tanh(mixing(mixed[:, step]), out=vectors[:, step + 1])
        ctx.save_for_backward(mask, fed_weight, mix, mixed, tops, *tensors)
        ctx.plan, ctx.layers, ctx.look, ctx.drops, ctx.vectors = plan, layers, look, drops, vectors
        return (owned(vectors[:, 1:]), look.weights.clone(), *(part for layer in layers for part in layer.last()))

    @staticmethod
    def backward(ctx: Any, grad_outputs: Tensor, grad_weights: Tensor, *grad_last: Tensor) -> tuple[Any, ...]:
        refuse_second_derivative()
        mask, fed_weight, mix, mixed, tops, *tensors = ctx.saved_tensors
        plan, layers, look, drops, vectors = ctx.plan, ctx.layers, ctx.look, ctx.drops, ctx.vectors
        (rows, steps), real = mask.shape, mask[..., None]
        width = mixed.shape[2] - vectors.shape[2]
        above = [Product(weight.t(), rows) for weight, _ in plan.split(tensors)[2]]
        of_fed, of_mixed = Product(fed_weight.t(), rows), Product(mix.t(), rows)
        rest = iter(grad_last)
        for layer, count in zip(layers, plan.states, strict=True):
            layer.turn(tuple(next(rest) for _ in range(count)))
        look.turn()
        inside = torch.empty_like(grad_outputs)  # of what the attentional vector is the tanh
        grad_mixed = torch.empty_like(mixed)
        grad_fed = torch.zeros_like(vectors[:, 0])
        for step in reversed(range(steps)):
            vector = vectors[:, step + 1]
            torch.mul(grad_outputs[:, step] + grad_fed, 1 - vector * vector, out=inside[:, step])
            grad_mixed[:, step] = of_mixed(inside[:, step])
            arriving = grad_mixed[:, step, width:] + look.backward(
                step, grad_mixed[:, step, :width], grad_weights[:, step]
            )
            for height in reversed(range(len(layers))):
                if drops is not None:
                    arriving = arriving * drops[height, :, step]
                layers[height].backward(step, arriving, real[:, step])
                if height:
                    arriving = above[height - 1](layers[height].grad_projected[:, step])
            grad_fed = of_fed(layers[0].grad_projected[:, step])
        flat = [layer.grad_projected.flatten(0, 1) for layer in layers]
        grad_keys, grad_values, *grad_scorer = look.gradients(tops[-1], grad_mixed[..., :width].contiguous())
        return (
            *(None, None, None, None, layers[0].grad_projected, grad_keys, grad_values),
            flat[0].t() @ vectors[:, :-1].reshape(rows * steps, -1),
            inside.flatten(0, 1).t() @ mixed.flatten(0, 1),
            *(grad_fed, *grad_scorer),
            *(part for layer in layers for part in layer.grad_first()),
            *(
                gradient
                for of_layer, below in zip(flat[1:], tops[:-1], strict=True)
                for gradient in (of_layer.t() @ below.flatten(0, 1), of_layer.sum(0))
            ),
            *(gradient for layer in layers for gradient in layer.grad_weights()),
        )


def _drop(output: Tensor, drops: Tensor | None, height: int, step: int, result: Tensor) -> None:
    """The output of a layer times its factors."""
    if drops is None:
        result.copy_(output)
    else:
        torch.mul(output, drops[height, :, step], out=result)
