"""The probe."""

from __future__ import annotations

import time

import torch

from henkan.training import precision


def test_the_probe_is_quick_and_says_why() -> None:
    began = time.perf_counter()
    chosen, reason = precision.choose_precision(torch.device("cpu"))
    assert chosen in precision.DTYPES
    assert "bf16" in reason
    assert time.perf_counter() - began < 2.0


def test_the_clearly_faster_wins(monkeypatch: object) -> None:
    for seconds, expected in (
        ({torch.float32: 2.0, torch.bfloat16: 1.0}, "bf16"),
        ({torch.float32: 1.0, torch.bfloat16: 1.0}, "fp32"),
    ):
        monkeypatch.setattr(precision, "product_seconds", lambda seconds=seconds: seconds)  # type: ignore[attr-defined]
        assert precision.choose_precision(torch.device("cpu"))[0] == expected
