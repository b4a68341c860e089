"""Cells through time: the plain loop against torch's layers, the fast LSTM against the plain loop."""

import pytest
import torch
from torch import Tensor, nn

from henkan.nn.cells import Cell, GRUCell, LSTMCell, RNNCell
from henkan.nn.layers import Bidirectional, Forward
from henkan.nn.recurrent import last_real, run_lstm, run_plain

INPUTS, SIZE = 3, 6
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-9}


def trailing_mask(lengths: list[int], columns: int) -> Tensor:
    return torch.arange(columns) < torch.tensor(lengths)[:, None]


def random_cell(kind: type[Cell], dtype: torch.dtype = torch.float64) -> Cell:
    cell = kind(INPUTS, SIZE).to(dtype)
    for parameter in cell.parameters():
        nn.init.normal_(parameter, std=0.7)
    return cell


def close(found: Tensor, expected: Tensor, what: str) -> None:
    bound = TOLERANCE[expected.dtype]
    torch.testing.assert_close(found, expected, rtol=bound, atol=bound, msg=lambda text: f"{what}: {text}")


@pytest.mark.parametrize(("kind", "library"), [(RNNCell, nn.RNN), (LSTMCell, nn.LSTM)])
def test_torch_agrees(kind, library):
    cell = random_cell(kind)
    theirs = library(INPUTS, SIZE, batch_first=True).double()
    with torch.no_grad():
        theirs.weight_ih_l0.copy_(cell.input_weight)
        theirs.weight_hh_l0.copy_(cell.hidden_weight)
        theirs.bias_ih_l0.copy_(cell.bias)
        theirs.bias_hh_l0.zero_()
    inputs = torch.randn(3, 7, INPUTS, dtype=torch.float64)
    state = tuple(torch.randn_like(part) for part in cell.start(3))
    stacked = tuple(part[None] for part in state)
    expected, last = theirs(inputs, stacked if len(state) > 1 else stacked[0])
    outputs, after = run_plain(cell, inputs, torch.ones(3, 7, dtype=torch.bool), state)
    close(outputs, expected, "outputs")
    for ours, wanted in zip(after, last if len(state) > 1 else (last,), strict=True):
        close(ours, wanted[0], "last state")


def everything(run, cell: LSTMCell, inputs: Tensor, mask: Tensor, state, weights) -> dict[str, Tensor]:
    """Outputs where real, both last states, and the gradients of a random function of them."""
    inputs = inputs.clone().requires_grad_()
    state = tuple(part.clone().requires_grad_() for part in state)
    cell.zero_grad()
    outputs, after = run(cell, inputs, mask, state)
    real = outputs * mask[..., None]
    total = (real * weights[0]).sum() + sum(
        (part * weight).sum() for part, weight in zip(after, weights[1:], strict=True)
    )
    total.backward()
    found = {"outputs": real, "last hidden": after[0], "last cell": after[1], "gradient of the inputs": inputs.grad}
    found |= {f"gradient of state {number}": part.grad for number, part in enumerate(state)}
    return found | {f"gradient of {name}": parameter.grad.clone() for name, parameter in cell.named_parameters()}


CASES = {
    "full": [5, 5, 5],
    "one row": [5],
    "length one": [1, 5, 1],
    "empty rows": [0, 4, 0, 5],
    "all empty": [0, 0],
    "ragged": [2, 7, 3, 6, 1, 0],
    "last column is padding everywhere": [3, 1, 2],
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("lengths", CASES.values(), ids=CASES)
def test_fast_and_plain_agree(lengths, dtype):
    rows, columns = len(lengths), 7
    cell, mask = random_cell(LSTMCell, dtype), trailing_mask(lengths, columns)
    inputs = torch.randn(rows, columns, INPUTS, dtype=dtype)
    state = (torch.randn(rows, SIZE, dtype=dtype), torch.randn(rows, SIZE, dtype=dtype))
    weights = [torch.randn(rows, columns, SIZE, dtype=dtype), *(torch.randn(rows, SIZE, dtype=dtype) for _ in range(2))]
    expected = everything(run_plain, cell, inputs, mask, state, weights)
    found = everything(run_lstm, cell, inputs, mask, state, weights)
    for what in expected:
        close(found[what], expected[what], what)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("seed", range(4))
def test_fast_and_plain_agree_on_random_lengths(seed, dtype):
    torch.manual_seed(seed)
    lengths = torch.randint(0, 10, (8,)).tolist()
    test_fast_and_plain_agree(lengths, dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("lengths", CASES.values(), ids=CASES)
def test_fast_and_plain_agree_reading_backwards(lengths, dtype):
    """Leading padding, from a zero state, as the backward half of a bidirectional layer has it."""
    rows, columns = len(lengths), 7
    cell, mask = random_cell(LSTMCell, dtype), trailing_mask(lengths, columns).flip(1)
    inputs = torch.randn(rows, columns, INPUTS, dtype=dtype)
    weights = [torch.randn(rows, columns, SIZE, dtype=dtype), *(torch.randn(rows, SIZE, dtype=dtype) for _ in range(2))]
    expected = everything(run_plain, cell, inputs, mask, cell.start(rows), weights)
    found = everything(run_lstm, cell, inputs, mask, cell.start(rows), weights)
    for what in expected:
        if not what.startswith("gradient of state"):  # it is a constant
            close(found[what], expected[what], what)


def test_gates_that_are_far_from_zero_still_close_at_padding():
    cell, mask = random_cell(LSTMCell, torch.float32), trailing_mask([2, 4], 5)
    with torch.no_grad():
        cell.bias[:SIZE] = 20.0  # the input gate wants to be open
        cell.bias[SIZE : 2 * SIZE] = -20.0  # and the forget gate to forget
    state = (torch.randn(2, SIZE), torch.randn(2, SIZE))
    inputs = torch.randn(2, 5, INPUTS)
    for ours, plain in zip(
        run_lstm(cell, inputs, mask, state)[1], run_plain(cell, inputs, mask, state)[1], strict=True
    ):
        close(ours, plain, "last state")


def test_gradients_of_the_fast_path():
    cell, mask = random_cell(LSTMCell), trailing_mask([3, 1, 0], 3)
    inputs = torch.randn(3, 3, INPUTS, dtype=torch.float64, requires_grad=True)
    state = tuple(torch.randn(3, SIZE, dtype=torch.float64, requires_grad=True) for _ in range(2))

    def real(inputs, hidden, memory, *_):
        outputs, after = run_lstm(cell, inputs, mask, (hidden, memory))
        return (outputs * mask[..., None], *after)

    assert torch.autograd.gradcheck(real, (inputs, *state, *cell.parameters()))


@pytest.mark.parametrize("kind", [RNNCell, LSTMCell, GRUCell])
def test_padding_changes_no_state(kind):
    cell = random_cell(kind)
    inputs = torch.randn(3, 6, INPUTS, dtype=torch.float64)
    mask = trailing_mask([4, 0, 6], 6)
    layer = Forward(cell)
    start = tuple(torch.randn_like(part) for part in cell.start(3))
    outputs, after = layer(inputs, mask, start)
    for row, length in enumerate([4, 0, 6]):
        own = tuple(part[row : row + 1] for part in start)
        if length:
            alone, own = run_plain(cell, inputs[row : row + 1, :length], mask[row : row + 1, :length], own)
            close(outputs[row, :length], alone[0], f"outputs of row {row}")
        for found, expected in zip(after, own, strict=True):
            close(found[row], expected[0], f"last state of row {row}")


@pytest.mark.parametrize("kind", [RNNCell, LSTMCell, GRUCell])
def test_bidirectional_is_two_independent_passes(kind):
    layer = Bidirectional(random_cell(kind), random_cell(kind))
    lengths = [5, 1, 0, 3]
    inputs, mask = torch.randn(4, 5, INPUTS, dtype=torch.float64), trailing_mask(lengths, 5)
    outputs, after = layer(inputs, mask)
    assert outputs.shape == (4, 5, layer.width) == (4, 5, 2 * SIZE)
    for row, length in enumerate(lengths):
        if not length:
            assert all(part[row].abs().max() < 1e-30 for part in after), "a row with nothing in it stays at zero"
            continue
        alone, real = inputs[row : row + 1, :length], mask[row : row + 1, :length]
        ahead, ahead_state = run_plain(layer.forward_cell, alone, real, layer.forward_cell.start(1))
        back, back_state = run_plain(layer.backward_cell, alone.flip(1), real, layer.backward_cell.start(1))
        close(outputs[row, :length], torch.cat([ahead, back.flip(1)], -1)[0], f"outputs of row {row}")
        for found, first, second in zip(after, ahead_state, back_state, strict=True):
            close(found[row], torch.cat([first, second], -1)[0], f"last state of row {row}")


def test_last_real():
    outputs = torch.arange(12.0).view(2, 3, 2)
    before = torch.tensor([[-1.0, -2.0], [-3.0, -4.0]])
    assert torch.equal(last_real(outputs, trailing_mask([2, 0], 3), before), torch.tensor([[2.0, 3.0], [-3.0, -4.0]]))
    leading = torch.tensor([[False, True, True], [False, False, True]])
    assert torch.equal(last_real(outputs, leading, before), torch.tensor([[4.0, 5.0], [10.0, 11.0]]))
