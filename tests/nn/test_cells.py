"""One step of each cell, against its equations in NumPy and against torch's own cells."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from henkan.nn.cells import Cell, GRUCell, LSTMCell, RNNCell

ROWS, INPUTS, SIZE = 4, 3, 5

CELLS = [RNNCell, LSTMCell, GRUCell]


def random_cell(kind: type[Cell]) -> Cell:
    """Every parameter random, biases too, in float64."""
    cell = kind(INPUTS, SIZE).double()
    for parameter in cell.parameters():
        nn.init.normal_(parameter)
    return cell


def random_state(cell: Cell) -> tuple[Tensor, ...]:
    return tuple(torch.randn_like(part) for part in cell.start(ROWS))


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-x))


def rnn_equations(x, h, *, W, U, b):
    return (np.tanh(x @ W.T + h @ U.T + b),)


def lstm_equations(x, h, c, *, W, U, b):
    Wi, Wf, Wg, Wo = np.split(W, 4)
    Ui, Uf, Ug, Uo = np.split(U, 4)
    bi, bf, bg, bo = np.split(b, 4)
    i = sigmoid(x @ Wi.T + h @ Ui.T + bi)
    f = sigmoid(x @ Wf.T + h @ Uf.T + bf)
    g = np.tanh(x @ Wg.T + h @ Ug.T + bg)
    o = sigmoid(x @ Wo.T + h @ Uo.T + bo)
    c = f * c + i * g
    return o * np.tanh(c), c


def gru_equations(x, h, *, W, U, b):
    """Cho et al. (2014): the reset gate acts on the state, before the recurrent product."""
    Wr, Wz, Wg = np.split(W, 3)
    Ur, Uz, Ug = np.split(U, 3)
    br, bz, bg = np.split(b, 3)
    r = sigmoid(x @ Wr.T + h @ Ur.T + br)
    z = sigmoid(x @ Wz.T + h @ Uz.T + bz)
    g = np.tanh(x @ Wg.T + (r * h) @ Ug.T + bg)
    return (z * h + (1 - z) * g,)


@pytest.mark.parametrize(
    ("kind", "equations"), [(RNNCell, rnn_equations), (LSTMCell, lstm_equations), (GRUCell, gru_equations)]
)
def test_equations(kind, equations):
    cell = random_cell(kind)
    inputs, state = torch.randn(ROWS, INPUTS, dtype=torch.float64), random_state(cell)
    weights = {"W": cell.input_weight, "U": cell.hidden_weight, "b": cell.bias}
    expected = equations(
        inputs.numpy(),
        *(part.numpy() for part in state),
        **{name: weight.detach().numpy() for name, weight in weights.items()},
    )
    found = cell(inputs, state)
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours.detach().numpy(), theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("kind", "library"), [(RNNCell, nn.RNNCell), (LSTMCell, nn.LSTMCell)])
def test_torch_agrees(kind, library):
    cell = random_cell(kind)
    theirs = library(INPUTS, SIZE).double()
    with torch.no_grad():
        theirs.weight_ih.copy_(cell.input_weight)
        theirs.weight_hh.copy_(cell.hidden_weight)
        theirs.bias_ih.copy_(cell.bias)
        theirs.bias_hh.zero_()
    inputs, state = torch.randn(ROWS, INPUTS, dtype=torch.float64), random_state(cell)
    expected = theirs(inputs, state if len(state) > 1 else state[0])
    expected = expected if isinstance(expected, tuple) else (expected,)
    torch.testing.assert_close(cell(inputs, state), expected, rtol=1e-12, atol=1e-12)


def test_the_reset_gate_is_not_where_torch_has_it():
    """torch's GRU resets after the recurrent product; with equal weights the two must differ."""
    cell = random_cell(GRUCell)
    theirs = nn.GRUCell(INPUTS, SIZE).double()
    with torch.no_grad():
        theirs.weight_ih.copy_(cell.input_weight)
        theirs.weight_hh.copy_(cell.hidden_weight)
        theirs.bias_ih.copy_(cell.bias)
        theirs.bias_hh.zero_()
    inputs, state = torch.randn(ROWS, INPUTS, dtype=torch.float64), random_state(cell)
    assert (cell(inputs, state)[0] - theirs(inputs, state[0])).abs().max() > 1e-3


@pytest.mark.parametrize("kind", CELLS)
def test_gradients(kind):
    cell = random_cell(kind)
    inputs = torch.randn(ROWS, INPUTS, dtype=torch.float64, requires_grad=True)
    state = tuple(part.requires_grad_() for part in random_state(cell))
    checked = (inputs, *state, *cell.parameters())
    assert torch.autograd.gradcheck(lambda x, *rest: cell(x, rest[: len(state)]), checked)


@pytest.mark.parametrize("kind", CELLS)
def test_inputs_may_be_projected_in_parts(kind):
    """The bias goes with the first part, once."""
    cell = random_cell(kind)
    inputs = torch.randn(ROWS, 2, INPUTS, dtype=torch.float64)
    parts = cell.project(inputs[..., :1]) + cell.project(inputs[..., 1:], first=1)
    torch.testing.assert_close(parts, cell.project(inputs), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", CELLS)
def test_a_step_is_projection_and_advance(kind):
    cell = random_cell(kind)
    inputs, state = torch.randn(ROWS, INPUTS, dtype=torch.float64), random_state(cell)
    torch.testing.assert_close(cell.advance(cell.project(inputs), state), cell(inputs, state), rtol=0, atol=0)


@pytest.mark.parametrize("kind", CELLS)
def test_start_is_zero_and_follows_the_weights(kind):
    state = kind(INPUTS, SIZE).to(torch.bfloat16).start(ROWS)
    assert all(part.shape == (ROWS, SIZE) and part.dtype == torch.bfloat16 for part in state)
    assert not any(part.any() for part in state)


def test_the_forget_gate_starts_open():
    """Jozefowicz et al. (2015): its bias is 1, all others 0; torch's order is input, forget, cell, output."""
    bias = LSTMCell(INPUTS, SIZE).bias.detach().view(4, SIZE)
    assert torch.equal(bias, torch.tensor([0.0, 1.0, 0.0, 0.0])[:, None].expand(4, SIZE))
