"""The project's cells and the lessons, with the same weights in float64: values and every gradient to 1e-9."""

from typing import get_args

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from torch import nn

from henkan.nn.cells import CellConfig
from henkan.nn.recurrent import run, run_plain
from henkan.reference import lstm, rnn
from lessons import INPUTS, RECURRENCES, ROWS, SIZE, STEPS, example, named

CLOSE = {"rtol": 1e-9, "atol": 1e-9}
CELL = TypeAdapter(CellConfig)


def cell_and_weights(recurrence):
    """The project's cell, every parameter random, and the lesson's weights made of the same numbers."""
    cell = CELL.validate_python(recurrence.cell | {"size": SIZE}).build(INPUTS).double()
    for parameter in cell.parameters():
        nn.init.normal_(parameter)
    arrays = {name: parameter.detach().numpy().copy() for name, parameter in cell.named_parameters()}
    return cell, recurrence.weights(**arrays)


def test_every_cell_of_a_recipe_has_a_lesson():
    union, *_ = get_args(CellConfig)
    kinds = {config.model_fields["kind"].default for config in get_args(union)}
    assert kinds == {recurrence.cell["kind"] for recurrence in RECURRENCES.values()}, "add a line to RECURRENCES"


@pytest.mark.parametrize("way", [run_plain, run])
@pytest.mark.parametrize("name", RECURRENCES)
def test_values_and_gradients(name, way):
    recurrence = RECURRENCES[name]
    cell, weights = cell_and_weights(recurrence)
    given = example(recurrence)
    outputs, last, tape = recurrence.forward(weights, given.inputs, given.state)
    ours = recurrence.backward(tape, given.d_outputs, given.d_last)

    inputs = torch.from_numpy(given.inputs).requires_grad_()
    state = tuple(torch.from_numpy(part).requires_grad_() for part in given.state)
    everything = torch.ones(ROWS, STEPS, dtype=torch.bool)
    theirs, their_last = way(cell, inputs, everything, state)
    torch.autograd.backward([theirs, *their_last], [torch.from_numpy(x) for x in (given.d_outputs, *given.d_last)])

    np.testing.assert_allclose(outputs, theirs.detach().numpy(), **CLOSE, err_msg="outputs")
    for number, (mine, other) in enumerate(zip(last, their_last, strict=True)):
        np.testing.assert_allclose(mine, other.detach().numpy(), **CLOSE, err_msg=f"last state, {number}")
    np.testing.assert_allclose(ours.inputs, inputs.grad.numpy(), **CLOSE, err_msg="gradient of inputs")
    for number, (mine, other) in enumerate(zip(ours.state, state, strict=True)):
        expected = np.zeros_like(mine) if other.grad is None else other.grad.numpy()  # cut: nothing arrives
        np.testing.assert_allclose(mine, expected, **CLOSE, err_msg=f"gradient of the first state, {number}")
    found = dict(named(ours.weights))
    for field, parameter in cell.named_parameters():
        np.testing.assert_allclose(found[field], parameter.grad.numpy(), **CLOSE, err_msg=f"gradient of {field}")


@pytest.mark.parametrize("name", RECURRENCES)
def test_gradients_on_their_way_through_time(name):
    """What autograd collects at each state is what the lessons call d_h[t] and d_c[t]."""
    recurrence = RECURRENCES[name]
    cell, weights = cell_and_weights(recurrence)
    given = example(recurrence)
    _, _, tape = recurrence.forward(weights, given.inputs, given.state)
    ours = recurrence.backward(tape, given.d_outputs, given.d_last)

    states = [tuple(torch.from_numpy(part).requires_grad_() for part in given.state)]
    for inputs in torch.from_numpy(given.inputs).unbind(1):
        states.append(cell(inputs, states[-1]))
        for part in states[-1]:
            part.retain_grad()
    outputs = torch.stack([state[0] for state in states[1:]], 1)
    torch.autograd.backward([outputs, *states[-1]], [torch.from_numpy(x) for x in (given.d_outputs, *given.d_last)])

    through = [ours.hidden, ours.cells] if recurrence.states == 2 else [ours.hidden]
    for number, mine in enumerate(through):
        expected = torch.stack([state[number].grad for state in states[1:]], 1).numpy()
        np.testing.assert_allclose(mine, expected, **CLOSE, err_msg=f"state {number}")


def test_the_carousel_carries_an_error_unchanged():
    """1997 as published: an error at the last cell reaches the first, 200 steps away, bit for bit."""
    recurrence = RECURRENCES["lstm, 1997, as published"]
    given = example(recurrence, steps=200)
    _, _, tape = recurrence.forward(given.weights, given.inputs, given.state)
    d_last = (np.zeros((ROWS, SIZE)), np.random.standard_normal((ROWS, SIZE)))
    gradients = lstm.backward(tape, np.zeros_like(given.d_outputs), d_last)
    np.testing.assert_array_equal(gradients.state[1], d_last[1])
    assert not gradients.hidden.any()


@pytest.mark.parametrize(("length", "verdict"), [(0.9, "vanishes"), (1.1, "explodes")])
def test_the_simple_recurrence_does_not(length, verdict):
    """Near 0 tanh is linear, and an orthogonal U times a length raises an error to a power (Pascanu et al. 2013)."""
    orthogonal, _ = np.linalg.qr(np.random.standard_normal((SIZE, SIZE)))
    weights = rnn.Weights(np.zeros((SIZE, INPUTS)), length * orthogonal, np.zeros(SIZE))
    inputs, nothing = np.zeros((1, 100, INPUTS)), np.zeros((1, SIZE))
    _, _, tape = rnn.forward(weights, inputs, (nothing,))
    gradients = rnn.backward(tape, np.zeros((1, 100, SIZE)), (np.ones((1, SIZE)),))
    norms = np.linalg.norm(gradients.hidden[0], axis=1)
    np.testing.assert_allclose(norms[0] / norms[-1], length**99, rtol=1e-9, err_msg=f"the gradient {verdict}")
