"""A program that is run in slices: stopped while another one is measured, and continued where it was.

So each training is started once, every slice is of a warm process, and alternations cost nothing. Linux only.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

POLL = 0.01
"""Seconds between two looks into a log; what a look takes is no share of that."""


class Program:
    """A running program and the log it writes; a context that kills it at its end.

    Args:
        command: what to run; its output goes to ``output``.
        log: the file whose lines tell how far it is; it may be ``output``.
        environment: added to this process's.
    """

    def __init__(self, command: Sequence[str], output: Path, log: Path, environment: Mapping[str, str]) -> None:
        self.output = output
        self.log = log
        log.unlink(missing_ok=True)
        with output.open("wb") as stream:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment},
                start_new_session=True,
            )
        self._read = 0  # bytes of the log

    def new_lines(self) -> list[str]:
        """The whole lines that came since the last call.

        Raises:
            RuntimeError: the program has ended.
        """
        content = b""
        if self.log.exists():
            with self.log.open("rb") as stream:
                stream.seek(self._read)
                content = stream.read()
        whole = content[: content.rfind(b"\n") + 1]
        self._read += len(whole)
        if not whole and self.process.poll() is not None:
            tail = "\n".join(self.output.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
            raise RuntimeError(f"{self.output}: the program ended with {self.process.returncode}:\n{tail}")
        return whole.decode("utf-8", "replace").splitlines()

    def run(self, seconds: float, tokens_of: Callable[[str], int | None], patience: float) -> tuple[int, float]:
        """Continue for about so long, to the end of an update, and stop again.

        Args:
            tokens_of: what a line of the log tells to have been learnt since the line before; None: nothing of that.
            patience: seconds after which a log without news is an error.

        Returns:
            Tokens, and the seconds they took.
        """
        tokens, news = 0, False
        self.signal(signal.SIGCONT)
        began = time.perf_counter()
        while True:
            found = [learnt for line in self.new_lines() if (learnt := tokens_of(line)) is not None]
            took = time.perf_counter() - began
            tokens += sum(found)
            news = news or bool(found)
            if found and took >= seconds:
                break
            if took > seconds + patience:
                raise RuntimeError(f"{self.log}: no update in {patience:.0f} s; see {self.output}")
            time.sleep(POLL)
        self.signal(signal.SIGSTOP)
        return tokens, took

    def signal(self, number: int) -> None:
        """To the program and everything it started."""
        for process in family(self.process.pid):
            try:
                os.kill(process, number)
            except ProcessLookupError:  # it ended in between
                continue

    def peak_memory(self) -> float:
        """MiB that it and everything it started had in memory, each at its own peak."""
        return sum(peak_memory(process) for process in family(self.process.pid))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.signal(signal.SIGKILL)
        self.process.wait()


def family(process: int) -> list[int]:
    """A process and its descendants, parents first."""
    try:
        threads = Path(f"/proc/{process}/task").iterdir()
        children = [child for thread in threads for child in (thread / "children").read_text().split()]
    except OSError:  # it has ended
        return [process]
    return [process, *(member for child in children for member in family(int(child)))]


def peak_memory(process: int) -> float:
    """The most memory a process had so far, in MiB; of what it shares with others now, it counts its part."""
    try:
        status = _sizes(Path(f"/proc/{process}/status"))
        now = _sizes(Path(f"/proc/{process}/smaps_rollup"))
    except OSError:  # it has ended
        return 0.0
    return (status.get("VmHWM", 0) - now.get("Rss", 0) + now.get("Pss", 0)) / 1024


def _sizes(path: Path) -> dict[str, int]:
    """What a file of /proc tells in kB."""
    rows = (line.split() for line in path.read_text().splitlines())
    return {row[0].rstrip(":"): int(row[1]) for row in rows if row[-1] == "kB"}
