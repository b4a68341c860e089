"""``henkan compare`` as a user types it, on a toy corpus."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from evaluated import write_run
from henkan.cli.app import main
from henkan.errors import NonFiniteLoss, Stopped
from toys import TINY, toy_pairs, write_pairs

Henkan = Callable[..., tuple[int, str, str]]


@pytest.fixture
def henkan(capsys: pytest.CaptureFixture[str]) -> Henkan:
    """The command line, run here: exit code, output, errors."""

    def call(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return int(left.value.code or 0), out, err

    return call


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    folder = tmp_path_factory.mktemp("corpus")
    train = write_pairs(folder / "train.tsv", toy_pairs(200))
    return ["--pairs", train, "--test-pairs", write_pairs(folder / "test.tsv", toy_pairs(30, seed=9))]


SMALL = [*TINY, "model.encoder.cell.size=16", "model.decoder.cell.size=16", "training.steps=3", "decoding.beam=1"]


def test_runs_that_are_there(henkan: Henkan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    runs = [write_run(tmp_path / name, errors) for name, errors in (("worse", 0.4), ("better", 0.1))]
    monkeypatch.chdir(tmp_path)
    code, out, err = henkan("compare", *runs, "--metric", "chrf")
    assert code == 0, err
    assert "chrF2 ↑" in out
    assert "difference to better" in out
    assert "page: compare.html   numbers: compare.json" in out
    assert json.loads(Path("compare.json").read_text(encoding="utf-8"))["best"] == "better"


def test_presets_are_trained_alike_and_not_again(henkan: Henkan, files: list[object], tmp_path: Path):
    output = tmp_path / "line"
    command = ["compare", "--presets", "gru", "--variant", "tanh=rnn,training.clip=0.5", *files, "--seeds", "1,2"]
    command += ["--output", output, *SMALL]
    code, out, err = henkan(*command)
    assert code == 0, err
    assert "those of gru" in out
    assert "1 of 4: gru, seed 1, " in out
    assert "4 of 4: tanh, seed 2, " in out
    told = json.loads((output / "compare.json").read_text(encoding="utf-8"))
    gru, tanh = told["systems"]
    assert [len(system["runs"]) for system in (gru, tanh)] == [2, 2]
    assert tanh["preset"] == "rnn"
    assert tanh["widths"], "a plain RNN needs larger widths to have as many parameters"
    sizes = [run["parameters"] for system in (gru, tanh) for run in system["runs"]]
    assert max(sizes) / min(sizes) < 1.1, "rounding is coarse where widths are this small"
    assert "clip: 0.5" in (output / "tanh-seed-1" / "config.yaml").read_text(encoding="utf-8")

    before = {path: path.stat().st_mtime_ns for path in output.glob("*-seed-*/**/*")}
    code, out, err = henkan(*command)
    assert code == 0, err
    assert out.count("done already") == 4
    assert {path: path.stat().st_mtime_ns for path in output.glob("*-seed-*/**/*")} == before

    code, _, err = henkan(*command, "training.steps=4")
    assert code == 2
    assert "training.steps is 3, not 4" in err


def test_what_was_stopped_goes_on_with_the_same_command(
    henkan: Henkan, files: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from henkan import run

    train = run.train
    command = ["compare", "--presets", "gru", *files, "--no-matched", "--output", tmp_path / "line", *SMALL]

    def stop(*arguments, **options):
        raise Stopped("saved; go on with: henkan train --resume", 2)

    monkeypatch.setattr(run, "train", stop)
    code, _, err = henkan(*command)
    assert code == 130
    assert "stopped in 1 of 1: gru, seed 1; all is saved, and the same command goes on" in err
    monkeypatch.setattr(run, "train", train)
    assert henkan(*command)[0] == 0


def test_a_run_that_explodes_is_told_and_the_others_go_on(
    henkan: Henkan, files: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from henkan import run

    train = run.train

    def explode(settings, **options):
        if settings["preset"] == "rnn":
            raise NonFiniteLoss("the loss is infinite at update 2")
        return train(settings, **options)

    monkeypatch.setattr(run, "train", explode)
    command = ["compare", "--presets", "rnn,gru", *files, "--no-matched", "--output", tmp_path, *SMALL]
    code, out, err = henkan(*command)
    assert code == 0, err
    assert "rnn-seed-1 is missing: the loss is infinite" in out
    assert "rnn-seed-1 is missing" in (tmp_path / "compare.html").read_text(encoding="utf-8")
    code, _, err = henkan("compare", "--presets", "rnn", *files, "--output", tmp_path, *SMALL)
    assert (code, "no run succeeded" in err) == (1, True), err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "name at least two run folders, or --presets"),
        (("runs/a",), "name at least two run folders"),
        (("runs/a", "runs/b"), "runs/a: no such folder"),
        (("runs/a", "runs/b", "--budget", "5m"), "--budget: only with --presets"),
        (("runs/a", "training.seed=2"), "training.seed=2: settings go with --presets"),
        (("--presets", "gru"), "--output: name the folder"),
        (("--presets", "gru", "--output", "x"), "give --test-source and --test-reference, or --test-pairs"),
        (("--presets", "gru", "--output", "x", "--seeds", "1,x"), "--seeds 1,x: expected different whole numbers"),
        (("--presets", "gru", "--output", "x", "--data", "cmudict", "--pairs", "a.tsv"), "--pairs: --data cmudict"),
        (("--presets", "gru", "--output", "x", "--data", "cmudict", "--to", "de"), "only homeassistant-ui"),
        (("--presets", "grus", "--output", "x"), "did you mean gru"),
    ],
)
def test_bad_input_ends_with_2_and_writes_nothing(
    henkan: Henkan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
):
    monkeypatch.chdir(tmp_path)
    code, _, err = henkan("compare", *arguments)
    assert code == 2, err
    assert message in err
    assert not list(tmp_path.iterdir())
