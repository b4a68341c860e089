"""Every gradient of every lesson against central differences: no autograd on either side."""

from dataclasses import replace

import numpy as np
import pytest

from henkan.reference import activations, attention, layer_norm, lstm, rnn, scores, truncated
from lessons import CUT, INPUTS, RECURRENCES, ROWS, SIZE, STEPS, differences, example, named

PLACES = 6


def agree(found, loss, array, name):
    np.testing.assert_allclose(found, differences(loss, array), rtol=1e-6, atol=1e-7, err_msg=f"gradient of {name}")


@pytest.mark.parametrize("name", [name for name in RECURRENCES if name not in CUT])
def test_recurrences(name):
    recurrence = RECURRENCES[name]
    given = example(recurrence)

    def loss():
        outputs, last, _ = recurrence.forward(given.weights, given.inputs, given.state)
        return (outputs * given.d_outputs).sum() + sum((a * b).sum() for a, b in zip(last, given.d_last, strict=True))

    _, _, tape = recurrence.forward(given.weights, given.inputs, given.state)
    gradients = recurrence.backward(tape, given.d_outputs, given.d_last)
    agree(gradients.inputs, loss, given.inputs, "inputs")
    for number, (found, array) in enumerate(zip(gradients.state, given.state, strict=True)):
        agree(found, loss, array, f"first state, {number}")
    weights = dict(named(given.weights))
    assert dict(named(gradients.weights)).keys() == weights.keys()
    for field, found in named(gradients.weights):
        agree(found, loss, weights[field], field)


@pytest.mark.parametrize("name", sorted(CUT))
def test_cut_gradients_see_the_past_as_an_input(name):
    """With h[t-1] joined to x[t], and no recurrent product, nothing is left to cut: whole and cut gradient are one."""
    recurrence = RECURRENCES[name]
    given, generation = example(recurrence), recurrence.forward.keywords["generation"]
    assert generation.cut
    outputs, last, tape = recurrence.forward(given.weights, given.inputs, given.state)
    cut = recurrence.backward(tape, given.d_outputs, given.d_last)

    both = np.concatenate([given.weights.input_weight, given.weights.hidden_weight], axis=1)
    joined = lstm.Weights(both, np.zeros_like(given.weights.hidden_weight), given.weights.bias)
    seen = np.concatenate([given.inputs, tape.hidden[:, :-1]], axis=2)
    same, same_last, tape = lstm.forward(joined, seen, given.state, replace(generation, cut=False))
    whole = lstm.backward(tape, given.d_outputs, given.d_last)

    pairs = {
        "outputs": (outputs, same),
        "last cell": (last[1], same_last[1]),
        "gradient of inputs": (cut.inputs, whole.inputs[..., :INPUTS]),
        "gradient of the first cell": (cut.state[1], whole.state[1]),
        "gradient of input_weight": (cut.weights.input_weight, whole.weights.input_weight[:, :INPUTS]),
        "gradient of hidden_weight": (cut.weights.hidden_weight, whole.weights.input_weight[:, INPUTS:]),
        "gradient of bias": (cut.weights.bias, whole.weights.bias),
    }
    for what, (found, expected) in pairs.items():
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10, err_msg=what)
    assert not cut.state[0].any(), "an error reached h[0]"


@pytest.mark.parametrize("segment", [1, 2, 3, STEPS])
def test_segments_see_the_state_they_begin_with_as_a_constant(segment):
    given = example(RECURRENCES["rnn, tanh"])
    outputs, last, tapes = truncated.forward(given.weights, given.inputs, given.state, segment)
    whole, whole_last, _ = rnn.forward(given.weights, given.inputs, given.state)
    np.testing.assert_allclose(outputs, whole, rtol=1e-12, atol=1e-12)  # the forward pass is not cut
    np.testing.assert_allclose(last[0], whole_last[0], rtol=1e-12, atol=1e-12)
    gradients = truncated.backward(tapes, given.d_outputs, given.d_last)
    starts = [given.state[0], *(tape.hidden[:, 0].copy() for tape in tapes[1:])]

    def loss():
        total = 0.0
        for number, start in enumerate(starts):
            part = slice(number * segment, (number + 1) * segment)
            outputs, last, _ = rnn.forward(given.weights, given.inputs[:, part], (start,))
            total += (outputs * given.d_outputs[:, part]).sum()
        return total + (last[0] * given.d_last[0]).sum()

    agree(gradients.inputs, loss, given.inputs, "inputs")
    agree(gradients.state[0], loss, given.state[0], "first state")
    for field, found in named(gradients.weights):
        agree(found, loss, getattr(given.weights, field), field)


@pytest.mark.parametrize("name", ["TANH", "LOGISTIC", "RELU", "WIDE_1997", "FLAT_1997"])
def test_slopes(name):
    activation = getattr(activations, name)
    points = np.linspace(-4, 4, 12)  # not at 0, where relu has no slope
    found = activation.slope(activation.value(points))
    agree(found, lambda: activation.value(points).sum(), points, name)


def test_the_squashing_of_1997_in_the_papers_own_words():
    points = np.linspace(-6, 6, 13)
    logistic = 1 / (1 + np.exp(-points))
    np.testing.assert_allclose(activations.LOGISTIC.value(points), logistic, rtol=1e-12)
    np.testing.assert_allclose(activations.WIDE_1997.value(points), 4 * logistic - 2, rtol=0, atol=1e-14)
    np.testing.assert_allclose(activations.FLAT_1997.value(points), 2 * logistic - 1, rtol=0, atol=1e-14)


def test_the_logistic_function_does_not_overflow():
    np.testing.assert_array_equal(activations.LOGISTIC.value(np.array([-1e4, 0.0, 1e4])), [0, 0.5, 1])


def test_layer_norm():
    rows, scale, shift, upstream = (np.random.standard_normal(shape) for shape in ((ROWS, 7), 7, 7, (ROWS, 7)))

    def loss():
        return (layer_norm.forward(rows, scale, shift)[0] * upstream).sum()

    _, tape = layer_norm.forward(rows, scale, shift)
    found = layer_norm.backward(tape, upstream)
    for gradient, array, name in zip(found, (rows, scale, shift), ("rows", "scale", "shift"), strict=True):
        agree(gradient, loss, array, name)


def queries_and_keys(key_width):
    draw = np.random.standard_normal
    return draw((ROWS, STEPS, SIZE)), draw((ROWS, PLACES, key_width)), draw((ROWS, STEPS, PLACES))


def test_dot_scores():
    queries, keys, upstream = queries_and_keys(SIZE)

    def loss():
        return (scores.dot(queries, keys)[0] * upstream).sum()

    d_queries, d_keys = scores.dot_backward(scores.dot(queries, keys)[1], upstream)
    agree(d_queries, loss, queries, "queries")
    agree(d_keys, loss, keys, "keys")


def test_general_scores():
    queries, keys, upstream = queries_and_keys(INPUTS)
    weight = np.random.standard_normal((SIZE, INPUTS))

    def loss():
        return (scores.general(weight, queries, keys)[0] * upstream).sum()

    found = scores.general_backward(scores.general(weight, queries, keys)[1], upstream)
    for gradient, array, name in zip(found, (weight, queries, keys), ("weight", "queries", "keys"), strict=True):
        agree(gradient, loss, array, name)


def test_additive_scores():
    queries, keys, upstream = queries_and_keys(INPUTS)
    draw = np.random.standard_normal
    weights = scores.AdditiveWeights(draw((5, SIZE)), draw((5, INPUTS)), draw(5), draw(5))

    def loss():
        return (scores.additive(weights, queries, keys)[0] * upstream).sum()

    d_weights, d_queries, d_keys = scores.additive_backward(scores.additive(weights, queries, keys)[1], upstream)
    agree(d_queries, loss, queries, "queries")
    agree(d_keys, loss, keys, "keys")
    for field, found in named(d_weights):
        agree(found, loss, getattr(weights, field), field)


def test_attention():
    draw = np.random.standard_normal
    raw, values = draw((ROWS, STEPS, PLACES)), draw((ROWS, PLACES, SIZE))
    mask = np.arange(PLACES) < np.array([[PLACES], [2]])
    d_contexts, d_weights = draw((ROWS, STEPS, SIZE)), draw((ROWS, STEPS, PLACES))

    def loss():
        contexts, weights, _ = attention.forward(raw, values, mask)
        return (contexts * d_contexts).sum() + (weights * d_weights).sum()

    d_scores, d_values = attention.backward(attention.forward(raw, values, mask)[2], d_contexts, d_weights)
    agree(d_scores, loss, raw, "scores")
    agree(d_values, loss, values, "values")
