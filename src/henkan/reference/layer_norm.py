"""Layer normalisation (Ba et al. 2016): every row gets mean 0 and deviation 1, then a scale and a shift of its own.

Equations, for a row a of H numbers:

    m = mean(a)      v = sqrt(mean((a - m)^2) + e)      n = (a - m) / v      y = scale * n + shift

Gradients. d_scale and d_shift are sums of d_y * n and d_y over rows. For the rest let d_n = d_y * scale. A number a_k
acts on its own n_k directly (1/v) and on all n_j through m and v:

    dm/da_k = 1/H
    dv/da_k = n_k / H                                          because v^2 - e is the mean of (a - m)^2
    dn_j/da_k = ([j = k] - 1/H) / v - (a_j - m) / v^2 * dv/da_k = ([j = k] - 1/H - n_j n_k / H) / v

and therefore, summed over j,

    d_a = (d_n - mean(d_n) - n * mean(d_n * n)) / v

What is taken away is the part of d_n along (1, ..., 1) and along n: a row's mean and length change nothing in y.
"""

from dataclasses import dataclass

import numpy as np

EPSILON = 1e-5
"""e of the equations: a row of equal numbers has no deviation."""


@dataclass(frozen=True)
class Tape:
    """What the backward pass needs of the forward pass."""

    normed: np.ndarray  # n, (..., H)
    deviation: np.ndarray  # v, (..., 1)
    scale: np.ndarray  # (H,)


def forward(rows: np.ndarray, scale: np.ndarray, shift: np.ndarray | float = 0.0) -> tuple[np.ndarray, Tape]:
    """Rows (..., H), normalised along their last axis."""
    centred = rows - rows.mean(axis=-1, keepdims=True)
    deviation = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + EPSILON)
    normed = centred / deviation
    return scale * normed + shift, Tape(normed, deviation, scale)


def backward(tape: Tape, d_rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gradients of rows (..., H), of scale and of shift (H,)."""
    n, d_n = tape.normed, d_rows * tape.scale
    shared = d_n.mean(axis=-1, keepdims=True) + n * (d_n * n).mean(axis=-1, keepdims=True)
    others = tuple(range(d_rows.ndim - 1))
    return (d_n - shared) / tape.deviation, (d_rows * n).sum(axis=others), d_rows.sum(axis=others)
