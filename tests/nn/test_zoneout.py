"""Zoneout: how often a unit keeps what it had, what is expected of it, and that time and padding do not notice."""

import pytest
import torch

from henkan.nn.cells import GRUCell, LSTMCell, RNNCell
from henkan.nn.recurrent import run_plain
from henkan.nn.zoneout import Zoneout

INPUTS, SIZE, RATE = 3, 5, 0.3


def wrapped(kind: type) -> Zoneout:
    return Zoneout(kind(INPUTS, SIZE).double(), RATE)


def random_state(cell: Zoneout, rows: int) -> tuple[torch.Tensor, ...]:
    return tuple(torch.randn_like(part) for part in cell.start(rows))


@pytest.mark.parametrize("kind", [RNNCell, LSTMCell, GRUCell])
def test_a_unit_is_old_or_new(kind):
    torch.manual_seed(1)
    cell, rows = wrapped(kind).train(), 4000
    inputs, state = torch.randn(rows, INPUTS, dtype=torch.float64), random_state(cell, rows)
    renewed = cell.cell(inputs, state)
    for old, new, found in zip(state, renewed, cell(inputs, state), strict=True):
        stays = found == old
        assert torch.equal(found, torch.where(stays, old, new)), "each number is one of the two"
        assert stays.double().mean().item() == pytest.approx(RATE, abs=0.015)


@pytest.mark.parametrize("kind", [RNNCell, LSTMCell, GRUCell])
def test_evaluation_is_the_expectation(kind):
    """Krueger et al. (2017), section 3.1, against the mean of many draws of one step."""
    torch.manual_seed(2)
    cell, inputs = wrapped(kind), torch.randn(1, INPUTS, dtype=torch.float64)
    state = random_state(cell, 1)
    expected = cell.eval()(inputs, state)
    many = tuple(part.expand(20_000, -1) for part in state)
    drawn = cell.train()(inputs.expand(20_000, -1), many)
    for part, wanted in zip(drawn, expected, strict=True):
        torch.testing.assert_close(part.mean(0), wanted[0], rtol=0, atol=0.03)


@pytest.mark.parametrize("kind", [RNNCell, LSTMCell, GRUCell])
def test_through_time(kind):
    """A loop by hand: h[t] = rate h[t-1] + (1 - rate) cell(x[t], h[t-1]); padding changes nothing."""
    cell = wrapped(kind).eval()
    inputs, state = torch.randn(2, 4, INPUTS, dtype=torch.float64), random_state(cell, 2)
    mask = torch.tensor([[True] * 4, [True, True, False, False]])
    outputs, last = run_plain(cell, inputs, mask, state)
    for row, length in enumerate([4, 2]):
        current = tuple(part[row : row + 1] for part in state)
        for step in range(length):
            renewed = cell.cell(inputs[row : row + 1, step], current)
            current = tuple(RATE * old + (1 - RATE) * new for old, new in zip(current, renewed, strict=True))
            torch.testing.assert_close(outputs[row, step], current[0][0], rtol=1e-12, atol=1e-12)
        for part, wanted in zip(last, current, strict=True):
            torch.testing.assert_close(part[row], wanted[0], rtol=1e-12, atol=1e-12)


def test_parts_of_an_input_are_projected_by_the_cell():
    cell = wrapped(LSTMCell)
    inputs = torch.randn(2, INPUTS, dtype=torch.float64)
    parts = cell.project(inputs[:, :2]) + cell.project(inputs[:, 2:], first=2)
    torch.testing.assert_close(parts, cell.cell.project(inputs))
