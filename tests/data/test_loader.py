"""Prefetching: the same items, the same errors, and no thread that stays."""

import threading
from collections.abc import Iterator

import pytest

from henkan.data.loader import prefetch


def threads() -> int:
    return sum(thread.name == "prefetch" for thread in threading.enumerate())


@pytest.mark.parametrize("depth", [1, 4, 100])
@pytest.mark.parametrize("items", [0, 1, 5, 1000])
def test_the_same_items(depth: int, items: int):
    assert list(prefetch(iter(range(items)), depth)) == list(range(items))
    assert threads() == 0


def test_items_may_be_anything():
    items = [None, ValueError("an item, not an error"), [], "end"]
    assert list(prefetch(iter(items))) == items


def test_an_error_comes_after_the_items_before_it():
    def make() -> Iterator[int]:
        yield 1
        yield 2
        raise ValueError("the third")

    got: list[int] = []
    with pytest.raises(ValueError, match="the third"):
        got.extend(iter_into(got, prefetch(make())))
    assert got == [1, 2]
    assert threads() == 0


def iter_into(got: list[int], items: Iterator[int]) -> list[int]:
    for item in items:
        got.append(item)
    return []


@pytest.mark.parametrize("taken", [0, 1, 3, 20])
@pytest.mark.parametrize("depth", [1, 3])
def test_stopping_early_ends_the_thread_and_closes_the_source(taken: int, depth: int):
    closed = threading.Event()
    made = 0

    def make() -> Iterator[int]:
        nonlocal made
        try:
            while True:
                made += 1
                yield made
        finally:
            closed.set()

    items = prefetch(make(), depth)
    assert [next(items) for _ in range(taken)] == list(range(1, taken + 1))
    items.close()
    assert threads() == 0, "the thread has ended"
    assert closed.is_set() == (taken > 0), "the source is closed, where it was begun"
    assert made <= taken + depth + 2, f"{made} items were made although only {taken} were taken"


def test_an_exception_in_the_consumer_ends_the_thread():
    def consume() -> None:
        for item in prefetch(iter(range(10_000)), 2):
            if item == 5:
                raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        consume()
    assert threads() == 0


def test_making_runs_ahead_of_the_consumer():
    ahead = threading.Event()

    def make() -> Iterator[int]:
        yield 0
        yield 1
        ahead.set()
        yield 2

    items = prefetch(make(), 2)
    assert next(items) == 0
    assert ahead.wait(10), "later items are made while the first is in use"
    assert list(items) == [1, 2]


def test_an_impossible_depth():
    with pytest.raises(ValueError, match="depth 0"):
        prefetch(iter([]), 0)
