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
    seconds = product_seconds()
    ratio = seconds[torch.float32] / seconds[torch.bfloat16]
    chosen: Precision = "bf16" if ratio >= CLEARLY_FASTER else "fp32"
    return chosen, f"bf16 products run at {ratio:.1f} times the speed of fp32 on this processor"


def product_seconds(size: int = 384, rounds: int = 30, limit: float = 1.0) -> dict[torch.dtype, float]:
    """The best time of one square product in each precision.

    The two take turns, so that whatever else the machine does disturbs both; where bf16 has no hardware it may be 200
    times slower, and a few rounds tell.
    """
    squares = {dtype: torch.ones(size, size, dtype=dtype) for dtype in (torch.float32, torch.bfloat16)}
    best = dict.fromkeys(squares, float("inf"))
    began = time.perf_counter()
    for number in range(rounds):
        for dtype, square in squares.items():
            start = time.perf_counter()
            square @ square
            best[dtype] = min(best[dtype], time.perf_counter() - start)
        if number >= 2 and time.perf_counter() - began > limit:
            break
    return best
