"""Truncated back-propagation through time: a long sequence in segments, here for the simple network.

Back-propagation through time (Werbos 1990) keeps every state until the end of the sequence, and a sequence may have no
end. So it is cut into segments of K steps. The state goes on from one segment to the next, but as a constant: the
gradient stops where a segment begins (Williams & Peng 1990; theirs may also overlap). For t = 1 ... T:

    d_h[t] = d_outputs[t] + d_a[t+1] U      if t + 1 lies in the segment of t
    d_h[t] = d_outputs[t]                   otherwise

All else is as in :mod:`henkan.reference.rnn`: each segment is a forward and a backward pass of its own, and the
gradients of the weights are sums over segments. Memory is K states instead of T; the price is that no weight learns
what reaches further back than its segment. With K >= T nothing is cut.

Whoever trains so takes an update after each segment; here all segments use the same weights, so that the result can be
compared with the whole gradient.
"""

import numpy as np

from henkan.reference import rnn
from henkan.reference.activations import TANH, Activation


def forward(
    weights: rnn.Weights,
    inputs: np.ndarray,
    state: tuple[np.ndarray],
    segment: int,
    activation: Activation = TANH,
) -> tuple[np.ndarray, tuple[np.ndarray], list[rnn.Tape]]:
    """As :func:`rnn.forward`, with a tape for each segment of ``segment`` steps; the last may be shorter."""
    outputs, tapes = [], []
    for first in range(0, inputs.shape[1], segment):
        output, state, tape = rnn.forward(weights, inputs[:, first : first + segment], state, activation)
        outputs.append(output)
        tapes.append(tape)
    return np.concatenate(outputs, axis=1), state, tapes


def backward(tapes: list[rnn.Tape], d_outputs: np.ndarray, d_last: tuple[np.ndarray]) -> rnn.Gradients:
    """As :func:`rnn.backward`, but nothing flows from a segment into the one before."""
    ends = np.cumsum([tape.inputs.shape[1] for tape in tapes])
    parts = np.split(d_outputs, ends[:-1], axis=1)
    nothing = (np.zeros_like(d_last[0]),)
    d_states = [nothing] * (len(tapes) - 1) + [d_last]
    segments = [rnn.backward(*each) for each in zip(tapes, parts, d_states, strict=True)]
    return rnn.Gradients(
        inputs=np.concatenate([each.inputs for each in segments], axis=1),
        state=segments[0].state,
        weights=rnn.Weights(
            input_weight=np.sum([each.weights.input_weight for each in segments], axis=0),
            hidden_weight=np.sum([each.weights.hidden_weight for each in segments], axis=0),
            bias=np.sum([each.weights.bias for each in segments], axis=0),
        ),
        hidden=np.concatenate([each.hidden for each in segments], axis=1),
    )
