"""Several processes that train one model; the only file that imports torch.distributed.

Started by torchrun, each process is a *rank* of a *world*; started alone, the world is one and everything here is free.
Numbers that steer (counts, decisions) travel between processors through gloo and never wait for a GPU; gradients travel
through NCCL where there are GPUs. The loop reduces one flat float32 buffer an update instead of wrapping the model in
DistributedDataParallel: sums stay sums in float32, a rank may have nothing to do in an update, and accumulation needs
no second mode.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as torch_distributed
from torch import Tensor

from henkan.errors import ConfigError

PATIENCE = timedelta(hours=6)
"""How long ranks wait for each other: the first may prepare a large corpus while the others have nothing to do."""


@contextmanager
def processes() -> Iterator[None]:
    """Join the processes that torchrun started, for as long as the context lasts; alone, do nothing.

    Raises:
        ConfigError: torchrun's variables are incomplete, or there are more ranks than GPUs on this machine.
    """
    if "WORLD_SIZE" not in os.environ or torch_distributed.is_initialized():
        yield
        return
    missing = [name for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if missing:
        raise ConfigError(f"WORLD_SIZE is set but {', '.join(missing)} is not: start several processes with torchrun")
    device = local_device()
    if device.type == "cuda":
        torch.cuda.set_device(device)
        torch_distributed.init_process_group("cpu:gloo,cuda:nccl", device_id=device, timeout=PATIENCE)
    else:
        torch_distributed.init_process_group("gloo", timeout=PATIENCE)
    try:
        yield
    finally:
        torch_distributed.destroy_process_group()


def world() -> int:
    """How many processes train together."""
    return torch_distributed.get_world_size() if torch_distributed.is_initialized() else 1


def rank() -> int:
    """Which of them this one is; rank 0 decides, writes and speaks."""
    return torch_distributed.get_rank() if torch_distributed.is_initialized() else 0


def local_device() -> torch.device:
    """The GPU of this process, or the processor where there is none."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    place = int(os.environ.get("LOCAL_RANK", "0"))
    if place >= torch.cuda.device_count():
        raise ConfigError(f"process {place} of this machine has no GPU: there are {torch.cuda.device_count()}")
    return torch.device("cuda", place)


def all_reduce_(tensor: Tensor) -> Tensor:
    """Replace ``tensor`` by its sum over all ranks, in place, and return it."""
    if world() > 1:
        torch_distributed.all_reduce(tensor)
    return tensor


def broadcast_object(value: Any) -> Any:
    """Rank 0's ``value`` on every rank; it travels as JSON, so tuples arrive as lists."""
    if world() == 1:
        return value
    text = json.dumps(value).encode() if rank() == 0 else b""
    size = torch.tensor([len(text)], dtype=torch.int64)
    torch_distributed.broadcast(size, src=0)
    letters = torch.frombuffer(bytearray(text or bytes(int(size))), dtype=torch.uint8)
    torch_distributed.broadcast(letters, src=0)
    return json.loads(letters.numpy().tobytes())


def barrier() -> None:
    """Wait until every rank is here."""
    all_reduce_(torch.zeros(1))
