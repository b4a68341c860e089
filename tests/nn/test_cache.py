"""The preallocated cache against the growing one, which is its specification."""

import random

import pytest
import torch

from henkan.nn.cache import GrowingCache, PreallocatedCache, empty_cache


@pytest.mark.parametrize("capacity", [1, 4, 64])
@pytest.mark.parametrize("seed", range(5))
def test_the_two_kinds_are_one(capacity, seed):
    """Random appends and selections, past the capacity too."""
    draw = random.Random(seed)
    rows, growing, preallocated = 3, GrowingCache(), PreallocatedCache(capacity)
    for _ in range(12):
        if growing.slots and draw.random() < 0.4:
            chosen = torch.tensor([draw.randrange(rows) for _ in range(draw.randint(1, 5))])
            growing, preallocated = growing.select(chosen), preallocated.select(chosen)
            rows = len(chosen)
        else:
            new = torch.randn(rows, draw.randint(1, 4), 2)
            growing, preallocated = growing.append(new), preallocated.append(new)
        assert growing.slots == preallocated.slots
        assert torch.equal(growing.filled, preallocated.filled)


def test_the_buffer_stays_until_it_is_full():
    cache = PreallocatedCache(4).append(torch.zeros(2, 1, 3))
    buffer = cache.buffer
    for position in range(1, 4):
        cache = cache.append(torch.full((2, 1, 3), float(position)))
        assert cache.buffer is buffer, "written in place"
    grown = cache.append(torch.full((2, 1, 3), 4.0))
    assert grown.buffer is not buffer and len(grown.buffer) == 8, "a full buffer doubles"
    assert torch.equal(grown.filled[0, :, 0], torch.arange(5.0))


def test_choosing_rows_moves_nothing():
    """Once there is room for all rows, they branch, swap and leave by their table alone."""
    cache = PreallocatedCache(8).append(torch.zeros(1, 2, 3)).select(torch.tensor([0, 0])).append(torch.ones(2, 1, 3))
    buffer = cache.buffer
    for rows in ([1, 1], [1, 0], [0]):
        cache = cache.select(torch.tensor(rows)).append(torch.ones(len(rows), 1, 3))
        assert cache.buffer is buffer


def test_a_first_append_longer_than_the_capacity():
    new = torch.randn(2, 5, 3)
    cache = PreallocatedCache(2).append(new)
    assert torch.equal(cache.filled, new)


def test_nothing_appended_yet():
    for cache in (GrowingCache(), PreallocatedCache(3)):
        assert cache.slots == 0
        assert cache.select(torch.tensor([1, 0])) is cache, "there are no rows to choose among"


def test_masks_are_cached_as_they_are():
    new = torch.tensor([[True, False], [False, True]])
    for cache in (GrowingCache(), PreallocatedCache(3)):
        filled = cache.append(new).select(torch.tensor([1])).append(torch.tensor([[True]])).filled
        assert filled.dtype == torch.bool
        assert filled.tolist() == [[False, True, True]]


def test_the_growing_cache_is_differentiable():
    first, second = torch.randn(2, 1, requires_grad=True), torch.randn(1, 2, requires_grad=True)
    GrowingCache().append(first).select(torch.tensor([0])).append(second).filled.sum().backward()
    assert first.grad.tolist() == [[1.0], [0.0]]
    assert second.grad.tolist() == [[1.0, 1.0]]


def test_capacity_zero_is_for_training():
    assert isinstance(empty_cache(0), GrowingCache)
    assert empty_cache(7) == PreallocatedCache(7)
