"""The lessons against torch's own recurrent layers in float64, values and every gradient."""

import numpy as np
import pytest
import torch
from torch import nn

from henkan.reference import gru_reset_after, lstm, rnn, truncated
from lessons import INPUTS, RECURRENCES, SIZE, STEPS, example

CLOSE = {"rtol": 1e-9, "atol": 1e-9}


def random_layer(kind, **options):
    """One layer of torch's, every parameter random; both its bias vectors too."""
    layer = kind(INPUTS, SIZE, batch_first=True, **options).double()
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    return layer


def as_array(tensor):
    return tensor.detach().numpy().copy()


def compare(layer, weights, name, expected_weights):
    """Runs both from one example; ``expected_weights`` says which gradient of torch's each of ours must equal."""
    recurrence = RECURRENCES[name]
    given = example(recurrence)
    outputs, last, tape = recurrence.forward(weights, given.inputs, given.state)
    ours = recurrence.backward(tape, given.d_outputs, given.d_last)

    inputs = torch.from_numpy(given.inputs).requires_grad_()
    state = [torch.from_numpy(part)[None].requires_grad_() for part in given.state]
    theirs, their_last = layer(inputs, tuple(state) if len(state) > 1 else state[0])
    their_last = their_last if isinstance(their_last, tuple) else (their_last,)
    upstream = [torch.from_numpy(given.d_outputs), *(torch.from_numpy(part)[None] for part in given.d_last)]
    torch.autograd.backward([theirs, *their_last], upstream)

    np.testing.assert_allclose(outputs, as_array(theirs), **CLOSE, err_msg="outputs")
    np.testing.assert_allclose(np.stack(last), as_array(torch.cat(their_last)), **CLOSE, err_msg="last state")
    np.testing.assert_allclose(ours.inputs, inputs.grad.numpy(), **CLOSE, err_msg="gradient of inputs")
    their_state = torch.cat([part.grad for part in state]).numpy()
    np.testing.assert_allclose(np.stack(ours.state), their_state, **CLOSE, err_msg="gradient of the first state")
    for field, gradient in expected_weights(layer).items():
        found = getattr(ours.weights, field)
        np.testing.assert_allclose(found, gradient.numpy(), **CLOSE, err_msg=f"gradient of {field}")


def one_bias(kind, layer):
    """torch adds its two bias vectors; we have their sum."""
    bias = as_array(layer.bias_ih_l0 + layer.bias_hh_l0)
    return kind(as_array(layer.weight_ih_l0), as_array(layer.weight_hh_l0), bias)


def gradients(layer):
    weights = {"input_weight": layer.weight_ih_l0.grad, "hidden_weight": layer.weight_hh_l0.grad}
    return weights | {"bias": layer.bias_ih_l0.grad}


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_rnn(activation):
    layer = random_layer(nn.RNN, nonlinearity=activation)
    compare(layer, one_bias(rnn.Weights, layer), f"rnn, {activation}", gradients)


def test_lstm():
    layer = random_layer(nn.LSTM)
    compare(layer, one_bias(lstm.Weights, layer), "lstm", gradients)


def test_gru_resets_after_the_product_and_has_two_biases():
    """Two of three parts of the second bias are added to the first; the candidate's is inside the reset."""
    layer = random_layer(nn.GRU)
    bias, hidden_bias = as_array(layer.bias_ih_l0), as_array(layer.bias_hh_l0)
    bias[: 2 * SIZE] += hidden_bias[: 2 * SIZE]
    weights = gru_reset_after.Weights(
        as_array(layer.weight_ih_l0), as_array(layer.weight_hh_l0), bias, hidden_bias[2 * SIZE :]
    )
    compare(layer, weights, "gru, reset after", lambda x: gradients(x) | {"hidden_bias": x.bias_hh_l0.grad[2 * SIZE :]})


def test_the_two_reset_gates_differ():
    """The GRU of 2014 is another function of the same weights."""
    before, after = RECURRENCES["gru"], RECURRENCES["gru, reset after"]
    given = example(before)
    weights = after.weights(*vars(given.weights).values(), np.zeros(SIZE))
    ours, theirs = (
        each.forward(chosen, given.inputs, given.state)[0]
        for each, chosen in ((before, given.weights), (after, weights))
    )
    assert np.abs(ours - theirs).max() > 1e-3


@pytest.mark.parametrize("segment", [1, 2, 3, STEPS])
def test_segments_are_detached_states(segment):
    layer = random_layer(nn.RNN)
    weights = one_bias(rnn.Weights, layer)
    given = example(RECURRENCES["rnn, tanh"])
    _, _, tapes = truncated.forward(weights, given.inputs, given.state, segment)
    ours = truncated.backward(tapes, given.d_outputs, given.d_last)

    inputs = torch.from_numpy(given.inputs).requires_grad_()
    first = torch.from_numpy(given.state[0])[None].requires_grad_()
    state, outputs = first, []
    for number, part in enumerate(inputs.split(segment, 1)):
        output, state = layer(part, state.detach() if number else state)
        outputs.append(output)
    upstream = [torch.from_numpy(given.d_outputs), torch.from_numpy(given.d_last[0])[None]]
    torch.autograd.backward([torch.cat(outputs, 1), state], upstream)

    np.testing.assert_allclose(ours.inputs, inputs.grad.numpy(), **CLOSE)
    np.testing.assert_allclose(ours.state[0], first.grad[0].numpy(), **CLOSE)
    for field, gradient in gradients(layer).items():
        np.testing.assert_allclose(getattr(ours.weights, field), gradient.numpy(), **CLOSE, err_msg=field)
