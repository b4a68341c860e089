"""Cells for the tests of hand-written recurrences, and how two ways of computing one thing are compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from henkan.nn.cells import (
    FirstLSTMCell,
    GRUCell,
    LayerNormLSTMCell,
    LSTMCell,
    MinimalGRUCell,
    ResetAfterGRUCell,
    RNNCell,
)

ROWS, STEPS, INPUTS, SIZE = 4, 6, 5, 8
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5}

SPLITTING = {
    "rnn": lambda inputs: RNNCell(inputs, SIZE),
    "rnn, relu": lambda inputs: RNNCell(inputs, SIZE, "relu"),
    "gru": lambda inputs: GRUCell(inputs, SIZE),
    "gru, reset after": lambda inputs: ResetAfterGRUCell(inputs, SIZE),
    **{
        f"lstm, {forgetting}{', peephole' if peephole else ''}": (
            lambda inputs, forgetting=forgetting, peephole=peephole: LSTMCell(inputs, SIZE, forgetting, peephole)
        )
        for forgetting in ("gate", "coupled", "none")
        for peephole in (False, True)
    },
}
SPLITTING |= {
    "lstm-1997, squashed as published": lambda inputs: FirstLSTMCell(inputs, SIZE, True, False),
    "lstm-1997, as published": lambda inputs: FirstLSTMCell(inputs, SIZE, True, True),
    "lstm-1997, cut": lambda inputs: FirstLSTMCell(inputs, SIZE, False, True),
}
CELLS = SPLITTING | {
    "lstm, layer norm": lambda inputs: LayerNormLSTMCell(inputs, SIZE),
    "min-gru": lambda inputs: MinimalGRUCell(inputs, SIZE),
}


def drawn(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Every parameter large and random, biases and scales too."""
    for parameter in module.to(dtype).parameters():
        nn.init.normal_(parameter, std=0.5)
    return module


def masks(lengths: Sequence[int], columns: int) -> Tensor:
    return torch.arange(columns) < torch.tensor(lengths)[:, None]


def results(
    forward: Callable[..., Sequence[Tensor]], mask: Tensor, leaves: Sequence[Tensor], parameters: Sequence[Tensor]
) -> list[Tensor]:
    """Outputs where real, and the gradients of leaves that are read and of parameters; one fixed random weighting."""
    copies = [leaf.clone().requires_grad_() for leaf in leaves]
    for parameter in parameters:
        parameter.grad = None
    outputs = [out * mask[..., None] if out.dim() == 3 else out for out in forward(*copies)]
    generator = torch.Generator().manual_seed(1)
    weights = [torch.randn(out.shape, generator=generator).bfloat16().to(out.dtype) for out in outputs]
    sum((out * weight).sum() for out, weight in zip(outputs, weights, strict=True)).backward()
    return [*outputs, *(leaf.grad for leaf in copies if leaf.grad is not None), *(p.grad for p in parameters)]


def agree(found: Sequence[Tensor], expected: Sequence[Tensor], tolerance: float) -> None:
    for place, (ours, plain) in enumerate(zip(found, expected, strict=True)):
        error = (ours - plain).norm() / (plain.norm() + 1e-9)
        assert error < tolerance, f"tensor {place} of {len(found)} is off by {error:.2e} of its norm"
