"""How this process uses processors, memory and its output. A library leaves that to its host, the command line.

What is set was measured (docs/log.md). Threads and memory together make training on two quiet cores a fifth to a
quarter faster. The threads alone made it six times faster than the default while both cores had other work, and no
faster with one busy.
"""

import ctypes
import io
import os
import sys

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # of mallopt, in glibc's malloc.h


def prepare() -> None:
    """Before torch is imported. What the user's environment says already wins."""
    # A waiting thread of a parallel section spins a little, then sleeps. The default spins for milliseconds; where
    # every core has other work, it takes the processor from the very thread that is waited for.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    # Sentence batches have so many shapes that most kernels are made once, used for one update, and kept for nothing.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "128")
    _write_utf8()
    if sys.platform == "linux" and not any(name.startswith("MALLOC_") for name in os.environ):
        _keep_memory_mapped()


def _write_utf8() -> None:
    """What is read is UTF-8, so what is written is too, whatever the locale says."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and "PYTHONIOENCODING" not in os.environ:
            stream.reconfigure(encoding="utf-8")


def _keep_memory_mapped() -> None:
    """Large tensors come from the heap and stay there: fresh pages cost several times as much as touched ones."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return
    mallopt(_MMAP_MAX, 0)
    mallopt(_TRIM_THRESHOLD, 2**31 - 1)
    mallopt(_TOP_PAD, 64 << 20)
