"""Variational dropout: one mask for all steps, and the recurrence that it masks against torch's own layers."""

import pytest
import torch
from torch import nn

from henkan.nn.cells import (
    FirstLSTMCell,
    GRUCell,
    LayerNormLSTMCell,
    LSTMCell,
    MinimalGRUCell,
    ResetAfterGRUCell,
    RNNCell,
)
from henkan.nn.dropout import dropout
from henkan.nn.recurrent import run, run_plain
from henkan.nn.variational import MaskedRecurrence, MaskedRun, VariationalDropout
from henkan.nn.zoneout import Zoneout

ROWS, LENGTH, INPUTS, SIZE, RATE = 3, 5, 4, 6, 0.4
MASK = torch.ones(ROWS, LENGTH, dtype=torch.bool)


def test_inputs_have_one_mask_through_time():
    vectors = torch.ones(50, LENGTH, 40)
    found = VariationalDropout(RATE).train()(vectors)
    assert torch.equal(found, found[:, :1].expand_as(found)), "the same elements at every step"
    assert not torch.equal(found[0], found[1]), "but not in every sequence"
    kept = found[:, 0] > 0
    torch.testing.assert_close(found[:, 0][kept], torch.full((int(kept.sum()),), 1 / (1 - RATE)), rtol=1e-4, atol=0)
    assert kept.float().mean().item() == pytest.approx(1 - RATE, abs=0.05)
    assert torch.equal(VariationalDropout(RATE).eval()(vectors), vectors)


@pytest.mark.parametrize(("kind", "library"), [(RNNCell, nn.RNN), (LSTMCell, nn.LSTM)])
def test_recurrence_is_torchs_with_masked_weights(kind, library):
    """(h * m) U = h (diag(m) U): for each sequence a layer of torch's whose recurrent weight has masked columns."""
    cell = kind(INPUTS, SIZE).double()
    inputs = torch.randn(ROWS, LENGTH, INPUTS, dtype=torch.float64)
    state = tuple(torch.randn_like(part) for part in cell.start(ROWS))
    torch.manual_seed(5)
    outputs, last = MaskedRun(RATE).train()(cell, inputs, MASK, state)
    torch.manual_seed(5)
    masks = dropout(torch.ones(ROWS, SIZE, dtype=torch.float64), RATE)
    assert (masks == 0).any() and (masks > 1).any()
    for row in range(ROWS):
        theirs = library(INPUTS, SIZE, batch_first=True).double()
        with torch.no_grad():
            theirs.weight_ih_l0.copy_(cell.input_weight)
            theirs.weight_hh_l0.copy_(cell.hidden_weight * masks[row])
            theirs.bias_ih_l0.copy_(cell.bias)
            theirs.bias_hh_l0.zero_()
        before = tuple(part[None, row : row + 1] for part in state)
        expected, after = theirs(inputs[row : row + 1], before if len(before) > 1 else before[0])
        torch.testing.assert_close(outputs[row], expected[0], rtol=1e-10, atol=1e-10)
        for part, wanted in zip(last, after if len(before) > 1 else (after,), strict=True):
            torch.testing.assert_close(part[row], wanted[0, 0], rtol=1e-10, atol=1e-10)


KINDS = {
    "rnn": RNNCell,
    "lstm": LSTMCell,
    "lstm-1997": lambda inputs, size: FirstLSTMCell(inputs, size, True, False),
    "lstm, layer norm": LayerNormLSTMCell,
    "gru": GRUCell,
    "gru, reset after": ResetAfterGRUCell,
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_recurrent_product_reads_the_mask_and_nothing_else_does(kind):
    """(h * m) U = h (diag(m) U) in every cell, while a GRU's carry is z * h."""
    cell = KINDS[kind](INPUTS, SIZE).double()
    inputs = torch.randn(1, INPUTS, dtype=torch.float64)
    state = tuple(torch.randn_like(part) for part in cell.start(1))
    mask = torch.tensor([[0.0, 2.0, 2.0, 0.0, 2.0, 0.0]], dtype=torch.float64)
    found = MaskedRecurrence(cell, mask)(inputs, state)
    with torch.no_grad():
        cell.hidden_weight *= mask
    for part, expected in zip(found, cell(inputs, state), strict=True):
        torch.testing.assert_close(part, expected, rtol=1e-12, atol=1e-12)


def test_a_cell_without_recurrent_products_is_left_alone():
    cell = MinimalGRUCell(INPUTS, SIZE)
    inputs, state = torch.randn(ROWS, INPUTS), (torch.randn(ROWS, SIZE),)
    found = MaskedRecurrence(cell, torch.zeros(ROWS, SIZE))(inputs, state)
    assert torch.equal(found[0], cell(inputs, state)[0])


@pytest.mark.parametrize("kind", KINDS)
def test_what_zoneout_keeps_is_not_masked(kind):
    cell = Zoneout(KINDS[kind](INPUTS, SIZE), 0.5).train()
    mask = dropout(torch.ones(200, SIZE), RATE)
    state = tuple(torch.randn(200, SIZE) for _ in cell.start(1))
    inputs = torch.randn(200, INPUTS)
    renewed = MaskedRecurrence(cell.cell, mask)(inputs, state)
    for old, new, found in zip(state, renewed, MaskedRecurrence(cell, mask)(inputs, state), strict=True):
        assert ((found == old) | (found == new)).all(), "each number is the old one or the new one"
        assert (found == old).any() and (found == new).any()


def test_evaluation_has_no_mask():
    cell = LSTMCell(INPUTS, SIZE).double()
    inputs = torch.randn(ROWS, LENGTH, INPUTS, dtype=torch.float64)
    found, _ = MaskedRun(RATE).eval()(cell, inputs, MASK, cell.start(ROWS))
    assert torch.equal(found, run(cell, inputs, MASK, cell.start(ROWS))[0])


def test_gradients():
    cell = LSTMCell(2, 3).double()
    mask, inputs = torch.rand(2, 3, dtype=torch.float64), torch.randn(2, 3, 2, dtype=torch.float64, requires_grad=True)
    state = tuple(torch.randn(2, 3, dtype=torch.float64, requires_grad=True) for _ in range(2))

    def outputs(inputs, *state):
        return run_plain(MaskedRecurrence(cell, mask), inputs, MASK[:2, :3], state)[0]

    assert torch.autograd.gradcheck(outputs, (inputs, *state))
