"""The gated recurrent unit of 2014: the reset gate acts before the recurrent product (Cho et al. 2014).

Equations, for t = 1 ... T, with h[0] given (rows are examples, * is element by element, s the logistic function, W, U
and b split by gate):

    r    = s(x[t] W_r^T + h[t-1] U_r^T + b_r)                 reset gate
    z    = s(x[t] W_z^T + h[t-1] U_z^T + b_z)                 update gate
    q    = r * h[t-1]                                         what the candidate sees of the past
    g    = tanh(x[t] W_g^T + q U_g^T + b_g)                   candidate
    h[t] = z * h[t-1] + (1 - z) * g

Bahdanau et al. (2015) write 1 - z for z.

Gradients. h[t-1] enters step t in four places: kept by z, in q, and in the products of r and of z. With d_h[t] known,

    d_a_z    = d_h[t] * (h[t-1] - g) * z (1 - z)
    d_a_g    = d_h[t] * (1 - z)      * (1 - g^2)
    d_q      = d_a_g U_g
    d_a_r    = d_q * h[t-1]          * r (1 - r)
    d_h[t-1] = d_outputs[t-1] + d_h[t] * z + d_q * r + d_a_r U_r + d_a_z U_z

The term d_h[t] * z is the unit's carousel: where z is near 1 an error comes through unchanged. Sums over steps:
d_W = sum_t d_a[t]^T x[t] and d_b = sum_t d_a[t] for all three; for U the gates r and z saw h[t-1], the candidate saw q:

    d_U_r = sum_t d_a_r[t]^T h[t-1]      d_U_z = sum_t d_a_z[t]^T h[t-1]      d_U_g = sum_t d_a_g[t]^T q[t]
"""

from dataclasses import dataclass

import numpy as np

from henkan.reference.activations import LOGISTIC, TANH


@dataclass(frozen=True)
class Weights:
    """W, U and b; gates in rows: reset, update, candidate."""

    input_weight: np.ndarray  # (3 D, F)
    hidden_weight: np.ndarray  # (3 D, D)
    bias: np.ndarray  # (3 D,)


@dataclass(frozen=True)
class Tape:
    """What the backward pass needs of the forward pass."""

    weights: Weights
    inputs: np.ndarray  # (N, T, F)
    hidden: np.ndarray  # (N, 1 + T, D): h[0] to h[T]
    gates: np.ndarray  # (3, N, T, D): r, z, g


@dataclass(frozen=True)
class Gradients:
    """Of all that went in; and d_h[t], which went through."""

    inputs: np.ndarray  # (N, T, F)
    state: tuple[np.ndarray]  # (N, D)
    weights: Weights
    hidden: np.ndarray  # (N, T, D): d_h[1] to d_h[T]


def forward(
    weights: Weights, inputs: np.ndarray, state: tuple[np.ndarray]
) -> tuple[np.ndarray, tuple[np.ndarray], Tape]:
    """The recurrence over a whole sequence.

    Args:
        weights: W, U, b.
        inputs: (N, T, F).
        state: h[0], (N, D).

    Returns:
        Outputs h[1] to h[T] as (N, T, D), the last state, and the tape.
    """
    projected = inputs @ weights.input_weight.T + weights.bias  # needs no state: all steps at once
    hidden, gates = [state[0]], []
    for t in range(inputs.shape[1]):
        output, opened = _step(projected[:, t], hidden[-1], weights.hidden_weight)
        hidden.append(output)
        gates.append(opened)
    tape = Tape(weights, inputs, np.stack(hidden, axis=1), np.stack(gates, axis=2))
    return tape.hidden[:, 1:], (hidden[-1],), tape


def _step(projected: np.ndarray, before: np.ndarray, hidden_weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """From x W + b (N, 3 D) and h[t-1] to h[t] and the gates (3, N, D)."""
    x_r, x_z, x_g = np.split(projected, 3, axis=1)
    U_r, U_z, U_g = np.split(hidden_weight, 3)
    r = LOGISTIC.value(x_r + before @ U_r.T)
    z = LOGISTIC.value(x_z + before @ U_z.T)
    g = TANH.value(x_g + (r * before) @ U_g.T)
    return z * before + (1 - z) * g, np.stack([r, z, g])


def backward(tape: Tape, d_outputs: np.ndarray, d_last: tuple[np.ndarray]) -> Gradients:
    """Back-propagation through time.

    Args:
        tape: of the forward pass.
        d_outputs: (N, T, D).
        d_last: gradient of the last state, (N, D), beside what the last output got.
    """
    d_hidden = np.empty_like(d_outputs)
    d_products = np.empty((*d_outputs.shape[:2], len(tape.weights.bias)))  # d_a of r, z, g
    d_state = d_last[0]
    for t in reversed(range(tape.inputs.shape[1])):
        d_hidden[:, t] = d_outputs[:, t] + d_state
        d_products[:, t], d_state = _step_back(tape, t, d_hidden[:, t])
    d_weights = Weights(
        input_weight=np.einsum("ntg,ntf->gf", d_products, tape.inputs),
        hidden_weight=_hidden_weight_gradient(tape, d_products),
        bias=d_products.sum(axis=(0, 1)),
    )
    return Gradients(d_products @ tape.weights.input_weight, (d_state,), d_weights, d_hidden)


def _step_back(tape: Tape, t: int, d_output: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """From d_h[t] to d_a (N, 3 D) and to d_h[t-1] as far as step t goes."""
    r, z, g = tape.gates[:, :, t]
    before = tape.hidden[:, t]
    U_r, U_z, U_g = np.split(tape.weights.hidden_weight, 3)
    d_a_z = d_output * (before - g) * LOGISTIC.slope(z)
    d_a_g = d_output * (1 - z) * TANH.slope(g)
    d_q = d_a_g @ U_g
    d_a_r = d_q * before * LOGISTIC.slope(r)
    d_before = d_output * z + d_q * r + d_a_r @ U_r + d_a_z @ U_z
    return np.concatenate([d_a_r, d_a_z, d_a_g], axis=1), d_before


def _hidden_weight_gradient(tape: Tape, d_products: np.ndarray) -> np.ndarray:
    """d_U (3 D, D): the gates saw h[t-1], the candidate q = r * h[t-1]."""
    before, reset = tape.hidden[:, :-1], tape.gates[0]
    d_a = np.split(d_products, 3, axis=-1)
    seen = [before, before, reset * before]
    return np.concatenate([np.einsum("ntd,nte->de", d, past) for d, past in zip(d_a, seen, strict=True)])
