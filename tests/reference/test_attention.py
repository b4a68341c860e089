"""The project's scorers and the lessons, with the same weights in float64: values and every gradient to 1e-9."""

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from torch import nn

from henkan.nn.scores import ScoresConfig
from henkan.reference import attention, scores

ROWS, ASKING, PLACES, QUERY, KEY, SIZE = 2, 3, 6, 4, 5, 7
LENGTHS = [PLACES, 2]
CLOSE = {"rtol": 1e-9, "atol": 1e-9}


def dot(scorer, queries, keys):
    found, tape = scores.dot(queries, keys)
    return found, lambda upstream: (*scores.dot_backward(tape, upstream), {})


def general(scorer, queries, keys):
    found, tape = scores.general(array(scorer.weight), queries, keys)

    def backward(upstream):
        d_weight, d_queries, d_keys = scores.general_backward(tape, upstream)
        return d_queries, d_keys, {"weight": d_weight}

    return found, backward


def additive(scorer, queries, keys):
    weights = scores.AdditiveWeights(**{name: array(weight) for name, weight in scorer.named_parameters()})
    found, tape = scores.additive(weights, queries, keys)

    def backward(upstream):
        d_weights, d_queries, d_keys = scores.additive_backward(tape, upstream)
        return d_queries, d_keys, vars(d_weights)

    return found, backward


def concat(scorer, queries, keys):
    """The additive score with W = [Q K] and no bias."""
    halves = array(scorer.query_weight), array(scorer.key_weight)
    weights = scores.AdditiveWeights(*halves, np.zeros(SIZE), array(scorer.vector))
    found, tape = scores.additive(weights, queries, keys)

    def backward(upstream):
        d_weights, d_queries, d_keys = scores.additive_backward(tape, upstream)
        found = {name: getattr(d_weights, name) for name in ("query_weight", "key_weight", "vector")}
        return d_queries, d_keys, found

    return found, backward


# settings of the scorer, width of its keys, the lesson: (scorer, queries, keys) to scores and their backward pass
SCORERS = {
    "dot": ({"kind": "dot"}, QUERY, dot),
    "general": ({"kind": "general"}, KEY, general),
    "additive": ({"kind": "additive", "size": SIZE}, KEY, additive),
    "concat": ({"kind": "concat", "size": SIZE}, KEY, concat),
}


def array(tensor):
    return tensor.detach().numpy().copy()


@pytest.mark.parametrize("name", SCORERS)
def test_scores_and_softmax(name):
    settings, key_width, lesson = SCORERS[name]
    scorer = TypeAdapter(ScoresConfig).validate_python(settings).build(QUERY, key_width).double()
    for parameter in scorer.parameters():
        nn.init.normal_(parameter)
    queries = torch.randn(ROWS, ASKING, QUERY, dtype=torch.float64, requires_grad=True)
    states = torch.randn(ROWS, PLACES, key_width, dtype=torch.float64, requires_grad=True)
    mask = torch.arange(PLACES) < torch.tensor(LENGTHS)[:, None]
    upstream = torch.randn(ROWS, ASKING, key_width, dtype=torch.float64), torch.randn(ROWS, ASKING, PLACES).double()

    raw = scorer(queries, scorer.project(states)).masked_fill(~mask[:, None], -torch.inf)
    weights = torch.softmax(raw, -1)
    contexts = torch.bmm(weights, states)
    torch.autograd.backward([contexts, weights], list(upstream))

    found, scores_backward = lesson(scorer, array(queries), array(states))
    our_contexts, our_weights, tape = attention.forward(found, array(states), mask.numpy())
    d_scores, d_values = attention.backward(tape, array(upstream[0]), array(upstream[1]))
    d_queries, d_keys, d_weights = scores_backward(d_scores)

    np.testing.assert_allclose(our_weights, array(weights), **CLOSE, err_msg="weights")
    np.testing.assert_allclose(our_contexts, array(contexts), **CLOSE, err_msg="contexts")
    np.testing.assert_allclose(d_queries, queries.grad.numpy(), **CLOSE, err_msg="gradient of the queries")
    np.testing.assert_allclose(d_keys + d_values, states.grad.numpy(), **CLOSE, err_msg="gradient of the states")
    for field, parameter in scorer.named_parameters():
        np.testing.assert_allclose(d_weights[field], parameter.grad.numpy(), **CLOSE, err_msg=f"gradient of {field}")


def test_padding_gets_nothing():
    raw, values = np.random.standard_normal((ROWS, ASKING, PLACES)), np.random.standard_normal((ROWS, PLACES, KEY))
    mask = np.arange(PLACES) < np.array(LENGTHS)[:, None]
    _, weights, tape = attention.forward(raw, values, mask)
    d_scores, d_values = attention.backward(tape, np.ones((ROWS, ASKING, KEY)), np.ones_like(raw))
    np.testing.assert_allclose(weights.sum(-1), 1)
    for name, part in {"weights": weights, "d_scores": d_scores}.items():
        assert not part[~np.broadcast_to(mask[:, None], part.shape)].any(), name
    assert not d_values[~mask].any()


def test_large_scores_do_not_overflow():
    _, weights, _ = attention.forward(np.array([[[1e4, 0.0]]]), np.ones((1, 2, 1)), np.ones((1, 2), dtype=bool))
    np.testing.assert_array_equal(weights, [[[1.0, 0.0]]])
