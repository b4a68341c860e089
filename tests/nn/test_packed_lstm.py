"""LSTM layers of an encoder in C++ against the loop that is their specification."""

import pytest
import torch

from henkan.nn.gru import GRUCell
from henkan.nn.layers import Bidirectional, Forward
from henkan.nn.lstm import LSTMCell
from henkan.nn.packed import UnknownPartError
from henkan.nn.packed_lstm import PackedBidirectional, PackedForward
from henkan.nn.product import native_kinds
from henkan.nn.recurrent import run_plain
from henkan.nn.zoneout import Zoneout

KINDS = [("gate", False), ("gate", True), ("coupled", True), ("none", False)]


@pytest.fixture(autouse=True)
def _native():
    if not native_kinds():
        pytest.skip("no C++ compiler here")


def cell_of(forgetting, peephole, inputs=5, size=7):
    cell = LSTMCell(inputs, size, forgetting, peephole)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.uniform_(-0.8, 0.8)
    return cell


def sentences(rows, inputs=5):
    lengths = torch.randint(0, 6, (rows,))
    lengths[0] = 6
    return torch.randn(rows, 6, inputs), torch.arange(6) < lengths[:, None]


@pytest.mark.parametrize(("forgetting", "peephole"), KINDS)
@pytest.mark.parametrize("rows", [1, 17, 130])
@pytest.mark.parametrize("products", sorted(native_kinds(), key=str), ids=str)
@torch.inference_mode()
def test_a_layer(forgetting, peephole, rows, products):
    torch.manual_seed(rows)
    close = 1e-5 if products == torch.float32 else 0.05
    layer = Forward(cell_of(forgetting, peephole), through=run_plain)
    inputs, mask = sentences(rows)
    outputs, state = PackedForward(layer, products)(inputs, mask)
    wanted, last = layer(inputs, mask)
    torch.testing.assert_close(outputs, wanted * mask[..., None], rtol=close, atol=close)
    torch.testing.assert_close(state, last, rtol=close, atol=close)


@pytest.mark.parametrize("merge", ["concatenation", "sum", "mean"])
@torch.inference_mode()
def test_both_directions(merge):
    torch.manual_seed(1)
    layer = Bidirectional(cell_of("gate", False), cell_of("gate", False), merge, through=run_plain)
    inputs, mask = sentences(20)
    outputs, state = PackedBidirectional(layer, torch.float32)(inputs, mask)
    wanted, last = layer(inputs, mask)
    torch.testing.assert_close(outputs, wanted * mask[..., None], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(state, last, rtol=1e-5, atol=1e-5)


@torch.inference_mode()
def test_several_threads_have_the_same():
    layer, (inputs, mask) = PackedForward(Forward(cell_of("gate", True)), torch.float32), sentences(40)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone, _ = layer(inputs, mask)
        torch.set_num_threads(2)
        assert torch.equal(layer(inputs, mask)[0], alone)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("cell", [cell_of("gate", False).double(), Zoneout(cell_of("gate", False), 0.1), GRUCell(5, 7)])
def test_a_cell_that_is_not_in_cpp(cell):
    with pytest.raises(UnknownPartError):
        PackedForward(Forward(cell), torch.float32)
