"""The layer-normalised LSTM (Ba et al. 2016, supplementary material).

LN is :mod:`henkan.reference.layer_norm`; it takes all four gates of a product as one row of 4 D numbers.

    [a_i, a_f, a_g, a_o] = LN(x[t] W^T; scale_x) + LN(h[t-1] U^T; scale_h) + b
    c[t] = s(a_f) * c[t-1] + s(a_i) * tanh(a_g)
    h[t] = s(a_o) * tanh(LN(c[t]; scale_c, shift_c))

The paper gives the first two norms a shift too; with b they are three names for one sum, so b alone is kept. The cell
is normalised where it is read, never where it is carried on: the carousel stays as it was.

Gradients. As in :mod:`henkan.reference.lstm`, with the norms' own gradients in between. Let d_LN(d_y) be what a norm
hands back. Backwards from the last step, with n = LN(c[t]):

    d_h[t] = d_outputs[t] + d_LN_h([d_a_i, d_a_f, d_a_g, d_a_o] of step t+1) U
    d_a_o  = d_h[t] * tanh(n) * o (1 - o)
    d_c[t] = d_LN_c(d_h[t] * o * (1 - tanh(n)^2)) + d_c'              d_c' = d_c[t+1] * f[t+1]
    d_a_i, d_a_f, d_a_g as in the LSTM

    d_W = sum_t d_LN_x(d_a[t])^T x[t]      d_U = sum_t d_LN_h(d_a[t])^T h[t-1]      d_b = sum_t d_a[t]
"""

from dataclasses import dataclass

import numpy as np

from henkan.reference import layer_norm
from henkan.reference.activations import LOGISTIC, TANH


@dataclass(frozen=True)
class Weights:
    """Gates in rows: input, forget, cell, output."""

    input_weight: np.ndarray  # W, (4 D, F)
    hidden_weight: np.ndarray  # U, (4 D, D)
    bias: np.ndarray  # b, (4 D,)
    input_scale: np.ndarray  # scale_x, (4 D,)
    hidden_scale: np.ndarray  # scale_h, (4 D,)
    cell_scale: np.ndarray  # scale_c, (D,)
    cell_bias: np.ndarray  # shift_c, (D,)


State = tuple[np.ndarray, np.ndarray]
"""h and c, (N, D) each."""


@dataclass(frozen=True)
class Step:
    """What the backward pass needs of one step."""

    recurrent: layer_norm.Tape  # of h[t-1] U^T
    before: np.ndarray  # c[t-1], (N, D)
    gates: tuple[np.ndarray, ...]  # i, f, g, o, (N, D) each
    cell: layer_norm.Tape  # of c[t]
    squashed: np.ndarray  # tanh(LN(c[t])), (N, D)


@dataclass(frozen=True)
class Tape:
    """What the backward pass needs of the forward pass."""

    weights: Weights
    inputs: np.ndarray  # (N, T, F)
    projected: layer_norm.Tape  # of x W^T, all steps at once
    hidden: np.ndarray  # (N, 1 + T, D): h[0] to h[T]
    steps: list[Step]


@dataclass(frozen=True)
class Gradients:
    """Of all that went in; and d_h[t] and d_c[t], which went through."""

    inputs: np.ndarray  # (N, T, F)
    state: State
    weights: Weights
    hidden: np.ndarray  # (N, T, D): d_h[1] to d_h[T]
    cells: np.ndarray  # (N, T, D): d_c[1] to d_c[T]


def forward(weights: Weights, inputs: np.ndarray, state: State) -> tuple[np.ndarray, State, Tape]:
    """The recurrence over a whole sequence.

    Args:
        weights: of the equations.
        inputs: (N, T, F).
        state: h[0] and c[0].

    Returns:
        Outputs h[1] to h[T] as (N, T, D), the last state, and the tape.
    """
    product = inputs @ weights.input_weight.T
    projected, projected_tape = layer_norm.forward(product, weights.input_scale, weights.bias)
    output, cell = state
    hidden, steps = [output], []
    for t in range(inputs.shape[1]):
        output, cell, step = _step(weights, projected[:, t], output, cell)
        hidden.append(output)
        steps.append(step)
    tape = Tape(weights, inputs, projected_tape, np.stack(hidden, axis=1), steps)
    return tape.hidden[:, 1:], (output, cell), tape


def _step(
    weights: Weights, projected: np.ndarray, output: np.ndarray, before: np.ndarray
) -> tuple[np.ndarray, np.ndarray, Step]:
    """From LN(x W) + b (N, 4 D), h[t-1] and c[t-1] to h[t], c[t] and what the backward pass needs."""
    recurrent, recurrent_tape = layer_norm.forward(output @ weights.hidden_weight.T, weights.hidden_scale)
    a_i, a_f, a_g, a_o = np.split(projected + recurrent, 4, axis=1)
    i, f, g, o = LOGISTIC.value(a_i), LOGISTIC.value(a_f), TANH.value(a_g), LOGISTIC.value(a_o)
    cell = f * before + i * g
    normed, cell_tape = layer_norm.forward(cell, weights.cell_scale, weights.cell_bias)
    squashed = TANH.value(normed)
    return o * squashed, cell, Step(recurrent_tape, before, (i, f, g, o), cell_tape, squashed)


def backward(tape: Tape, d_outputs: np.ndarray, d_last: State) -> Gradients:
    """Back-propagation through time.

    Args:
        tape: of the forward pass.
        d_outputs: (N, T, D).
        d_last: gradients of the last h and c, beside what the last output got.
    """
    weights = tape.weights
    d_hidden, d_cells = np.empty_like(d_outputs), np.empty_like(d_outputs)
    d_gates = np.empty((*d_outputs.shape[:2], len(weights.bias)))  # d_a
    d_products = np.empty_like(d_gates)  # d_LN_h(d_a)
    d_hidden_scale = np.zeros_like(weights.hidden_scale)
    d_cell_scale, d_cell_bias = np.zeros_like(weights.cell_scale), np.zeros_like(weights.cell_bias)
    d_state, d_carousel = d_last
    for t in reversed(range(len(tape.steps))):
        step = tape.steps[t]
        d_hidden[:, t] = d_outputs[:, t] + d_state
        d_read, d_a_o, d_scale, d_shift = _reading_back(step, d_hidden[:, t])
        d_cells[:, t] = d_read + d_carousel
        d_cell_scale += d_scale
        d_cell_bias += d_shift
        d_gates[:, t], d_carousel = _carousel_back(step, d_cells[:, t], d_a_o)
        d_products[:, t], d_scale, _ = layer_norm.backward(step.recurrent, d_gates[:, t])
        d_hidden_scale += d_scale
        d_state = d_products[:, t] @ weights.hidden_weight
    d_projected, d_input_scale, d_bias = layer_norm.backward(tape.projected, d_gates)
    d_weights = Weights(
        input_weight=np.einsum("ntg,ntf->gf", d_projected, tape.inputs),
        hidden_weight=np.einsum("ntg,nte->ge", d_products, tape.hidden[:, :-1]),
        bias=d_bias,
        input_scale=d_input_scale,
        hidden_scale=d_hidden_scale,
        cell_scale=d_cell_scale,
        cell_bias=d_cell_bias,
    )
    return Gradients(d_projected @ weights.input_weight, (d_state, d_carousel), d_weights, d_hidden, d_cells)


def _reading_back(step: Step, d_output: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """h[t] = o * tanh(LN(c[t])): from d_h[t] to its share of d_c[t], to d_a_o, and to scale and shift of the norm."""
    *_, o = step.gates
    d_cell, d_scale, d_shift = layer_norm.backward(step.cell, d_output * o * TANH.slope(step.squashed))
    return d_cell, d_output * step.squashed * LOGISTIC.slope(o), d_scale, d_shift


def _carousel_back(step: Step, d_cell: np.ndarray, d_a_o: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """c[t] = f * c[t-1] + i * g: from d_c[t] to d_a (N, 4 D) and to what goes on along the carousel."""
    i, f, g, _ = step.gates
    d_a_i = d_cell * g * LOGISTIC.slope(i)
    d_a_f = d_cell * step.before * LOGISTIC.slope(f)
    d_a_g = d_cell * i * TANH.slope(g)
    return np.concatenate([d_a_i, d_a_f, d_a_g, d_a_o], axis=1), d_cell * f
