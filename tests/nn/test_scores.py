"""The scorers against loops over their equations."""

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import nn

from henkan.nn.scores import AdditiveScores, ConcatScores, DotScores, GeneralScores, ScoresConfig

ROWS, ASKING, PLACES, QUERY, KEY, SIZE = 2, 3, 4, 5, 6, 7


def numpy(tensor):
    return tensor.detach().numpy()


def scorers():
    """(scorer, width of the keys, its equation for one query and one key)."""
    general, additive = GeneralScores(QUERY, KEY).double(), AdditiveScores(QUERY, KEY, SIZE).double()
    concat = ConcatScores(QUERY, KEY, SIZE).double()
    for parameter in (*general.parameters(), *additive.parameters(), *concat.parameters()):
        nn.init.normal_(parameter)
    joined = numpy(torch.cat([concat.query_weight, concat.key_weight], 1))
    vector = numpy(concat.vector)
    W, U, b, v = map(numpy, (additive.query_weight, additive.key_weight, additive.bias, additive.vector))
    return {
        "dot": (DotScores(), QUERY, lambda query, key: query @ key),
        "general": (general, KEY, lambda query, key: query @ numpy(general.weight) @ key),
        "additive": (additive, KEY, lambda query, key: v @ np.tanh(W @ query + U @ key + b)),
        "concat": (concat, KEY, lambda query, key: vector @ np.tanh(joined @ np.concatenate([query, key]))),
    }


@pytest.mark.parametrize("name", ["dot", "general", "additive", "concat"])
def test_equations(name):
    scorer, key_width, equation = scorers()[name]
    queries = torch.randn(ROWS, ASKING, QUERY, dtype=torch.float64)
    states = torch.randn(ROWS, PLACES, key_width, dtype=torch.float64)
    found = numpy(scorer(queries, scorer.project(states)))
    assert found.shape == (ROWS, ASKING, PLACES)
    for row, asking, place in np.ndindex(*found.shape):
        expected = equation(numpy(queries[row, asking]), numpy(states[row, place]))
        np.testing.assert_allclose(found[row, asking, place], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["dot", "general", "additive", "concat"])
def test_gradients(name):
    scorer, key_width, _ = scorers()[name]
    queries = torch.randn(ROWS, ASKING, QUERY, dtype=torch.float64, requires_grad=True)
    states = torch.randn(ROWS, PLACES, key_width, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda q, s, *_: scorer(q, scorer.project(s)), (queries, states, *scorer.parameters())
    )


def test_settings_build_and_check():
    adapter = TypeAdapter(ScoresConfig)
    assert isinstance(adapter.validate_python({"kind": "dot"}).build(4, 4), DotScores)
    assert isinstance(adapter.validate_python({"kind": "general"}).build(QUERY, KEY), GeneralScores)
    additive = adapter.validate_python({"kind": "additive", "size": SIZE}).build(QUERY, KEY)
    assert additive.vector.shape == (SIZE,)
    concat = adapter.validate_python({"kind": "concat", "size": SIZE}).build(QUERY, KEY)
    assert concat.query_weight.shape == (SIZE, QUERY) and concat.key_weight.shape == (SIZE, KEY)
    with pytest.raises(ValueError, match="the query has 5, the keys have 6"):
        adapter.validate_python({"kind": "dot"}).check(QUERY, KEY)
    with pytest.raises(ValidationError, match="size"):
        adapter.validate_python({"kind": "additive"})
