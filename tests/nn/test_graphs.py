"""Work over tensors that stay where they are; on a GPU the same tests replay a graph."""

import pytest
import torch
from torch import Tensor

from henkan.nn.graphs import Recorded, Replay
from henkan.nn.lstm import LSTMConfig
from henkan.nn.recurrent import run_plain

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def test_a_replay_works_on_what_is_there_now():
    total, step = torch.zeros(3, device=DEVICE), torch.ones(3, device=DEVICE)

    def add() -> None:
        total.add_(step)

    replay = Replay(add, DEVICE)
    total.zero_()
    step.fill_(2.0)
    replay()
    replay()
    assert total.tolist() == [4.0] * 3


def test_a_recorded_recurrence_says_what_the_plain_one_says_from_the_same_places():
    cell = LSTMConfig(size=4, peephole=True).build(3).to(DEVICE)
    draw = torch.Generator().manual_seed(1)

    def inputs() -> tuple[Tensor, ...]:
        mask = torch.arange(5)[None] < torch.randint(1, 6, (2, 1), generator=draw)
        state = torch.randn(2, 2, 4, generator=draw)
        return tuple(tensor.to(DEVICE) for tensor in (torch.randn(2, 5, 3, generator=draw), mask, *state))

    def through(vectors: Tensor, mask: Tensor, hidden: Tensor, inside: Tensor) -> tuple[Tensor, ...]:
        outputs, last = run_plain(cell, vectors, mask, (hidden, inside))
        return (outputs, *last)

    with torch.no_grad():
        recorded = Recorded(through, inputs())
        places = set()
        for _ in range(3):
            given = inputs()
            results, _ = recorded(*given)
            torch.testing.assert_close(tuple(results), through(*given))
            places.add(tuple(result.data_ptr() for result in results))
    assert len(places) == 1


def test_results_that_somebody_holds_are_not_overwritten():
    recorded = Recorded(lambda given: (given * 2,), [torch.ones(2, device=DEVICE)])
    results, lease = recorded(torch.ones(2, device=DEVICE))
    assert not recorded.free
    with pytest.raises(AssertionError, match="still in use"):
        recorded(torch.zeros(2, device=DEVICE))
    assert results[0].tolist() == [2.0, 2.0]
    del lease
    assert recorded.free
