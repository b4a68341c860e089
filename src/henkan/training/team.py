"""Further processes on this machine, started and ended by the first: on processors they beat threads.

One update is a few hundred small operations. Each of them wakes and awaits every thread; processes wait for each other
only four times in an update. So training uses a process of one thread for each core where an update has enough tokens
for all, and else fewer processes of several threads.

    team(...)   starts them, so that they import torch while the first process prepares the pairs
    join()      waits for them and makes them the ranks of one world; what they share is in reduction.py
    afterwards  they end: each reads a pipe from the first process, and leaves when that closes, for whatever reason

They run ``henkan.partner`` in a fresh interpreter, so it does not matter from where training was called.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import torch

from henkan.errors import ConfigError, ProcessLost
from henkan.training import distributed
from henkan.training.options import TrainingConfig

FEWEST_TOKENS = 512
"""A process that gets fewer tokens of a micro-batch than this would spend its time on overhead."""

PROCESS_BYTES = 1.5e9
"""Memory of a process beside its model, measured: Python, torch, the tensors of a batch, kernels kept by oneDNN."""

PARAMETER_BYTES = 16
"""Memory of a process for each parameter: its compute copy and gradient, and the float32 sum of gradients."""

GRACE = 10.0
"""Seconds that the processes have to end by themselves."""


@dataclass(frozen=True)
class Place:
    """What a further process has to know to join."""

    rank: int
    processes: int
    threads: int
    port: int  # of the first process's store on this machine
    memory: int  # file descriptor of memory that all see


def share_cores(options: TrainingConfig, parameters: int) -> tuple[int, int]:
    """How many processes train, and on how many threads each.

    Raises:
        ConfigError: ``processes`` asks for what only torchrun gives.
    """
    processes = None if options.processes == "auto" else int(options.processes)
    threads = None if options.threads == "auto" else int(options.threads)
    if why := _only_one():
        if processes not in (None, 1):
            raise ConfigError(f"training.processes {processes}: {why}; leave it at auto")
        return 1, threads or torch.get_num_threads()
    cores = usable_cores()
    if processes is None:
        tokens = options.batch_tokens // options.accumulation
        fitting = int(min(free_memory() / 2 / (PROCESS_BYTES + PARAMETER_BYTES * parameters), cores))
        processes = max(1, min(cores // (threads or 1), tokens // FEWEST_TOKENS, fitting))
    return processes, threads or max(1, cores // processes)


def _only_one() -> str:
    """Why this process starts no others; empty if it may."""
    if distributed.launched():
        return "torchrun has started the processes already"
    if distributed.local_device().type != "cpu":
        return "with GPUs the processes are started by torchrun, one for each"
    if not hasattr(os, "memfd_create") or not sys.executable:
        return "several processes need Linux"
    return ""


def usable_cores() -> int:
    """Cores that torch would compute on, in a container no more than it is granted.

    OMP_NUM_THREADS and ``torch.set_num_threads`` say so, too; by default these are the physical ones.
    """
    cores = torch.get_num_threads()
    with suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        cores = min(cores, max(1, round(int(quota) / int(period))))  # ValueError: "max"
    return cores


def free_memory() -> float:
    """Bytes that processes can have; infinite where nobody says."""
    with suppress(OSError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        available = next(line for line in lines if line.startswith("MemAvailable:"))
        return float(available.split()[1]) * 1024
    return float("inf")


@contextmanager
def team(processes: int, threads: int, words: Sequence[str]) -> Iterator[Callable[[], None]]:
    """Start all but the first of so many processes; the function that is given lets this one join them.

    Args:
        threads: of each process, this one included.
        words: what they are told beside their place; see ``henkan.partner``.

    Raises:
        ProcessLost: one of them ended before its time; says why.
    """
    before = torch.get_num_threads()
    try:
        if processes == 1:
            yield lambda: torch.set_num_threads(threads)
            return
        with _started(processes, threads, words) as (others, store, memory), ExitStack() as group:

            def join() -> None:
                others.wait(lambda: distributed.arrived(store, processes))
                torch.set_num_threads(threads)
                group.enter_context(distributed.on_one_machine(store, 0, processes, memory))

            yield join
    finally:
        torch.set_num_threads(before)


@contextmanager
def _started(processes: int, threads: int, words: Sequence[str]) -> Iterator[tuple[_Others, Any, int]]:
    with ExitStack() as held:
        memory = os.memfd_create("henkan")
        held.callback(os.close, memory)
        door = held.enter_context(socket.create_server(("127.0.0.1", 0)))
        store = distributed.host(door, processes)
        port = door.getsockname()[1]
        others = _Others()
        try:
            for rank in range(1, processes):
                others.start(Place(rank, processes, threads, port, memory), words)
            yield others, store, memory
        except ProcessLost as error:
            reason = others.reason(2.0)
            raise ProcessLost(f"{reason}; {error}" if reason else str(error)) from error
        except BaseException:
            others.dismiss()
            raise
        finally:
            others.end()


class _Others:
    """The processes that were started."""

    def __init__(self) -> None:
        self._running: list[tuple[subprocess.Popen[bytes], IO[bytes]]] = []

    def start(self, place: Place, words: Sequence[str]) -> None:
        output = tempfile.TemporaryFile()  # noqa: SIM115 - closed in end()
        package = str(Path(__file__).parents[2])
        paths = os.environ.get("PYTHONPATH")
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "henkan.partner", json.dumps(asdict(place)), *words],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            pass_fds=[place.memory],
            env={
                **os.environ,
                "OMP_NUM_THREADS": str(place.threads),
                "PYTHONPATH": f"{package}{os.pathsep}{paths}" if paths else package,
            },
        )
        self._running.append((process, output))

    def wait(self, ready: Callable[[], bool]) -> None:
        """Until ``ready``; ProcessLost if one of them ends meanwhile."""
        while not ready():
            if any(process.poll() is not None for process, _ in self._running):
                raise ProcessLost("it had not begun to train")
            time.sleep(0.02)

    def reason(self, patience: float) -> str:
        """Which of them ended first and why, as far as that can be told."""
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            for place, (process, output) in enumerate(self._running, start=2):
                code = process.poll()
                if not code:
                    continue
                name = f"process {place} of {len(self._running) + 1}"
                if code < 0:
                    memory = ", which is what happens when memory runs out; training.processes=1 needs less"
                    return f"{name} was killed by signal {-code}{memory if code == -9 else ''}"
                output.seek(0)
                return f"{name} failed: {output.read().decode(errors='replace').strip()[-2000:]}"
            time.sleep(0.02)
        return ""

    def dismiss(self) -> None:
        """Let them leave, whatever they are at."""
        for process, _ in self._running:
            assert process.stdin is not None
            process.stdin.close()

    def end(self) -> None:
        """Wait until all have left; none stays behind."""
        deadline = time.monotonic() + GRACE
        for process, output in self._running:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            assert process.stdin is not None
            process.stdin.close()
            output.close()
