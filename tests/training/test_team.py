"""How cores are shared out among processes, and threads of each."""

import pytest
import torch
from tiny_run import tiny_options

from henkan.errors import ConfigError
from henkan.training import team
from henkan.training.team import share_cores


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch):
    """A processor with so many cores, and so many GB that are free."""

    def call(cores: int, gigabytes: float = 1000.0, why: str = "") -> None:
        monkeypatch.setattr(team, "_only_one", lambda: why)
        monkeypatch.setattr(team, "usable_cores", lambda: cores)
        monkeypatch.setattr(team, "free_memory", lambda: gigabytes * 1e9)

    return call


@pytest.mark.parametrize(
    ("cores", "tokens", "expected"),
    [(1, 4096, (1, 1)), (2, 2048, (2, 1)), (2, 512, (1, 2)), (64, 4096, (8, 8)), (64, 100_000, (64, 1))],
)
def test_every_process_has_enough_tokens(machine, cores: int, tokens: int, expected: tuple[int, int]) -> None:
    machine(cores)
    assert share_cores(tiny_options(steps=1, batch_tokens=tokens), 10**6) == expected


def test_processes_must_fit_into_half_of_the_memory(machine) -> None:
    machine(8, gigabytes=2 * (3 * team.PROCESS_BYTES + 0.1e9) / 1e9)
    assert share_cores(tiny_options(steps=1, batch_tokens=100_000), 0) == (3, 2)


def test_what_was_asked_for_is_done(machine) -> None:
    machine(8, gigabytes=1)
    assert share_cores(tiny_options(steps=1, processes=4), 10**9) == (4, 2)
    machine(8)
    assert share_cores(tiny_options(steps=1, batch_tokens=100_000, threads=4), 0) == (2, 4)
    assert share_cores(tiny_options(steps=1, processes=3, threads=5), 0) == (3, 5)


def test_where_there_can_be_only_one(machine) -> None:
    machine(8, why="torchrun has started the processes already")
    assert share_cores(tiny_options(steps=1), 0) == (1, torch.get_num_threads())
    assert share_cores(tiny_options(steps=1, processes=1, threads=3), 0) == (1, 3)
    with pytest.raises(ConfigError, match=r"training\.processes 2: torchrun has started"):
        share_cores(tiny_options(steps=1, processes=2), 0)
