"""A worker: a process that holds a model and answers requests, a line of JSON for a line of JSON.

It imports nothing but the standard library, so that it serves in every environment.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

Translate = Callable[[Mapping[str, Any]], tuple[float, Sequence[str]]]
"""From the settings of a request to the seconds it took and the outputs, in order."""


def answer(translate: Translate, memory: Callable[[], float]) -> None:
    """Serve requests on standard input until it closes.

    A request has ``settings``, and may have ``outputs``, a file to write them to. The answer has the ``seconds`` and
    ``memory``, MiB at the peak so far.
    """
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print is no answer
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        seconds, outputs = translate(request["settings"])
        if "outputs" in request:
            Path(request["outputs"]).write_bytes("".join(f"{output}\n" for output in outputs).encode())
        print(json.dumps({"seconds": seconds, "memory": memory()}), file=answers, flush=True)


class Worker:
    """The other end: starts a worker and asks it; a context that ends it."""

    def __init__(self, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        self.log = log
        with log.open("wb") as stream:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stream,
                text=True,
                encoding="utf-8",
                env={**os.environ, **environment},
            )
        self._answer()

    def ask(self, settings: Mapping[str, Any], outputs: Path | None = None) -> dict[str, float]:
        """Seconds and memory; the outputs go to a file on request."""
        assert self.process.stdin is not None
        request = {"settings": settings, **({} if outputs is None else {"outputs": str(outputs)})}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, float]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        while line and not line.startswith("{"):  # a library spoke while it was loaded
            line = self.process.stdout.readline()
        if not line:
            tail = "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
            raise RuntimeError(f"{self.log}: the worker ended with {self.process.wait()}:\n{tail}")
        return json.loads(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.__exit__(kind, error, trace)  # closes the pipes and waits
