"""Variational dropout: one mask for all steps, and the recurrence that it masks against torch's own layers."""

import pytest
import torch
from torch import nn

from henkan.nn.cells import LSTMCell, RNNCell
from henkan.nn.dropout import dropout
from henkan.nn.recurrent import run, run_plain
from henkan.nn.variational import MaskedRecurrence, MaskedRun, VariationalDropout

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
