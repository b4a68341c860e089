"""Recurrent layers against torch's own: both directions and how they are merged, and the sum around a layer."""

import pytest
import torch
from torch import Tensor, nn

from henkan.nn.cells import LSTMCell
from henkan.nn.layers import Bidirectional, Forward, ResidualLayer

ROWS, LENGTH, INPUTS, SIZE = 3, 5, 4, 6
MASK = torch.ones(ROWS, LENGTH, dtype=torch.bool)
MERGES = {
    "concatenation": lambda a, b: torch.cat([a, b], -1),
    "sum": lambda a, b: a + b,
    "mean": lambda a, b: (a + b) / 2,
}


def both_ways(layer: Bidirectional) -> nn.LSTM:
    """torch's layer with the same weights."""
    theirs = nn.LSTM(INPUTS, SIZE, batch_first=True, bidirectional=True).double()
    with torch.no_grad():
        for suffix, cell in (("", layer.forward_cell), ("_reverse", layer.backward_cell)):
            getattr(theirs, f"weight_ih_l0{suffix}").copy_(cell.input_weight)
            getattr(theirs, f"weight_hh_l0{suffix}").copy_(cell.hidden_weight)
            getattr(theirs, f"bias_ih_l0{suffix}").copy_(cell.bias)
            getattr(theirs, f"bias_hh_l0{suffix}").zero_()
    return theirs


def random_inputs(width: int = INPUTS) -> Tensor:
    return torch.randn(ROWS, LENGTH, width, dtype=torch.float64)


@pytest.mark.parametrize("merge", MERGES)
def test_directions_are_torchs(merge):
    layer = Bidirectional(LSTMCell(INPUTS, SIZE).double(), LSTMCell(INPUTS, SIZE).double(), merge)
    inputs = random_inputs()
    outputs, last = layer(inputs, MASK)
    expected, after = both_ways(layer)(inputs)
    assert outputs.shape[2] == layer.width == (2 * SIZE if merge == "concatenation" else SIZE)
    torch.testing.assert_close(outputs, MERGES[merge](*expected.split(SIZE, -1)), rtol=1e-10, atol=1e-10)
    for part, (ahead, back) in zip(last, after, strict=True):
        torch.testing.assert_close(part, MERGES[merge](ahead, back), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("merge", MERGES)
def test_padding_is_not_read(merge):
    """Each row of a padded batch, with what lies under the padding at random, as if it were alone."""
    layer = Bidirectional(LSTMCell(INPUTS, SIZE).double(), LSTMCell(INPUTS, SIZE).double(), merge)
    inputs, lengths = random_inputs(), [5, 1, 3]
    outputs, last = layer(inputs, torch.arange(LENGTH) < torch.tensor(lengths)[:, None])
    for row, length in enumerate(lengths):
        alone, after = layer(inputs[row : row + 1, :length], MASK[:1, :length])
        torch.testing.assert_close(outputs[row, :length], alone[0], rtol=1e-10, atol=1e-10)
        for part, wanted in zip(last, after, strict=True):
            torch.testing.assert_close(part[row], wanted[0], rtol=1e-10, atol=1e-10)


def test_residual_adds_the_input_to_the_outputs_alone():
    inside = Forward(LSTMCell(SIZE, SIZE).double())
    layer, inputs = ResidualLayer(inside), random_inputs(SIZE)
    state = tuple(torch.randn(ROWS, SIZE, dtype=torch.float64) for _ in range(2))
    for start in (None, state):
        outputs, last = layer(inputs, MASK, start)
        expected, after = inside(inputs, MASK, start)
        assert torch.equal(outputs, inputs + expected)
        assert all(torch.equal(part, wanted) for part, wanted in zip(last, after, strict=True))


class Halved(nn.Module):
    """A dropout that one can predict."""

    def forward(self, vectors: Tensor) -> Tensor:
        return vectors / 2


def test_dropout_is_on_what_enters_and_not_on_the_sum():
    cell, inputs = LSTMCell(SIZE, SIZE).double(), random_inputs(SIZE)
    outputs, _ = ResidualLayer(Forward(cell, Halved()))(inputs, MASK)
    assert torch.equal(outputs, inputs + Forward(cell)(inputs / 2, MASK)[0])
    both = Bidirectional(cell, LSTMCell(SIZE, SIZE).double(), "sum", Halved())
    plain = Bidirectional(both.forward_cell, both.backward_cell, "sum")
    assert torch.equal(both(inputs, MASK)[0], plain(inputs / 2, MASK)[0])
