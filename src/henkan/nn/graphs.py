"""Work that is launched as one: recorded once as a CUDA graph, then replayed.

A replay runs the recorded kernels on the recorded addresses. So whatever is recorded reads and writes tensors that stay
where they are, never asks for a value, and has one shape. On other devices the same function is simply called again,
over the same tensors: what holds there holds for the graph.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

WARMING = 2
"""Calls before a recording: libraries choose their kernels and take their memory in the first."""


class Replay:
    """A function over tensors that stay where they are; its first calls happen here.

    Args:
        function: takes and returns nothing; whoever hands it over puts its tensors in order afterwards.
        device: where these tensors are.
    """

    def __init__(self, function: Callable[[], None], device: torch.device) -> None:
        self._function = function
        self._graph: torch.cuda.CUDAGraph | None = None
        if device.type != "cuda":
            function()
            return
        aside = torch.cuda.Stream(device)
        aside.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(aside):
            for _ in range(WARMING):
                function()
        torch.cuda.current_stream(device).wait_stream(aside)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            function()

    def __call__(self) -> None:
        """Once more."""
        if self._graph is None:
            self._function()
        else:
            self._graph.replay()


class Lease:
    """While somebody holds it, the results it came with stay as they are."""


class Recorded:
    """A function of tensors, and the tensors it is replayed on.

    Args:
        function: tensors to tensors, all of the shapes and types of these.
        arguments: an example of what it takes.
    """

    def __init__(self, function: Callable[..., Sequence[Tensor]], arguments: Sequence[Tensor]) -> None:
        self._function = function
        self._arguments = [argument.detach().clone() for argument in arguments]
        self._results: list[Tensor] = []
        self._lease: weakref.ref[Lease] | None = None
        self._replay = Replay(self._run, arguments[0].device)

    @property
    def free(self) -> bool:
        """Whether nobody holds the results of the last call."""
        return self._lease is None or self._lease() is None

    def __call__(self, *arguments: Tensor) -> tuple[list[Tensor], Lease]:
        """The results, which the next call overwrites; it may come when the lease is gone."""
        assert self.free, "the results of the last call are still in use"
        for own, given in zip(self._arguments, arguments, strict=True):
            own.copy_(given)
        self._replay()
        lease = Lease()
        self._lease = weakref.ref(lease)
        return self._results, lease

    def _run(self) -> None:
        found = list(self._function(*self._arguments))
        if not self._results:
            self._results = [torch.empty_like(result) for result in found]
        for own, result in zip(self._results, found, strict=True):
            own.copy_(result)
