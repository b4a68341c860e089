"""The gated recurrent unit with the reset gate after the recurrent product: the form of the vendors' kernels.

    r    = s(x[t] W_r^T + h[t-1] U_r^T + b_r)                 reset gate
    z    = s(x[t] W_z^T + h[t-1] U_z^T + b_z)                 update gate
    q    = h[t-1] U_g^T + d                                   d is a bias of its own: r acts on it too
    g    = tanh(x[t] W_g^T + b_g + r * q)                     candidate
    h[t] = z * h[t-1] + (1 - z) * g

One product with h[t-1] serves all three gates, which :mod:`henkan.reference.gru` cannot have: there q needs r first.
The two are different functions of the same weights. torch keeps a second bias for all three gates; for r and z it is
added to the first, so here only the candidate's is kept.

Gradients. With d_h[t] known,

    d_a_z    = d_h[t] * (h[t-1] - g) * z (1 - z)
    d_a_g    = d_h[t] * (1 - z)      * (1 - g^2)
    d_a_r    = d_a_g * q             * r (1 - r)
    d_q      = d_a_g * r
    d_h[t-1] = d_outputs[t-1] + d_h[t] * z + [d_a_r, d_a_z, d_q] U

    d_W = sum_t [d_a_r, d_a_z, d_a_g]^T x[t]      d_b = sum_t [d_a_r, d_a_z, d_a_g]
    d_U = sum_t [d_a_r, d_a_z, d_q]^T h[t-1]      d_d = sum_t d_q
"""

from dataclasses import dataclass

import numpy as np

from henkan.reference.activations import LOGISTIC, TANH


@dataclass(frozen=True)
class Weights:
    """W, U, b and d; gates in rows: reset, update, candidate."""

    input_weight: np.ndarray  # (3 D, F)
    hidden_weight: np.ndarray  # (3 D, D)
    bias: np.ndarray  # (3 D,)
    hidden_bias: np.ndarray  # d, (D,)


@dataclass(frozen=True)
class Tape:
    """What the backward pass needs of the forward pass."""

    weights: Weights
    inputs: np.ndarray  # (N, T, F)
    hidden: np.ndarray  # (N, 1 + T, D): h[0] to h[T]
    gates: np.ndarray  # (4, N, T, D): r, z, g, q


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
        weights: W, U, b, d.
        inputs: (N, T, F).
        state: h[0], (N, D).

    Returns:
        Outputs h[1] to h[T] as (N, T, D), the last state, and the tape.
    """
    projected = inputs @ weights.input_weight.T + weights.bias  # needs no state: all steps at once
    hidden, gates = [state[0]], []
    for t in range(inputs.shape[1]):
        output, opened = _step(projected[:, t], hidden[-1], weights)
        hidden.append(output)
        gates.append(opened)
    tape = Tape(weights, inputs, np.stack(hidden, axis=1), np.stack(gates, axis=2))
    return tape.hidden[:, 1:], (hidden[-1],), tape


def _step(projected: np.ndarray, before: np.ndarray, weights: Weights) -> tuple[np.ndarray, np.ndarray]:
    """From x W + b (N, 3 D) and h[t-1] to h[t] and r, z, g, q (4, N, D)."""
    x_r, x_z, x_g = np.split(projected, 3, axis=1)
    h_r, h_z, h_g = np.split(before @ weights.hidden_weight.T, 3, axis=1)
    r = LOGISTIC.value(x_r + h_r)
    z = LOGISTIC.value(x_z + h_z)
    q = h_g + weights.hidden_bias
    g = TANH.value(x_g + r * q)
    return z * before + (1 - z) * g, np.stack([r, z, g, q])


def backward(tape: Tape, d_outputs: np.ndarray, d_last: tuple[np.ndarray]) -> Gradients:
    """Back-propagation through time.

    Args:
        tape: of the forward pass.
        d_outputs: (N, T, D).
        d_last: gradient of the last state, (N, D), beside what the last output got.
    """
    weights = tape.weights
    d_hidden, d_q = np.empty_like(d_outputs), np.empty_like(d_outputs)
    d_products = np.empty((*d_outputs.shape[:2], len(weights.bias)))  # d_a of r, z, g
    d_state = d_last[0]
    for t in reversed(range(tape.inputs.shape[1])):
        d_hidden[:, t] = d_outputs[:, t] + d_state
        d_products[:, t], d_q[:, t], d_state = _step_back(tape, t, d_hidden[:, t])
    d_recurrent = _recurrent_side(d_products, d_q)
    d_weights = Weights(
        input_weight=np.einsum("ntg,ntf->gf", d_products, tape.inputs),
        hidden_weight=np.einsum("ntg,nte->ge", d_recurrent, tape.hidden[:, :-1]),
        bias=d_products.sum(axis=(0, 1)),
        hidden_bias=d_q.sum(axis=(0, 1)),
    )
    return Gradients(d_products @ weights.input_weight, (d_state,), d_weights, d_hidden)


def _step_back(tape: Tape, t: int, d_output: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """From d_h[t] to d_a (N, 3 D), to d_q, and to d_h[t-1] as far as step t goes."""
    r, z, g, q = tape.gates[:, :, t]
    d_a_z = d_output * (tape.hidden[:, t] - g) * LOGISTIC.slope(z)
    d_a_g = d_output * (1 - z) * TANH.slope(g)
    d_a_r = d_a_g * q * LOGISTIC.slope(r)
    d_q = d_a_g * r
    d_products = np.concatenate([d_a_r, d_a_z, d_a_g], axis=1)
    return d_products, d_q, d_output * z + _recurrent_side(d_products, d_q) @ tape.weights.hidden_weight


def _recurrent_side(d_products: np.ndarray, d_q: np.ndarray) -> np.ndarray:
    """[d_a_r, d_a_z, d_q]: gradients of the product with h[t-1], (..., 3 D)."""
    d_a_r, d_a_z, _ = np.split(d_products, 3, axis=-1)
    return np.concatenate([d_a_r, d_a_z, d_q], axis=-1)
