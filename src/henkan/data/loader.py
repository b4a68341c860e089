"""The next batches are made while the current one is learnt from."""

import threading
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, Queue
from typing import Generic, TypeVar

T = TypeVar("T")

_PATIENCE = 1.0  # seconds to wait for an item in the making when the consumer has stopped


@dataclass(frozen=True)
class _Item(Generic[T]):
    value: T


@dataclass(frozen=True)
class _Last:
    error: BaseException | None = None


def prefetch(make: Iterator[T], depth: int = 4) -> Generator[T, None, None]:
    """The same items in the same order, made up to ``depth`` ahead in one background thread.

    What the iterator raises is raised here, after the items before it. When the consumer stops early (``close()``, an
    exception, or the generator is forgotten), the thread ends after the item it is at, and the iterator is closed.
    """
    if depth < 1:
        raise ValueError(f"depth {depth}: expected at least 1")
    return _prefetch(make, depth)


def _prefetch(make: Iterator[T], depth: int) -> Generator[T, None, None]:
    queue: Queue[_Item[T] | _Last] = Queue(depth)
    stopped = threading.Event()

    def produce() -> None:
        last = _Last()
        try:
            for item in make:
                if stopped.is_set():
                    break
                queue.put(_Item(item))
            if isinstance(make, Generator):
                make.close()
        except BaseException as error:
            last = _Last(error)
        if not stopped.is_set():
            queue.put(last)

    thread = threading.Thread(target=produce, name="prefetch", daemon=True)
    thread.start()
    try:
        while True:
            entry = queue.get()
            if isinstance(entry, _Item):
                yield entry.value
            elif entry.error is not None:
                raise entry.error
            else:
                return
    finally:
        stopped.set()
        with suppress(Empty):  # room for a put that is waiting, so that the thread sees that it is over
            while True:
                queue.get_nowait()
        thread.join(_PATIENCE)
