"""Several processes that share the work on one machine, each on a few threads of its own.

On a processor two processes of one thread decode more than one process of two: a search is many small products, and
a second thread waits more than it computes. Processes are copies of this one, so weights are in memory once.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import traceback
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

import torch

from henkan.errors import ConfigError, RunError

K = TypeVar("K")
P = TypeVar("P")
R = TypeVar("R")

MOST_BY_DEFAULT = 8
"""Processes, where nobody said how many: each needs memory for a batch."""

_prepared = 0
"""The process that was told to run on one thread before it computed anything, so that its copies may run on several."""

_PATIENCE = 0.05
"""Seconds until somebody who had no piece of work is asked again."""


@dataclass(frozen=True)
class Workers:
    """How many processes share the work, and how many threads each has.

    Args:
        processes: 1: this process does it, on the threads that torch has been told.
        threads: of each process where there are several. The library under torch does not survive being copied once
            it has run on several threads, so processes get one each unless this one has been told, by :meth:`prepare`
            before it computed anything, to run on one.

    Raises:
        ConfigError: less than one, or several processes on a system that cannot copy a running one.
    """

    processes: int = 1
    threads: int = 1

    def __post_init__(self) -> None:
        for name, count in (("processes", self.processes), ("threads", self.threads)):
            if not 1 <= count <= 1024:
                raise ConfigError(f"{name} {count}: expected 1 to 1024")
        if self.processes > 1 and not _can_copy():
            raise ConfigError(f"processes {self.processes}: only Linux can share a loaded model; expected 1 here")

    @classmethod
    def usual(cls, processes: int | None = None, threads: int | None = None) -> Workers:
        """As many processes as there are processors for them, unless told otherwise; see :meth:`prepare`."""
        processors = torch.get_num_threads()
        if processes is None:
            share = processors // max(1, threads or 1)
            processes = max(1, min(share, MOST_BY_DEFAULT)) if _can_copy() else 1
        return cls(processes, max(1, processors // max(1, processes)) if threads is None else threads)

    def prepare(self) -> None:
        """Tell torch how many threads this process gets, before it computes anything."""
        global _prepared
        torch.set_num_threads(self.threads if self.processes == 1 else 1)
        _prepared = os.getpid() if self.processes > 1 else 0

    def results(self, work: Callable[[P], R], pieces: Iterable[tuple[K, P] | None]) -> Iterator[tuple[K, R]]:
        """``work`` done on each piece, as it is ready: in any order, so each piece comes with a key that stays here.

        Whoever is free takes the next piece; the first process is started when a second piece would have to wait.
        At most two pieces are asked for ahead of the work.

        Args:
            work: what to do; as it is when the first process is started.
            pieces: keys and what to work on; None where there is nothing just now, but may be later.

        Raises:
            RunError: a process ended before its work was done.
            Exception: whatever ``work`` raises.
        """
        if self.processes == 1:
            yield from ((key, work(piece)) for key, piece in filter(None, pieces))
            return
        pieces, more = iter(pieces), True
        ready: deque[tuple[K, P]] = deque()
        with _Crew(work, self) as crew:
            while more or ready or crew.busy:
                while more and len(ready) < 2:
                    try:
                        found = next(pieces)
                    except StopIteration:
                        more = False
                        break
                    if found is None:
                        break
                    ready.append(found)
                if len(ready) == 1 and not crew.size:
                    key, piece = ready.popleft()
                    yield key, work(piece)
                while ready and crew.has_room():
                    crew.give(*ready.popleft())
                yield from crew.done(_PATIENCE if more and len(ready) < 2 else None)


ALONE = Workers()
"""This process does everything."""


class _Crew:
    """The processes, and which piece each is at; all of them end when this is left."""

    def __init__(self, work: Callable[[Any], Any], workers: Workers) -> None:
        self._work, self._workers = work, workers
        self._context = get_context("fork" if workers.processes > 1 else None)
        self._processes: dict[Connection, Any] = {}  # by our end of its pipe
        self.busy: dict[Connection, Any] = {}  # the key of the piece it is at

    @property
    def size(self) -> int:
        return len(self._processes)

    def has_room(self) -> bool:
        """Whether somebody is free or can be hired."""
        return len(self.busy) < self._workers.processes

    def give(self, key: Any, piece: Any) -> None:
        """Have a piece worked on."""
        free = next((pipe for pipe in self._processes if pipe not in self.busy), None) or self._hire()
        try:
            free.send(piece)
        except OSError:
            self._report_death(free)
        self.busy[free] = key

    def done(self, patience: float | None) -> Iterator[tuple[Any, Any]]:
        """What is ready, after waiting for it: so many seconds, or until there is something."""
        for pipe in wait(list(self.busy), patience) if self.busy else []:
            assert isinstance(pipe, Connection)
            try:
                result, error = pipe.recv()
            except (EOFError, OSError):
                self._report_death(pipe)
            if error is not None:
                raise error
            yield self.busy.pop(pipe), result

    def _hire(self) -> Connection:
        ours, theirs = self._context.Pipe()
        threads = self._workers.threads if _prepared == os.getpid() else 1
        arguments = (self._work, threads, theirs, [ours, *self._processes])
        process = self._context.Process(target=_serve, args=arguments, daemon=True)
        with _ready_to_be_copied():
            process.start()
        theirs.close()
        self._processes[ours] = process
        return ours

    def _report_death(self, pipe: Connection) -> None:
        process = self._processes[pipe]
        process.join()
        how = f"signal {-process.exitcode}" if process.exitcode < 0 else f"exit code {process.exitcode}"
        raise RunError(
            f"one of {self._workers.processes} processes ended before its work was done ({how}); "
            "if memory ran out, fewer processes need less"
        )

    def __enter__(self) -> _Crew:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes.values():
            process.kill()  # nothing that it does is worth keeping
        for pipe, process in self._processes.items():
            process.join()
            pipe.close()


def _serve(work: Callable[[Any], Any], threads: int, pipe: Connection, others: list[Connection]) -> None:
    """What a process does: one piece after the other, until nobody holds the other end of its pipe any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the one that started us ends us
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for other in others:
        other.close()
    gc.freeze()  # what is shared stays shared: the collector does not write to it
    torch.set_num_threads(threads)
    with suppress(EOFError, OSError):
        while True:
            piece = pipe.recv()
            try:
                answer: tuple[Any, Exception | None] = work(piece), None
            except Exception as error:
                error.add_note(f"in a process of its own:\n{traceback.format_exc()}")
                answer = None, error
            pipe.send(answer)


@contextmanager
def _ready_to_be_copied() -> Iterator[None]:
    """While entered, a copy of this process can be made, and neither it nor anybody complains about threads."""
    # The threads of the tokenizers' library stay behind; the copy must not wait for them, and is told so from outside.
    name = "TOKENIZERS_PARALLELISM"
    before = os.environ.get(name)
    os.environ[name] = "false"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # other threads hold nothing that the copy waits for
            yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before


def _can_copy() -> bool:
    """Whether a running process can be copied: elsewhere system libraries do not survive it, or there is no way to."""
    return sys.platform == "linux"
