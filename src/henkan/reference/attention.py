"""Soft attention: the softmax of the scores, and the value expected under it (Bahdanau et al. 2015, equations 5 and 6).

For scores e[t,s] (:mod:`henkan.reference.scores`) and values v[s], over the places s that are real:

    w[t,s]  = exp(e[t,s]) / sum_j exp(e[t,j])        weights: the alignment
    c[t]    = sum_s w[t,s] v[s]                      context

Gradients. A value is read by every query, in proportion to its weight, and a weight by its value:

    d_v[s]   = sum_t w[t,s] d_c[t]
    d_w[t,s] = d_c[t] . v[s]                         and whatever came for the weights themselves

The slope of a softmax is dw_j/de_s = w_j ([j = s] - w_s): raising one score takes from all the others. So

    d_e[t,s] = sum_j d_w[t,j] w[t,j] ([j = s] - w[t,s]) = w[t,s] (d_w[t,s] - sum_j w[t,j] d_w[t,j])

A score gains where its value is better than what is expected now (the sum), and the more the likelier it already is. At
padding w = 0, and so is d_e.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Tape:
    """What the backward pass needs of the forward pass."""

    weights: np.ndarray  # (N, T, S)
    values: np.ndarray  # (N, S, D)


def forward(scores: np.ndarray, values: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, Tape]:
    """Contexts, weights and the tape.

    Args:
        scores: (N, T, S).
        values: (N, S, D).
        mask: (N, S) bool, True where real; at least one place of each row is.

    Returns:
        Contexts (N, T, D), weights (N, T, S), and the tape.
    """
    scores = np.where(mask[:, None], scores, -np.inf)
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))  # the greatest is 1: nothing overflows
    weights = powers / powers.sum(axis=-1, keepdims=True)
    return weights @ values, weights, Tape(weights, values)


def backward(tape: Tape, d_contexts: np.ndarray, d_weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gradients of scores (N, T, S) and values (N, S, D).

    Args:
        tape: of the forward pass.
        d_contexts: (N, T, D).
        d_weights: (N, T, S), for a loss that looks at the weights; otherwise zeros.
    """
    d_values = np.einsum("nts,ntd->nsd", tape.weights, d_contexts)
    d_weights = d_weights + np.einsum("ntd,nsd->nts", d_contexts, tape.values)
    expected = (tape.weights * d_weights).sum(axis=-1, keepdims=True)
    return tape.weights * (d_weights - expected), d_values
