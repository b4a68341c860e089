"""The benchmarks run; what they measure is nobody's test."""

import importlib.util
from pathlib import Path

import pytest


def test_the_speed_benchmark_prints_a_row_for_each_preset(capsys: pytest.CaptureFixture[str]):
    path = Path(__file__).parents[1] / "benchmarks" / "speed.py"
    spec = importlib.util.spec_from_file_location("speed", path)
    assert spec is not None and spec.loader is not None
    speed = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(speed)
    speed.main(["--presets", "transformer-tiny", "--rounds", "1", "--seconds", "0.2", "--threads", "1"])
    (row,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("transformer-tiny")]
    assert float(row.split()[1].replace(",", "")) > 0
