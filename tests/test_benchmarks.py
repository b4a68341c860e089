"""The benchmarks run; what they measure is nobody's test."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest


def benchmark(name: str) -> ModuleType:
    """A script of the folder, which is no package."""
    path = Path(__file__).parents[1] / "benchmarks" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_speed_benchmark_prints_a_row_for_each_preset(capsys: pytest.CaptureFixture[str]):
    benchmark("speed").main(["--presets", "transformer-tiny", "--rounds", "1", "--seconds", "0.2", "--threads", "1"])
    (row,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("transformer-tiny")]
    assert float(row.split()[1].replace(",", "")) > 0


def test_the_decoding_benchmark_prints_a_row_for_each_way(capsys: pytest.CaptureFixture[str]):
    few = ["--lines", "4", "--batches", "2", "--beams", "1,2", "--rounds", "1", "--threads", "1"]
    benchmark("decoding").main(["--preset", "transformer-tiny", *few])
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[:3] for row in rows if row[2] != "bf16"] == [
        [beam, "2", products] for beam in ("1", "2") for products in ("plain", "float32")
    ]
    assert all(float(row[3].replace(",", "")) > 0 for row in rows)


def test_the_long_range_benchmark_prints_a_row_for_each_cell_and_writes_all_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    which = ["--lengths", "4,6", "--cells", "rnn,gru", "--seeds", "1,2"]
    sizes = ["--updates", "40", "--size", "5", "--rows", "3", "--threads", "1"]
    benchmark("long_range").main([*which, *sizes, "--output", str(tmp_path / "out.json")])
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if line.split()[0] in ("4", "6")]
    assert [row[:2] for row in rows] == [["4", "rnn"], ["4", "gru"], ["6", "rnn"], ["6", "gru"]]
    trainings = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))["trainings"]
    assert [training["updates"] for training in trainings] == [40] * 8
    for training in trainings:
        assert training["error"] == training["curve"][-1][2]
        assert len(training["curve"]) == 21


def test_the_corpus_benchmark_measures_each_step(tmp_path: Path):
    corpus = benchmark("corpus")
    for name in corpus.STEPS:
        found = corpus.step(name, tmp_path, 3000)
        assert found.pop("memory_growth_mb") >= 0
        assert all(value > 0 for key, value in found.items() if ", " not in key), f"{name}: {found}"
    assert found["windows"] == 1
