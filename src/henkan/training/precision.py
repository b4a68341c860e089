"""In which precision forward and backward run: measured, because processors differ more than their names say."""

from __future__ import annotations

import time
from typing import Literal

import torch

Precision = Literal["bf16", "fp32"]
DTYPES: dict[str, torch.dtype] = {"bf16": torch.bfloat16, "fp32": torch.float32}

CLEARLY_FASTER = 1.5
"""bf16 must win by so much: beside the products there are operations that it makes slower."""


def choose_precision(device: torch.device) -> tuple[Precision, str]:
    """bf16 where this device multiplies matrices clearly faster in it, and why; takes about 50 ms."""
    if device.type == "cuda":
        able = torch.cuda.is_bf16_supported(including_emulation=False)
        return ("bf16", "this GPU has it") if able else ("fp32", "this GPU has no bf16")
    ratio = _seconds(torch.float32) / _seconds(torch.bfloat16)
    chosen: Precision = "bf16" if ratio >= CLEARLY_FASTER else "fp32"
    return chosen, f"bf16 products run at {ratio:.1f} times the speed of fp32 on this processor"


def _seconds(dtype: torch.dtype, size: int = 384, limit: float = 0.025) -> float:
    """The best time of one square product, trying for ``limit`` seconds and at least twice."""
    left, right = torch.ones(size, size, dtype=dtype), torch.ones(size, size, dtype=dtype)
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < 2 or time.perf_counter() - began < limit:
        start = time.perf_counter()
        left @ right
        times.append(time.perf_counter() - start)
    return min(times)
