"""From what the encoder returns to the decoder's first state."""

import pytest
import torch

from henkan.nn.bridges import (
    LastStates,
    LastStatesConfig,
    Projected,
    ProjectedBackwardConfig,
    ProjectedConfig,
    ZerosConfig,
)
from henkan.nn.cells import GRUCell, LSTMCell, RNNCell
from henkan.nn.layers import Bidirectional
from henkan.tensors import Memory

ROWS, PLACES, WIDTH = 2, 3, 4
MASK = torch.ones(ROWS, PLACES, dtype=torch.bool)


def memory(layers: int, parts: int) -> Memory:
    final = tuple(tuple(torch.randn(ROWS, WIDTH) for _ in range(parts)) for _ in range(layers))
    return Memory(torch.randn(ROWS, PLACES, WIDTH), MASK, final)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_last_states(layers):
    """Layer by layer, and a lower decoder takes the topmost ones."""
    source = memory(3, 2)
    assert LastStates(layers)(source) == source.final[3 - layers :]


@pytest.mark.parametrize(("kind", "parts"), [(RNNCell, 1), (LSTMCell, 2), (GRUCell, 1)])
@pytest.mark.parametrize(("config", "share"), [(ProjectedConfig(), WIDTH), (ProjectedBackwardConfig(), WIDTH // 2)])
def test_projected(config, share, kind, parts):
    """tanh(W v) for each layer, v the last state or its backward half; an LSTM's cell starts at zero."""
    source, cells = memory(2, parts), [kind(3, 5), kind(5, 6)]
    bridge = config.build((7, WIDTH), cells)
    states = bridge(source)
    last = source.final[-1][0][:, WIDTH - share :]
    for state, projection, size in zip(states, bridge.projections, (5, 6), strict=True):
        assert len(state) == parts and state[0].shape == (ROWS, size)
        torch.testing.assert_close(state[0], torch.tanh(last @ projection.weight.T + projection.bias))
        assert not any(part.any() for part in state[1:])


@pytest.mark.parametrize(("kind", "parts"), [(RNNCell, 1), (LSTMCell, 2), (GRUCell, 1)])
def test_zeros(kind, parts):
    source = memory(1, parts)
    for state, size in zip(ZerosConfig().build((WIDTH,), [kind(3, 5), kind(5, 6)])(source), (5, 6), strict=True):
        assert [part.shape for part in state] == [(ROWS, size)] * parts
        assert not any(part.any() for part in state)


def test_the_backward_half_has_just_read_the_first_word():
    """Changing the last word moves it through the recurrence; with a cell that forgets all, only the first counts."""
    layer = Bidirectional(RNNCell(3, 2), RNNCell(3, 2))
    with torch.no_grad():
        layer.forward_cell.hidden_weight.zero_()
        layer.backward_cell.hidden_weight.zero_()
    inputs = torch.randn(ROWS, PLACES, 3)
    states, final = layer(inputs, MASK)
    bridge = Projected(2, [RNNCell(1, 5)])
    start = bridge(Memory(states, MASK, (final,)))[0][0]
    changed = torch.cat([inputs[:, :1], torch.randn(ROWS, PLACES - 1, 3)], 1)
    states, final = layer(changed, MASK)
    torch.testing.assert_close(bridge(Memory(states, MASK, (final,)))[0][0], start)


def test_widths_are_checked():
    LastStatesConfig().check((8, 4, 4), 4, 2)
    with pytest.raises(ValueError, match=r"2 decoder layers of 4 cannot start from encoder layers of \[8, 4\]"):
        LastStatesConfig().check((8, 4), 4, 2)
    with pytest.raises(ValueError, match="3 decoder layers"):
        LastStatesConfig().check((4, 4), 4, 3)
    for anything_goes in (ProjectedConfig(), ProjectedBackwardConfig(), ZerosConfig()):
        anything_goes.check((4,), 7, 2)
