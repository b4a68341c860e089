"""The LSTM in all its generations.

Equations, for t = 1 ... T, with h[0] and c[0] given (rows are examples, * is element by element, s the logistic
function, W, U and b split by gate):

    i    = s(x[t] W_i^T + h[t-1] U_i^T + b_i + p_i * c[t-1])          input gate
    f    = s(x[t] W_f^T + h[t-1] U_f^T + b_f + p_f * c[t-1])          forget gate
    g    = tanh(x[t] W_g^T + h[t-1] U_g^T + b_g)                      candidate
    c[t] = f * c[t-1] + i * g                                         cell: the constant error carousel
    o    = s(x[t] W_o^T + h[t-1] U_o^T + b_o + p_o * c[t])            output gate
    h[t] = o * tanh(c[t])                                             output

What each generation has of them:

    1997  Hochreiter & Schmidhuber      f = 1; 4 s(.) - 2 and 2 s(.) - 1 in place of the two tanh; gradients cut
    2000  Gers, Schmidhuber & Cummins   the forget gate
    2000  Gers & Schmidhuber            peepholes p; the output gate sees the cell of its own step
    2017  Greff et al.                  coupled gates: f = 1 - i

Gradients. h[t] reaches the loss as an output and through the four products of the next step; c[t] through h[t], through
the peepholes, and along the carousel. Let a_i ... a_o be what the gates are functions of. Backwards from the last step:

    d_h[t] = d_outputs[t] + [d_a_i, d_a_f, d_a_g, d_a_o of step t+1] U
    d_a_o  = d_h[t] * tanh(c[t]) * o (1 - o)
    d_c[t] = d_h[t] * o * (1 - tanh(c[t])^2) + d_a_o * p_o + (along the carousel) d_c'
    d_a_i  = d_c[t] * g      * i (1 - i)
    d_a_f  = d_c[t] * c[t-1] * f (1 - f)
    d_a_g  = d_c[t] * i      * (1 - g^2)
    d_c'   = d_c[t] * f + d_a_i * p_i + d_a_f * p_f                   for step t-1

Look at the last line: with f = 1 and no peepholes, d_c' = d_c[t], with no weight and no slope in between. However long
the way, that error neither vanishes nor explodes, whereas d_h passes U and a slope at every step, as in the simple
network. A forget gate gives this up where the network has learnt to forget. Where f = 1 - i, what f would have got goes
to i with its sign changed: d_a_i = d_c[t] * (g - c[t-1]) * i (1 - i). Where f = 1, its slope f (1 - f) is 0.

Sums over steps: d_W = sum_t d_a[t]^T x[t], d_U = sum_t d_a[t]^T h[t-1], d_b = sum_t d_a[t]; d_p_i and d_p_f are sums of
d_a * c[t-1], d_p_o of d_a_o * c[t]; d_x[t] = d_a[t] W.

Cut gradients (1997, appendix A.1): what the gates and the candidate see of h[t-1] counts as a constant, so nothing but
the carousel carries an error through time: d_h[t] = d_outputs[t]. Weights still learn from h[t-1].
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from henkan.reference.activations import FLAT_1997, LOGISTIC, TANH, WIDE_1997, Activation


@dataclass(frozen=True)
class Generation:
    """What one generation does differently.

    Attributes:
        forgetting: f is a gate, 1 - i ("coupled"), or 1 ("none").
        squash_candidate: the function that makes g.
        squash_cell: the function of c[t] that the output gate lets out.
        cut: whether gradients stop at the gates.
    """

    forgetting: Literal["gate", "coupled", "none"] = "gate"
    squash_candidate: Activation = TANH
    squash_cell: Activation = TANH
    cut: bool = False


PUBLISHED_1997 = Generation("none", WIDE_1997, FLAT_1997, cut=True)
CAROUSEL = Generation("none")
FORGET_GATE = Generation()
COUPLED = Generation("coupled")


@dataclass(frozen=True)
class Weights:
    """W, U, b and p; G is 4 gates (input, forget, cell, output), or 3 where there is no forget gate."""

    input_weight: np.ndarray  # (G * D, F)
    hidden_weight: np.ndarray  # (G * D, D)
    bias: np.ndarray  # (G * D,)
    peephole_weight: np.ndarray | None = None  # ((G - 1) * D,): input, forget, output; None: p = 0


State = tuple[np.ndarray, np.ndarray]
"""h and c, (N, D) each."""


@dataclass(frozen=True)
class Tape:
    """What the backward pass needs of the forward pass."""

    generation: Generation
    weights: Weights
    inputs: np.ndarray  # (N, T, F)
    hidden: np.ndarray  # (N, 1 + T, D): h[0] to h[T]
    cells: np.ndarray  # (N, 1 + T, D): c[0] to c[T]
    gates: np.ndarray  # (4, N, T, D): i, f, g, o, whether f has rows of its own or not


@dataclass(frozen=True)
class Gradients:
    """Of all that went in; and d_h[t] and d_c[t], which went through."""

    inputs: np.ndarray  # (N, T, F)
    state: State
    weights: Weights
    hidden: np.ndarray  # (N, T, D): d_h[1] to d_h[T]
    cells: np.ndarray  # (N, T, D): d_c[1] to d_c[T]


def forward(
    weights: Weights, inputs: np.ndarray, state: State, generation: Generation = FORGET_GATE
) -> tuple[np.ndarray, State, Tape]:
    """The recurrence over a whole sequence.

    Args:
        weights: of as many gates as the generation has.
        inputs: (N, T, F).
        state: h[0] and c[0].
        generation: which of them.

    Returns:
        Outputs h[1] to h[T] as (N, T, D), the last state, and the tape.
    """
    projected = inputs @ weights.input_weight.T + weights.bias  # needs no state: all steps at once
    peepholes = _peepholes(weights, generation)
    hidden, cells, gates = [state[0]], [state[1]], []
    for t in range(inputs.shape[1]):
        products = projected[:, t] + hidden[-1] @ weights.hidden_weight.T
        output, cell, opened = _step(products, cells[-1], peepholes, generation)
        hidden.append(output)
        cells.append(cell)
        gates.append(opened)
    tape = Tape(generation, weights, inputs, np.stack(hidden, axis=1), np.stack(cells, axis=1), np.stack(gates, axis=2))
    return tape.hidden[:, 1:], (hidden[-1], cells[-1]), tape


def _step(
    products: np.ndarray, before: np.ndarray, peepholes: tuple[np.ndarray, ...], generation: Generation
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """From x W + h U + b (N, G * D) and c[t-1] to h[t], c[t] and the gates (4, N, D)."""
    rows = _by_gate(products, generation)
    p_i, p_f, p_o = peepholes
    i = LOGISTIC.value(rows["i"] + p_i * before)
    if generation.forgetting == "gate":
        f = LOGISTIC.value(rows["f"] + p_f * before)
    else:
        f = 1 - i if generation.forgetting == "coupled" else np.ones_like(i)
    g = generation.squash_candidate.value(rows["g"])
    cell = f * before + i * g
    o = LOGISTIC.value(rows["o"] + p_o * cell)
    return o * generation.squash_cell.value(cell), cell, np.stack([i, f, g, o])


def backward(tape: Tape, d_outputs: np.ndarray, d_last: State) -> Gradients:
    """Back-propagation through time.

    Args:
        tape: of the forward pass.
        d_outputs: (N, T, D).
        d_last: gradients of the last h and c, beside what the last output got.
    """
    steps = tape.inputs.shape[1]
    d_hidden, d_cells = np.empty_like(d_outputs), np.empty_like(d_outputs)
    d_products = np.empty((*d_outputs.shape[:2], len(tape.weights.bias)))  # d_a of every gate that has rows
    d_state, d_carousel = d_last
    for t in reversed(range(steps)):
        d_hidden[:, t] = d_outputs[:, t] + d_state
        d_cells[:, t], d_products[:, t], d_carousel = _step_back(tape, t, d_hidden[:, t], d_carousel)
        d_state = d_products[:, t] @ tape.weights.hidden_weight
        if tape.generation.cut:
            d_state = np.zeros_like(d_state)
    d_weights = Weights(
        input_weight=np.einsum("ntg,ntf->gf", d_products, tape.inputs),
        hidden_weight=np.einsum("ntg,nte->ge", d_products, tape.hidden[:, :-1]),
        bias=d_products.sum(axis=(0, 1)),
        peephole_weight=_peephole_gradient(tape, d_products),
    )
    d_inputs = d_products @ tape.weights.input_weight
    return Gradients(d_inputs, (d_state, d_carousel), d_weights, d_hidden, d_cells)


def _step_back(
    tape: Tape, t: int, d_output: np.ndarray, d_carousel: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """From d_h[t] and what came along the carousel to d_c[t], d_a (N, G * D) and what goes on along the carousel."""
    generation = tape.generation
    i, f, g, o = tape.gates[:, :, t]
    before, cell = tape.cells[:, t], tape.cells[:, t + 1]
    p_i, p_f, p_o = _peepholes(tape.weights, generation)
    squashed = generation.squash_cell.value(cell)

    d_a_o = d_output * squashed * LOGISTIC.slope(o)
    d_cell = d_output * o * generation.squash_cell.slope(squashed) + d_a_o * p_o + d_carousel
    d_i = d_cell * g
    if generation.forgetting == "coupled":
        d_i = d_cell * (g - before)
    d_a_i = d_i * LOGISTIC.slope(i)
    d_a_g = d_cell * i * generation.squash_candidate.slope(g)
    d_before = d_cell * f + d_a_i * p_i
    if generation.forgetting != "gate":
        return d_cell, np.concatenate([d_a_i, d_a_g, d_a_o], axis=1), d_before
    d_a_f = d_cell * before * LOGISTIC.slope(f)
    return d_cell, np.concatenate([d_a_i, d_a_f, d_a_g, d_a_o], axis=1), d_before + d_a_f * p_f


def _by_gate(products: np.ndarray, generation: Generation) -> dict[str, np.ndarray]:
    """Columns (..., G * D) cut into their gates."""
    names = "ifgo" if generation.forgetting == "gate" else "igo"
    return dict(zip(names, np.split(products, len(names), axis=-1), strict=True))


def _peepholes(weights: Weights, generation: Generation) -> tuple[np.ndarray, ...]:
    """p_i, p_f and p_o; 0 where there is none."""
    none = np.zeros(weights.hidden_weight.shape[1])
    if weights.peephole_weight is None:
        return none, none, none
    if generation.forgetting == "gate":
        p_i, p_f, p_o = np.split(weights.peephole_weight, 3)
        return p_i, p_f, p_o
    p_i, p_o = np.split(weights.peephole_weight, 2)
    return p_i, none, p_o


def _peephole_gradient(tape: Tape, d_products: np.ndarray) -> np.ndarray | None:
    """d_p from d_a (N, T, G * D) of all steps."""
    if tape.weights.peephole_weight is None:
        return None
    d_a = _by_gate(d_products, tape.generation)
    seen = {"i": tape.cells[:, :-1], "f": tape.cells[:, :-1], "o": tape.cells[:, 1:]}
    return np.concatenate([(d_a[gate] * seen[gate]).sum(axis=(0, 1)) for gate in seen if gate in d_a])
