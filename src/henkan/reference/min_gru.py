"""The minimal gated recurrent unit: gates see the input alone (Feng et al. 2024, section 3.1).

    z    = s(x[t] W_z^T + b_z)                update gate
    g    = x[t] W_g^T + b_g                   candidate, linear
    h[t] = (1 - z) * h[t-1] + z * g

Mind that z is here the share of the new. Because no gate sees h[t-1], all gates of a sequence are known beforehand, and
what is left is linear in h: with k = 1 - z,

    h[t] = k[t] ... k[1] * h[0] + sum_j k[t] ... k[j+1] * z[j] * g[j]

which a parallel scan finds in about log T rounds. Here it is a loop.

Gradients. The loop is linear backwards too, and needs no product with a matrix:

    d_h[t-1] = d_outputs[t-1] + d_h[t] * (1 - z)
    d_a_z    = d_h[t] * (g - h[t-1]) * z (1 - z)
    d_g      = d_h[t] * z

    d_W = sum_t [d_a_z, d_g]^T x[t]      d_b = sum_t [d_a_z, d_g]
"""

from dataclasses import dataclass

import numpy as np

from henkan.reference.activations import LOGISTIC


@dataclass(frozen=True)
class Weights:
    """W and b, in rows: update, candidate."""

    input_weight: np.ndarray  # (2 D, F)
    bias: np.ndarray  # (2 D,)


@dataclass(frozen=True)
class Tape:
    """What the backward pass needs of the forward pass."""

    weights: Weights
    inputs: np.ndarray  # (N, T, F)
    hidden: np.ndarray  # (N, 1 + T, D): h[0] to h[T]
    update: np.ndarray  # z, (N, T, D)
    candidate: np.ndarray  # g, (N, T, D)


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
        weights: W, b.
        inputs: (N, T, F).
        state: h[0], (N, D).

    Returns:
        Outputs h[1] to h[T] as (N, T, D), the last state, and the tape.
    """
    product, candidate = np.split(inputs @ weights.input_weight.T + weights.bias, 2, axis=-1)
    update = LOGISTIC.value(product)
    hidden = [state[0]]
    for t in range(inputs.shape[1]):
        hidden.append((1 - update[:, t]) * hidden[-1] + update[:, t] * candidate[:, t])
    tape = Tape(weights, inputs, np.stack(hidden, axis=1), update, candidate)
    return tape.hidden[:, 1:], (hidden[-1],), tape


def backward(tape: Tape, d_outputs: np.ndarray, d_last: tuple[np.ndarray]) -> Gradients:
    """Back-propagation through time.

    Args:
        tape: of the forward pass.
        d_outputs: (N, T, D).
        d_last: gradient of the last state, (N, D), beside what the last output got.
    """
    d_hidden = np.empty_like(d_outputs)
    d_state = d_last[0]
    for t in reversed(range(tape.inputs.shape[1])):
        d_hidden[:, t] = d_outputs[:, t] + d_state
        d_state = d_hidden[:, t] * (1 - tape.update[:, t])
    d_a_z = d_hidden * (tape.candidate - tape.hidden[:, :-1]) * LOGISTIC.slope(tape.update)
    d_products = np.concatenate([d_a_z, d_hidden * tape.update], axis=-1)
    d_weights = Weights(
        input_weight=np.einsum("ntg,ntf->gf", d_products, tape.inputs), bias=d_products.sum(axis=(0, 1))
    )
    return Gradients(d_products @ tape.weights.input_weight, (d_state,), d_weights, d_hidden)
