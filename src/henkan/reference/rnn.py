"""The simple recurrent network (Elman 1990) and back-propagation through time (Werbos 1990).

Equations, for t = 1 ... T, with h[0] given (rows are examples):

    a[t] = x[t] W^T + h[t-1] U^T + b
    h[t] = phi(a[t])                        phi = tanh; or max(0, .), U starting as identity (Le et al. 2015)

Gradients. Unrolled, this is a feed-forward network with one layer per step and the same weights in each. Let d_h[t] be
dL/dh[t] with every way counted in which h[t] reaches the loss. There are two: it is the output of step t, whose
gradient is given (d_outputs[t]), and it enters the next step. So, backwards from the last step:

    d_h[t] = d_outputs[t] + d_a[t+1] U      (1)    after the last step stands d_last, the gradient of the last state
    d_a[t] = d_h[t] * phi'(a[t])            (2)    phi' told from the value: 1 - h[t]^2 for tanh

Every step uses the same weights, so their gradients are sums over steps; each is one product once the loop is over:

    d_W = sum_t d_a[t]^T x[t]      d_U = sum_t d_a[t]^T h[t-1]      d_b = sum_t d_a[t]
    d_x[t] = d_a[t] W              d_h[0] = d_a[1] U

Going back k steps multiplies by U and by a slope k times, so ||d_h[t]|| shrinks or grows like a k-th power: gradients
vanish or explode (Bengio et al. 1994; Pascanu et al. 2013). ``Gradients.hidden`` is d_h[t], there to be looked at.
"""

from dataclasses import dataclass

import numpy as np

from henkan.reference.activations import TANH, Activation


@dataclass(frozen=True)
class Weights:
    """W, U and b of the equations."""

    input_weight: np.ndarray  # (D, F)
    hidden_weight: np.ndarray  # (D, D)
    bias: np.ndarray  # (D,)


@dataclass(frozen=True)
class Tape:
    """What the backward pass needs of the forward pass."""

    weights: Weights
    activation: Activation
    inputs: np.ndarray  # (N, T, F)
    hidden: np.ndarray  # (N, 1 + T, D): h[0] to h[T]


@dataclass(frozen=True)
class Gradients:
    """Of all that went in; and d_h[t], which went through."""

    inputs: np.ndarray  # (N, T, F)
    state: tuple[np.ndarray]  # (N, D)
    weights: Weights
    hidden: np.ndarray  # (N, T, D): d_h[1] to d_h[T]


def forward(
    weights: Weights, inputs: np.ndarray, state: tuple[np.ndarray], activation: Activation = TANH
) -> tuple[np.ndarray, tuple[np.ndarray], Tape]:
    """The recurrence over a whole sequence.

    Args:
        weights: W, U, b.
        inputs: (N, T, F).
        state: h[0], (N, D).
        activation: phi.

    Returns:
        Outputs h[1] to h[T] as (N, T, D), the last state, and the tape.
    """
    projected = inputs @ weights.input_weight.T + weights.bias  # needs no state: all steps at once
    hidden = [state[0]]
    for t in range(inputs.shape[1]):
        hidden.append(activation.value(projected[:, t] + hidden[-1] @ weights.hidden_weight.T))
    tape = Tape(weights, activation, inputs, np.stack(hidden, axis=1))
    return tape.hidden[:, 1:], (hidden[-1],), tape


def backward(tape: Tape, d_outputs: np.ndarray, d_last: tuple[np.ndarray]) -> Gradients:
    """Back-propagation through time.

    Args:
        tape: of the forward pass.
        d_outputs: (N, T, D).
        d_last: gradient of the last state, (N, D), beside what the last output got.
    """
    steps = tape.inputs.shape[1]
    slopes = tape.activation.slope(tape.hidden[:, 1:])
    d_hidden, d_products = np.empty_like(d_outputs), np.empty_like(d_outputs)  # d_h[t]; d_a[t]
    d_state = d_last[0]
    for t in reversed(range(steps)):
        d_hidden[:, t] = d_outputs[:, t] + d_state  # (1)
        d_products[:, t] = d_hidden[:, t] * slopes[:, t]  # (2)
        d_state = d_products[:, t] @ tape.weights.hidden_weight
    d_weights = Weights(
        input_weight=np.einsum("ntd,ntf->df", d_products, tape.inputs),
        hidden_weight=np.einsum("ntd,nte->de", d_products, tape.hidden[:, :-1]),
        bias=d_products.sum(axis=(0, 1)),
    )
    return Gradients(d_products @ tape.weights.input_weight, (d_state,), d_weights, d_hidden)
