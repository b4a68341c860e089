"""Checkpoints: whole or not there, and never believed without proof."""

from __future__ import annotations

import json
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import Tensor

from henkan.errors import FolderError, StorageError
from henkan.training.checkpoint import Checkpoints, NewerFormat, average, write_json


def tensors(value: float) -> dict[str, Tensor]:
    flat = torch.arange(24.0) + value  # two views of one buffer, as the masters are
    return {"a.weight": flat[:20].view(4, 5), "b": flat[20:]}


def write(checkpoints: Checkpoints, update: int, *, scheduled: bool = True) -> Path:
    return checkpoints.write(
        update, {"masters": tensors(update), "optimiser": {"step": torch.tensor(3.0)}}, {"note": [1, 0.1]}, scheduled
    )


@pytest.fixture
def three(tmp_path: Path) -> Checkpoints:
    """Updates 10, 20 and 30."""
    checkpoints = Checkpoints(tmp_path)
    for update in (10, 20, 30):
        write(checkpoints, update)
    return checkpoints


def names(checkpoints: Checkpoints) -> list[str]:
    return sorted(path.name for path in checkpoints.folder.iterdir())


def test_what_was_written_is_read(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    path = write(checkpoints, 7)
    assert path == tmp_path / "checkpoints" / "step-00000007"
    checkpoint = checkpoints.open(7)
    assert checkpoint.update == 7
    assert checkpoint.facts["note"] == [1, 0.1]
    found = checkpoint.tensors("masters")
    assert found.keys() == tensors(7).keys()
    assert all(torch.equal(found[name], value) for name, value in tensors(7).items())
    assert checkpoint.has("optimiser")
    assert not checkpoint.has("ema")


def test_the_newest_is_found(three: Checkpoints) -> None:
    said: list[str] = []
    newest = three.newest(said.append)
    assert newest is not None
    assert newest.update == 30
    assert said == []
    assert Checkpoints(three.folder / "elsewhere").newest(said.append) is None


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


@pytest.mark.parametrize("file", ["masters.safetensors", "optimiser.safetensors", "state.json"])
@pytest.mark.parametrize("damage", [flip, truncate, Path.unlink])
def test_a_damaged_one_is_passed_over_and_named(three: Checkpoints, file: str, damage: object) -> None:
    assert callable(damage)
    damage(three.path(30) / file)
    said: list[str] = []
    newest = three.newest(said.append)
    assert newest is not None
    assert newest.update == 20
    assert len(said) == 1
    assert file in said[0]
    assert "step-00000020 instead" in said[0]


def test_every_flipped_bit_of_the_state_is_noticed(three: Checkpoints) -> None:
    file = three.path(30) / "state.json"
    content = file.read_bytes()
    for place in range(0, len(content), 5):
        changed = bytearray(content)
        changed[place] ^= 4
        file.write_bytes(changed)
        try:
            facts = three.open(30).facts
        except FolderError:
            continue
        file.write_bytes(content)
        assert facts == three.open(30).facts, f"byte {place} of {file} changed what was read"


def test_all_damaged_is_an_error(three: Checkpoints) -> None:
    for update in three.updates():
        truncate(three.path(update) / "masters.safetensors")
    with pytest.raises(FolderError, match=r"step-00000030/masters\.safetensors: .* no older checkpoint is intact"):
        three.newest(print)


def test_a_newer_format_is_not_taken_for_damage(three: Checkpoints) -> None:
    file = three.path(30) / "state.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "format": 99}))
    with pytest.raises(NewerFormat, match="format 99, this Henkan reads up to 1"):
        three.newest(print)


@pytest.mark.parametrize("content", ["[]", "[" * 100_000, "\x00", '{"format": "x"}'])
def test_a_state_that_is_none_is_damage(three: Checkpoints, content: str) -> None:
    (three.path(30) / "state.json").write_text(content)
    with pytest.raises(FolderError, match=r"state\.json"):
        three.open(30)


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Writing more than this into a file fails, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("size", [50, 300])  # fails in the tensors, and in state.json
def test_a_full_disk_leaves_nothing_half_written(three: Checkpoints, size: int) -> None:
    before = names(three)
    with largest_file(size), pytest.raises(StorageError, match="step-00000040: cannot be written"):
        write(three, 40)
    assert names(three) == before
    newest = three.newest(print)
    assert newest is not None
    assert newest.update == 30


def test_a_small_file_is_replaced_or_left(tmp_path: Path) -> None:
    file = tmp_path / "best.json"
    write_json(file, {"update": 1})
    with largest_file(10), pytest.raises(StorageError, match=r"best\.json: cannot be written"):
        write_json(file, {"update": 2, "more": "x" * 100})
    assert json.loads(file.read_text()) == {"update": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["best.json"]


def test_one_is_replaced_by_its_like(three: Checkpoints) -> None:
    truncate(three.path(30) / "masters.safetensors")
    write(three, 30)
    assert three.open(30).tensors("masters").keys() == {"a.weight", "b"}
    assert names(three) == ["step-00000010", "step-00000020", "step-00000030"]


def test_pruning_keeps_the_last_the_scheduled_and_the_best(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    for update in range(1, 9):
        write(checkpoints, update, scheduled=update in (2, 3, 5))
    checkpoints.prune(keep=2, average=2, best=1)
    assert checkpoints.updates() == [1, 3, 5, 7, 8]
    assert [checkpoint.update for checkpoint in checkpoints.scheduled(2)] == [3, 5]


def test_tidying_removes_what_a_kill_left(three: Checkpoints) -> None:
    (three.folder / ".partial-step-00000040").mkdir()
    (three.folder / ".removed-step-00000005").mkdir()
    three.tidy(newest=20)
    assert names(three) == ["step-00000010", "step-00000020"]


def test_the_average_is_the_mean(three: Checkpoints) -> None:
    mean = average(three.scheduled(3))
    for name, value in tensors(20).items():
        torch.testing.assert_close(mean[name], value, rtol=0, atol=0)
