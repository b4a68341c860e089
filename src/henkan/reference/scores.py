"""How well a query and a key fit: the scores that attention takes the softmax of.

For queries q[t] (what is asked) and keys k[s] (the places of a source):

    dot         e[t,s] = q[t] . k[s]                              Luong et al. (2015), equation 8
    general     e[t,s] = q[t] . W k[s]                            the same; with W the identity it is the dot
    additive    e[t,s] = v . tanh(Q q[t] + K k[s] + b)            Bahdanau et al. (2015), appendix A.1.2

Luong's "concat" is v . tanh(W [q; k]): the additive score with W = [Q K] and b = 0.

Gradients. A query meets every key and a key every query, so both collect sums:

    dot         d_q[t] = sum_s d_e[t,s] k[s]            d_k[s] = sum_t d_e[t,s] q[t]
    general     the dot of q and y = W k, then d_W = sum_s d_y[s] k[s]^T and d_k[s] = W^T d_y[s]
    additive    with y = tanh(...) for every pair (t, s) and d_a[t,s] = d_e[t,s] v * (1 - y[t,s]^2):
                d_v = sum_ts d_e[t,s] y[t,s]            d_b = sum_ts d_a[t,s]
                d_q[t] = Q^T sum_s d_a[t,s]             d_Q = sum_t (sum_s d_a[t,s]) q[t]^T
                d_k[s] = K^T sum_t d_a[t,s]             d_K = sum_s (sum_t d_a[t,s]) k[s]^T

Shapes: queries (N, T, A), keys (N, S, B), scores (N, T, S); E is the width of the additive score's hidden layer.
"""

from dataclasses import dataclass

import numpy as np

from henkan.reference.activations import TANH


@dataclass(frozen=True)
class DotTape:
    """What the backward pass needs of the forward pass."""

    queries: np.ndarray  # (N, T, A)
    keys: np.ndarray  # (N, S, A)


def dot(queries: np.ndarray, keys: np.ndarray) -> tuple[np.ndarray, DotTape]:
    """Scores of queries (N, T, A) and keys (N, S, A), and the tape."""
    return np.einsum("nta,nsa->nts", queries, keys), DotTape(queries, keys)


def dot_backward(tape: DotTape, d_scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gradients of queries and keys."""
    d_queries = np.einsum("nts,nsa->nta", d_scores, tape.keys)
    d_keys = np.einsum("nts,nta->nsa", d_scores, tape.queries)
    return d_queries, d_keys


@dataclass(frozen=True)
class GeneralTape:
    """What the backward pass needs of the forward pass."""

    weight: np.ndarray  # (A, B)
    keys: np.ndarray  # (N, S, B)
    products: DotTape  # of the queries and W k


def general(weight: np.ndarray, queries: np.ndarray, keys: np.ndarray) -> tuple[np.ndarray, GeneralTape]:
    """Scores of queries (N, T, A) and keys (N, S, B) by W (A, B), and the tape."""
    scores, tape = dot(queries, keys @ weight.T)
    return scores, GeneralTape(weight, keys, tape)


def general_backward(tape: GeneralTape, d_scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gradients of W, queries and keys."""
    d_queries, d_projected = dot_backward(tape.products, d_scores)
    d_weight = np.einsum("nsa,nsb->ab", d_projected, tape.keys)
    return d_weight, d_queries, d_projected @ tape.weight


@dataclass(frozen=True)
class AdditiveWeights:
    """Q, K, b and v of the additive score."""

    query_weight: np.ndarray  # (E, A)
    key_weight: np.ndarray  # (E, B)
    bias: np.ndarray  # (E,)
    vector: np.ndarray  # (E,)


@dataclass(frozen=True)
class AdditiveTape:
    """What the backward pass needs of the forward pass."""

    weights: AdditiveWeights
    queries: np.ndarray  # (N, T, A)
    keys: np.ndarray  # (N, S, B)
    layer: np.ndarray  # y, (N, T, S, E)


def additive(weights: AdditiveWeights, queries: np.ndarray, keys: np.ndarray) -> tuple[np.ndarray, AdditiveTape]:
    """Scores of queries (N, T, A) and keys (N, S, B), and the tape."""
    asked = queries @ weights.query_weight.T  # (N, T, E)
    offered = keys @ weights.key_weight.T + weights.bias  # (N, S, E): the same for all queries
    layer = TANH.value(asked[:, :, None] + offered[:, None])  # (N, T, S, E)
    return layer @ weights.vector, AdditiveTape(weights, queries, keys, layer)


def additive_backward(tape: AdditiveTape, d_scores: np.ndarray) -> tuple[AdditiveWeights, np.ndarray, np.ndarray]:
    """Gradients of the weights, queries and keys."""
    weights = tape.weights
    d_layer = d_scores[..., None] * weights.vector * TANH.slope(tape.layer)  # d_a, (N, T, S, E)
    d_asked, d_offered = d_layer.sum(axis=2), d_layer.sum(axis=1)  # (N, T, E), (N, S, E)
    d_weights = AdditiveWeights(
        query_weight=np.einsum("nte,nta->ea", d_asked, tape.queries),
        key_weight=np.einsum("nse,nsb->eb", d_offered, tape.keys),
        bias=d_layer.sum(axis=(0, 1, 2)),
        vector=np.einsum("nts,ntse->e", d_scores, tape.layer),
    )
    return d_weights, d_asked @ weights.query_weight, d_offered @ weights.key_weight
