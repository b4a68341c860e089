"""Work shared among processes: the same results, whoever does it, and an end that is never missed."""

import os
import signal
import sys
import time
from collections.abc import Iterator

import pytest
import torch

from henkan.errors import ConfigError, DataError, RunError
from henkan.tasks import workers
from henkan.tasks.workers import Workers

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux copies running processes")


def told(piece: int) -> tuple[int, int, int]:
    return piece * piece, os.getpid(), torch.get_num_threads()


def test_alone_the_work_is_done_here_and_in_order():
    done = list(Workers().results(told, ((str(piece), piece) for piece in range(5))))
    assert done == [(str(piece), (piece * piece, os.getpid(), 1)) for piece in range(5)]


@pytest.mark.parametrize("prepared", [False, True])
def test_every_piece_is_done_once_by_one_of_the_processes(monkeypatch: pytest.MonkeyPatch, prepared: bool):
    """Processes get several threads only where this one was told in time to run on one; nothing is computed here."""
    monkeypatch.setattr(workers, "_prepared", os.getpid() if prepared else 0)
    done = dict(Workers(3, threads=2).results(told, ((piece, piece) for piece in range(40))))
    assert {piece: square for piece, (square, _, _) in done.items()} == {piece: piece**2 for piece in range(40)}
    processes = {process for _, process, _ in done.values()}
    assert os.getpid() not in processes
    assert 1 < len(processes) <= 3
    assert {threads for _, _, threads in done.values()} == {2 if prepared else 1}


def test_whoever_is_free_takes_the_next():
    def slowly(piece: int) -> int:
        time.sleep(0.5 if piece == 0 else 0.01)
        return os.getpid()

    done = dict(Workers(2).results(slowly, ((piece, piece) for piece in range(10))))
    busy = done.pop(0)
    assert set(done.values()) and busy not in done.values()


def test_one_piece_starts_no_process():
    def pieces() -> Iterator[tuple[int, int] | None]:
        for piece in range(4):
            yield piece, piece
            yield None  # as from a pipe on which the next line has not come

    assert {process for _, (_, process, _) in Workers(2).results(told, pieces())} == {os.getpid()}


def test_pieces_are_not_asked_for_long_before_they_are_worked_on():
    asked = 0

    def pieces() -> Iterator[tuple[int, int]]:
        nonlocal asked
        for piece in range(100):
            asked += 1
            yield piece, piece

    results = Workers(2).results(told, pieces())
    for _ in range(5):
        next(results)
    assert asked <= 5 + 2 * 2 + 2
    results.close()


def test_an_error_comes_back_as_it_is():
    def refuse(piece: int) -> int:
        raise DataError(f"piece {piece} is wrong")

    with pytest.raises(DataError, match=r"piece \d is wrong") as caught:
        list(Workers(2).results(refuse, ((piece, piece) for piece in range(4))))
    assert "in a process of its own" in caught.value.__notes__[0]


def test_a_process_that_is_killed_is_told_and_nothing_hangs():
    def die(piece: int) -> int:
        if piece == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return piece

    with pytest.raises(RunError, match=r"one of 2 processes ended .* \(signal 9\); if memory ran out"):
        list(Workers(2).results(die, ((piece, piece) for piece in range(6))))


def test_no_process_is_left_when_the_results_are_no_longer_wanted():
    results = Workers(2).results(told, ((piece, piece) for piece in range(100)))
    _, (_, process, _) = next(results)
    results.close()
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


@pytest.mark.parametrize(("processes", "threads"), [(0, 1), (1, 0), (-2, 1), (9999, 1)])
def test_numbers_that_make_no_sense_are_refused(processes: int, threads: int):
    with pytest.raises(ConfigError, match="expected 1 to 1024"):
        Workers(processes, threads)


def test_systems_that_cannot_copy_a_process_have_one(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(workers, "_can_copy", lambda: False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    assert Workers.usual() == Workers(1, 4)
    with pytest.raises(ConfigError, match="processes 2: only Linux"):
        Workers(2)


@pytest.mark.parametrize(
    ("processors", "asked", "expected"),
    [
        (2, (None, None), (2, 1)),
        (64, (None, None), (8, 8)),
        (4, (2, None), (2, 2)),
        (4, (None, 2), (2, 2)),
        (1, (None, None), (1, 1)),
        (2, (4, None), (4, 1)),
        (2, (None, 5), (1, 5)),
    ],
)
def test_processors_are_divided(monkeypatch: pytest.MonkeyPatch, processors, asked, expected):
    monkeypatch.setattr(torch, "get_num_threads", lambda: processors)
    found = Workers.usual(*asked)
    assert (found.processes, found.threads) == expected
