"""Corpora by name: what of them is trained on and what is scored on."""

import gzip
from pathlib import Path

import pytest

from henkan.compare import corpora
from henkan.compare.corpora import corpus
from henkan.data.catalogue import entry
from henkan.errors import ConfigError, FolderError


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """$HENKAN_DATA with two corpora that come in parts and a wheel that nobody opens."""
    for name in ("mt-small-en-ja", "g2p-cmudict"):
        for part, files in entry(name).parts.items():
            for file in files:
                path = tmp_path / name / file
                path.parent.mkdir(exist_ok=True)
                line = f"{part}\tP AA\tP AH\n" if ".tsv" in file else f"{part} {file.split('.')[1]}\n"
                path.write_bytes(gzip.compress(line.encode()))
    monkeypatch.setenv("HENKAN_DATA", str(tmp_path))
    monkeypatch.setattr(corpora, "find", lambda name, tell: tmp_path / name)
    return tmp_path


def silent(line: str) -> None:
    """Nobody listens."""


def test_parallel_text_in_three_parts(place: Path):
    settings, test = corpus("mt-small-en-ja", None, place / "none", silent)
    folder = place / "mt-small-en-ja"
    assert settings == {
        "source": str(folder / "train.en.gz"),
        "target": str(folder / "train.ja.gz"),
        "valid_source": str(folder / "dev.en.gz"),
        "valid_target": str(folder / "dev.ja.gz"),
    }
    assert test == [("test en", ["test ja"])]


def test_a_table_without_a_validation_part(place: Path):
    settings, test = corpus("g2p-cmudict", None, place / "none", silent)
    assert settings == {"pairs": str(place / "g2p-cmudict" / "train.tsv.gz")}
    assert test == [("test", ["P AA", "P AH"])]


def test_a_corpus_in_one_piece_is_split_once(place: Path, monkeypatch: pytest.MonkeyPatch):
    made = []

    def prepare(wheel: Path, language: str, folder: Path) -> None:
        made.append((wheel.name, language))
        folder.mkdir()
        for part in ("train", "valid", "test"):
            for side in ("en", "fr"):
                (folder / f"{part}.{side}").write_text(f"{part} {side}\n")

    monkeypatch.setattr(corpora, "prepare_translation", prepare)
    folder = place / "split"
    first, second = (corpus("homeassistant-ui", "FR", folder, silent) for _ in range(2))
    assert first == second
    assert made == [(entry("homeassistant-ui").files[0], "FR")]
    assert first[0]["target"] == str(folder / "train.fr")
    assert first[1] == [("test en", ["test fr"])]
    with pytest.raises(FolderError, match="holds the corpus for fr, not de; remove it"):
        corpus("homeassistant-ui", None, folder, silent)


def test_a_language_where_there_is_none_to_choose(place: Path):
    with pytest.raises(ConfigError, match="only homeassistant-ui has languages"):
        corpus("mt-small-en-ja", "ja", place, silent)
