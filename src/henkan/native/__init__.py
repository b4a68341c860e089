"""The C++ loops, compiled once by the compiler of this machine and called without torch's machinery.

A function here takes addresses and strides, so it knows nothing of torch's headers and needs no rebuild when torch
changes. Everything it does has a plain twin in torch; without a compiler, or with ``HENKAN_NATIVE=0``, that runs.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from henkan.folder import cache_folder

FOLDER = Path(__file__).parent

COMPILE = ("-std=c++17", "-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-fPIC", "-c")

SUFFIXES = {torch.float32: "float32", torch.bfloat16: "bfloat16"}
"""The types that the loops come in, as they end a function's name."""

log = logging.getLogger("henkan")


@functools.cache
def library() -> ctypes.CDLL | None:
    """The compiled loops, or None where there are none (said once)."""
    if os.environ.get("HENKAN_NATIVE") == "0":
        return None
    compiler = next((found for name in ("c++", "g++", "clang++") if (found := shutil.which(name))), None)
    if compiler is None:
        log.warning("no C++ compiler found: recurrent layers run by plain torch, slower but the same")
        return None
    try:
        return ctypes.CDLL(str(_built(compiler)))
    except (OSError, subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        complaint = getattr(error, "stderr", None) or str(error)
        log.warning("the C++ loops could not be built, plain torch runs instead:\n%s", complaint)
        return None


def _built(compiler: str) -> Path:
    """The shared library for these sources, this compiler and processor; compiled if it is not in the cache."""
    sources = sorted([*FOLDER.glob("*.cpp"), *FOLDER.glob("*.h")])
    identity = [source.read_text(encoding="utf-8") for source in sources]
    identity += [*COMPILE, torch.__version__, _output([compiler, "--version"]), platform.machine(), _processor()]
    name = hashlib.sha256("\n".join(identity).encode()).hexdigest()[:16]
    place = cache_folder() / "native" / f"loops-{name}.so"
    if not place.is_file():
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent) as building:
            made = Path(building) / "made.so"
            _build(compiler, [path for path in sources if path.suffix == ".cpp"], made)
            os.replace(made, place)  # whole or not at all, whoever builds at the same time
    return place


def _build(compiler: str, sources: Sequence[Path], made: Path) -> None:
    """Compile and link: with threads where torch brings the library for them, vectorised alone elsewhere."""
    # torch's own copy of the OpenMP library, so that both share one set of threads
    threads = [str(path) for path in (Path(torch.__file__).parent / "lib").glob("libgomp*.so*")][:1]
    objects = [str(made.with_name(f"{source.stem}.o")) for source in sources]
    for source, target in zip(sources, objects, strict=True):
        _output([compiler, *COMPILE, "-fopenmp" if threads else "-fopenmp-simd", str(source), "-o", target])
    _output([compiler, "-shared", *objects, *threads, "-o", str(made)])


def _output(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout


def _processor() -> str:
    """What ``-march=native`` depends on: a cache folder may be shared by different machines."""
    information = Path("/proc/cpuinfo")
    if not information.is_file():
        return platform.processor()
    lines = information.read_text(encoding="utf-8", errors="replace").splitlines()
    wanted = ("model name", "flags", "Features", "CPU part")
    return "\n".join(next((line for line in lines if line.startswith(key)), "") for key in wanted)


def runs(tensor: Tensor) -> bool:
    """Whether the loops take tensors of this type, where this one lies."""
    return tensor.device.type == "cpu" and tensor.dtype in SUFFIXES and library() is not None


class Call:
    """One function of the library.

    Every argument is 64 bits wide: an integer, the address of a tensor (None: 0), or a float. At one place a function
    takes floats at every call or at none.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._functions: dict[torch.dtype, Callable[..., None]] = {}

    def __call__(
        self, dtype: torch.dtype, rows: int, size: int, mask: Tensor | None, *values: Tensor | float | None
    ) -> None:
        """``rows`` and ``size`` of the states, ``mask`` (rows,) bool, then what the function takes, in its order."""
        function = self._functions.get(dtype)
        if function is None:
            function = getattr(library(), f"henkan_{self.name}_{SUFFIXES[dtype]}")
            function.restype = None
            kinds = [ctypes.c_double if isinstance(value, float) else ctypes.c_int64 for value in values]
            function.argtypes = [ctypes.c_int64] * 5 + kinds
            self._functions[dtype] = function
        pace = 0 if mask is None else mask.stride(0)
        function(rows, size, torch.get_num_threads(), _plain(mask), pace, *map(_plain, values))


class Function:
    """One function of the library by its whole name; every argument is 64 bits wide, as in :class:`Call`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._function: Callable[..., int] | None = None

    def __call__(self, *values: Tensor | int | None) -> int:
        """What the function takes, in its order; what it returns, if it returns something."""
        if self._function is None:
            function = getattr(library(), f"henkan_{self.name}")
            function.restype = ctypes.c_int64
            function.argtypes = [ctypes.c_int64] * len(values)
            self._function = function
        return self._function(*map(_plain, values))


def _plain(value: Tensor | float | None) -> float:
    if isinstance(value, int | float):
        return value
    return 0 if value is None else value.data_ptr()
