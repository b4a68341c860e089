"""Ctrl-C and SIGTERM: ask once and the run is saved first, ask twice and it ends at once; before that, at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Self

from henkan.errors import Stopped

_WATCHED = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def raising(message: str) -> Iterator[None]:
    """While entered, a signal raises Stopped at once: for work that cleans up after itself. Main thread only, as below.

    Args:
        message: what was saved and how to go on.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        raise Stopped(f"{'Ctrl-C' if number == signal.SIGINT else f'signal {number}'}: {message}", number)

    watched = _WATCHED if threading.current_thread() is threading.main_thread() else ()
    before = {number: signal.signal(number, stop) for number in watched}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


class StopSignals:
    """While entered, ``received`` is the number of the first signal, or None.

    With the first signal the handlers from before come back, so that the second one acts as usual. Python delivers
    signals to the main thread only; in another thread nothing is installed.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, signal._HANDLER] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in _WATCHED}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        self._restore()

    def _restore(self) -> None:
        while self._before:
            number, handler = self._before.popitem()
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
