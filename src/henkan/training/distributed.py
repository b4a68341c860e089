"""Several processes that train one model; the only file that imports torch.distributed.

Each process is a *rank* of a *world*. torchrun starts them, or on one machine without GPUs the first does
(:mod:`henkan.training.team`); alone, the world is one and everything here is free. Numbers that steer (counts,
decisions) travel between processors through gloo and never wait for a GPU; what gradients go through says
:mod:`henkan.training.reduction`.

An error is told once, by rank 0. A rank that fails leaves its error in the store where the ranks met, then closes its
connections; the others notice that, and rank 0 finds there what it has to tell.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as torch_distributed
from torch import Tensor
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from henkan.errors import ConfigError, HenkanError, InputError, ProcessLost, RunError

PATIENCE = timedelta(hours=6)
"""How long ranks wait for each other: the first may prepare a large corpus while the others have nothing to do."""

HEARING = timedelta(seconds=5)
"""How long a rank that fails waits to hear that rank 0 tells why."""


@dataclass(frozen=True)
class Member:
    """What this process has in common with the others of its run."""

    store: Store
    memory: int | None  # file descriptor of memory that all ranks see: they are on one machine


_member: Member | None = None


@contextmanager
def processes() -> Iterator[None]:
    """Join the processes that torchrun started, for as long as the context lasts; alone, do nothing.

    Raises:
        ConfigError: torchrun's variables are incomplete, or there are more ranks than GPUs on this machine.
    """
    if not launched() or torch_distributed.is_initialized():
        yield
        return
    missing = [name for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if missing:
        raise ConfigError(f"WORLD_SIZE is set but {', '.join(missing)} is not: start several processes with torchrun")
    store, own_rank, size = next(rendezvous("env://", timeout=PATIENCE))
    with _joined(Member(store, None), own_rank, size):
        yield


def launched() -> bool:
    """Did torchrun, or somebody else, start this process as one of several?"""
    return "WORLD_SIZE" in os.environ


def host(listening: socket.socket, size: int) -> Store:
    """The store where the processes of one machine meet, in the first of them; ``listening`` is their door."""
    door = socket.socket(fileno=os.dup(listening.fileno()))  # the store closes it in its own time
    return torch_distributed.TCPStore(  # type: ignore[attr-defined]
        "127.0.0.1",
        listening.getsockname()[1],
        size,
        is_master=True,
        timeout=PATIENCE,
        wait_for_workers=False,
        master_listen_fd=door.detach(),
    )


def visit(port: int, size: int) -> Store:
    """The same store, in every other process."""
    door = ("127.0.0.1", port)
    return torch_distributed.TCPStore(*door, size, timeout=PATIENCE, wait_for_workers=False)  # type: ignore[attr-defined]


def arrive(store: Store, own_rank: int) -> None:
    """Say that this process is ready to join."""
    store.set(f"here/{own_rank}", "")


def arrived(store: Store, size: int) -> bool:
    """Are all but the first ready to join?"""
    return store.check([f"here/{other}" for other in range(1, size)])


@contextmanager
def on_one_machine(store: Store, own_rank: int, size: int, memory: int) -> Iterator[None]:
    """Join processes of this machine that have memory in common.

    Args:
        memory: an open file of it; it grows when it is used.
    """
    before = os.environ.get("GLOO_SOCKET_IFNAME")
    if os.path.exists("/sys/class/net/lo"):  # elsewhere gloo takes the interface of the host's name
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    try:
        with _joined(Member(store, memory), own_rank, size):
            yield
    finally:
        if before is None:
            os.environ.pop("GLOO_SOCKET_IFNAME", None)


@contextmanager
def _joined(member: Member, own_rank: int, size: int) -> Iterator[None]:
    global _member
    device = local_device()
    if device.type == "cuda":
        torch.cuda.set_device(device)
        kinds, own = "cpu:gloo,cuda:nccl", device
    else:
        kinds, own = "gloo", None
    meeting = PrefixStore("group", member.store)
    with _connected():
        torch_distributed.init_process_group(
            kinds, store=meeting, rank=own_rank, world_size=size, timeout=PATIENCE, device_id=own
        )
    _member = member
    try:
        yield
    except Exception as error:
        told = _first_tells(error, member.store) if own_rank == 0 else _leave_word(error, member.store, own_rank)
        if told is error:
            raise
        raise told from error
    finally:
        _member = None
        if torch_distributed.is_initialized():
            torch_distributed.destroy_process_group()


def _first_tells(error: Exception, store: Store) -> Exception:
    """What rank 0 raises for an error: what another rank left word of, where it ended by that rank's error."""
    with suppress(RuntimeError):
        if isinstance(error, ProcessLost) and store.check(["failure"]):
            word = json.loads(store.get("failure"))
            error = (InputError if word["input"] else RunError)(f"process {word['rank'] + 1}: {word['message']}")
        store.set("told", str(error.exit_code if isinstance(error, HenkanError) else 1))
    return error


def _leave_word(error: Exception, store: Store, own_rank: int) -> Exception:
    """Let rank 0 tell the error of another rank; if nobody is there to do so, this rank tells it."""
    with suppress(RuntimeError):
        if not isinstance(error, ProcessLost):
            message = str(error) if isinstance(error, HenkanError) else f"unexpected {type(error).__name__}: {error}"
            word = {"rank": own_rank, "input": isinstance(error, InputError), "message": message}
            store.set("failure", json.dumps(word))
        torch_distributed.destroy_process_group()  # this is how the others notice
        store.wait(["told"], HEARING)
        if launched():
            time.sleep(1.0)  # torchrun ends all as soon as one has ended: let the first speak
        if isinstance(error, HenkanError):
            error.told, error.exit_code = True, int(store.get("told"))
    return error


def world() -> int:
    """How many processes train together."""
    return torch_distributed.get_world_size() if torch_distributed.is_initialized() else 1


def rank() -> int:
    """Which of them this one is; rank 0 decides, writes and speaks."""
    return torch_distributed.get_rank() if torch_distributed.is_initialized() else 0


def common_memory() -> int | None:
    """The file descriptor of memory that all ranks see, where they are on one machine and have some."""
    return None if _member is None else _member.memory


def local_device() -> torch.device:
    """The GPU of this process, or the processor where there is none."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    place = int(os.environ.get("LOCAL_RANK", "0"))
    if place >= torch.cuda.device_count():
        raise ConfigError(f"process {place} of this machine has no GPU: there are {torch.cuda.device_count()}")
    return torch.device("cuda", place)


@contextmanager
def _connected() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise ProcessLost("another process of this run ended before its time, or cannot be reached") from error


def all_reduce_(tensor: Tensor) -> Tensor:
    """Replace ``tensor`` by its sum over all ranks, in place, and return it."""
    if world() > 1:
        with _connected():
            torch_distributed.all_reduce(tensor)
    return tensor


def reduce_scatter(shard: Tensor, whole: Tensor) -> None:
    """Fill ``shard`` with this rank's part of the sum over all ranks of ``whole``, which has a part for each."""
    # the second name is that of torch before 2.13
    scatter = getattr(torch_distributed, "reduce_scatter_single", None) or torch_distributed.reduce_scatter_tensor
    with _connected():
        scatter(shard, whole)


def all_gather(whole: Tensor, shard: Tensor) -> None:
    """Fill ``whole`` with the ``shard`` of every rank in turn; all are equally long."""
    gather = getattr(torch_distributed, "all_gather_single", None) or torch_distributed.all_gather_into_tensor
    with _connected():
        gather(whole, shard)


def broadcast_object(value: Any) -> Any:
    """Rank 0's ``value`` on every rank; it travels as JSON, so tuples arrive as lists."""
    return value if world() == 1 else _sent(value, 0)


def gather_objects(value: Any) -> list[Any]:
    """The ``value`` of every rank in turn, on every rank; they travel as JSON too."""
    return [value] if world() == 1 else [_sent(value, source) for source in range(world())]


def _sent(value: Any, source: int) -> Any:
    """The ``value`` of one rank, on every rank."""
    text = json.dumps(value).encode() if rank() == source else b""
    size = torch.tensor([len(text)], dtype=torch.int64)
    with _connected():
        torch_distributed.broadcast(size, src=source)
        letters = torch.frombuffer(bytearray(text or bytes(int(size))), dtype=torch.uint8)
        torch_distributed.broadcast(letters, src=source)
    return json.loads(letters.numpy().tobytes())


def barrier() -> None:
    """Wait until every rank is here."""
    all_reduce_(torch.zeros(1))
