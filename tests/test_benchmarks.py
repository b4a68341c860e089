"""The benchmarks run; what they measure is nobody's test."""

import importlib
import json
from pathlib import Path
from types import ModuleType

import pytest


def benchmark(name: str) -> ModuleType:
    """A file of the folder, which is not installed with Henkan."""
    return importlib.import_module(f"benchmarks.{name}")


def test_the_speed_benchmark_prints_a_row_for_each_preset(capsys: pytest.CaptureFixture[str]):
    benchmark("speed").main(["--presets", "transformer-tiny", "--rounds", "1", "--seconds", "0.2", "--threads", "1"])
    (row,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("transformer-tiny")]
    assert float(row.split()[1].replace(",", "")) > 0


def test_the_decoding_benchmark_prints_a_row_for_each_way(capsys: pytest.CaptureFixture[str]):
    few = ["--lines", "4", "--batches", "2", "--beams", "1,2", "--rounds", "1", "--threads", "1"]
    benchmark("decoding").main(["--preset", "transformer-tiny", *few])
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[:3] for row in rows if row[2] in ("plain", "float32")] == [
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


@pytest.mark.parametrize("subject", ["training-length", "training-batch", "decoding-length", "decoding-vocabulary"])
def test_the_growth_benchmark_measures_each_size(
    subject: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    growth = benchmark("growth")
    changing = {"length": (3, 6), "vocabulary": (50, 100), "batch": (64, 128)}
    monkeypatch.setattr(growth, "SIZES", {"training": changing, "decoding": changing})
    told = ["--presets", "transformer-tiny", "--seconds", "0.001", "--threads", "1", "--json", str(tmp_path / "out")]
    growth.main(["--subjects", subject, *told])
    (curve,) = json.loads((tmp_path / "out").read_text(encoding="utf-8"))
    assert (curve["subject"], curve["name"]) == (subject, "transformer-tiny")
    assert [size for size, _ in curve["points"]] == list(changing[subject.split("-")[1]])
    assert all(cost > 0 for _, cost in curve["points"])
    assert "transformer-tiny" in capsys.readouterr().out


def test_the_page_has_every_figure_and_picture(tmp_path: Path):
    pytest.importorskip("matplotlib", reason="pictures need matplotlib: pip install 'henkan[plots]'")
    main = benchmark("__main__")
    row = {"preset": "luong-2015", "threads": 2, "precision": "bf16", "tokens_per_second": 4321.0}
    row |= {"lowest": 4000.0, "highest": 4500.0, "share_of_matmul": 0.12}
    beam = {"beam": 5, "batch": 32, "products": "int8", "times_plain": 2.345}
    beam |= {"sentences_per_second": 210.5, "tokens_per_second": 3456.0}
    commands = {"training_mb": 1234.0, "predicting_mb": 567.0, "python_seconds": 0.01}
    commands |= {"import_torch_seconds": 1.25, "start_seconds": 1.75, "start_ratio": 1.4}
    curve = {"subject": "decoding-length", "name": "a curve", "points": [[8, 1.0], [16, 2.0], [32, 8.0]]}
    found = {"training-1": {"matmul_gflops": 999.0, "rows": [row]}, "decoding": [beam], "commands": commands}
    for name, figures in {**found, "growth": [curve]}.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(figures), encoding="utf-8")
    page = main.write_page(tmp_path, {"training": "as <printed>"}).read_text(encoding="utf-8")
    shown = ["4,321", "12%", "999", "210.5", "2.35", "1,234 MB", "1.75 s", "1.40", "as &lt;printed&gt;"]
    assert not [figure for figure in shown if figure not in page]
    assert "a curve, last slope 2.00" in page, "labels of pictures are text"
    assert (tmp_path / "decoding-length.png").stat().st_size > 1000


def test_a_part_that_there_is_not_is_refused(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        benchmark("__main__").main(["trainning"])
    assert "no such part: trainning; the parts are training, decoding, commands, growth" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore")  # of recurrent layers in types nobody trains on a processor
def test_every_part_of_the_gpu_benchmark_runs_on_a_processor(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    gpu = benchmark("gpu")
    gpu.main(["--device", "cpu", "--tiny", "--output", str(tmp_path / "out.json")])
    found = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    for part in gpu.PARTS:
        assert found[part]
        assert all(row["ms"] > 0 for row in found[part])
    assert len(capsys.readouterr().out.splitlines()) == 1 + sum(len(found[part]) for part in gpu.PARTS)
