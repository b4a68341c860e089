"""Preparing a corpus and reading it again."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from henkan.data import corpus as module
from henkan.data.corpus import Corpus, write_corpus
from henkan.data.example import Pair
from henkan.data.readers import ParallelText
from henkan.data.transforms import FilterConfig
from henkan.errors import DataError, FolderError, StorageError
from henkan.text.tokenizer import Tokenizer, TokenizerConfig, learn

PAIRS = [
    Pair(f"number {n} " + "and so on " * (n % 7), f"Zahl {n} " + "und weiter " * (n % 5), n) for n in range(1, 500)
]
PAIRS[10] = Pair("", "leer", 11)
PAIRS[20] = Pair("long " * 300, "lang " * 300, 21)


@pytest.fixture(scope="module")
def tokenizers() -> tuple[Tokenizer, Tokenizer]:
    source = learn(TokenizerConfig(vocabulary=100), [pair.source for pair in PAIRS])
    return source, learn(TokenizerConfig(kind="character"), [pair.target for pair in PAIRS])


@pytest.fixture
def folder(tmp_path: Path, tokenizers: tuple[Tokenizer, Tokenizer]) -> Path:
    write_corpus(tmp_path / "train", PAIRS, *tokenizers, FilterConfig())
    return tmp_path / "train"


def test_what_is_written_is_read(folder: Path, tokenizers: tuple[Tokenizer, Tokenizer]):
    corpus = Corpus.open(folder)
    kept = [pair for pair in PAIRS if pair.line not in (11, 21)]
    assert len(corpus) == len(kept) == 497
    for index, pair in enumerate(kept):
        example = corpus.example(index)
        assert example.index == index
        assert example.source.dtype == example.target.dtype == np.int32
        assert example.source.tolist() == tokenizers[0].encode([pair.source])[0]
        assert example.target.tolist() == tokenizers[1].encode([pair.target])[0]
        assert corpus.lines[index] == pair.line
        assert corpus.source_lengths[index] == len(example.source)
        assert corpus.target_lengths[index] == len(example.target)
    assert corpus.summary["vocabulary"] == {"source": tokenizers[0].size, "target": tokenizers[1].size}


@pytest.mark.parametrize("index", [-1, 497])
def test_a_place_outside_is_refused(folder: Path, index: int):
    with pytest.raises(IndexError, match="of a corpus of 497"):
        Corpus.open(folder).example(index)


def test_chunks_do_not_matter(folder: Path, tokenizers: tuple[Tokenizer, Tokenizer], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_CHUNK", 7)
    seen: list[int] = []
    other = folder.with_name("other")
    report = write_corpus(other, iter(PAIRS), *tokenizers, FilterConfig(), progress=seen.append)
    for path in folder.iterdir():
        assert path.read_bytes() == (other / path.name).read_bytes(), f"{path.name} depends on the size of chunks"
    assert seen == [*range(7, 499, 7), 499]
    assert (report.kept, sum(report.dropped.values())) == (497, 2)


@pytest.mark.parametrize(("size", "dtype"), [(1 << 16, np.uint16), ((1 << 16) + 1, np.uint32)])
def test_ids_take_two_bytes_where_they_fit(tmp_path: Path, size: int, dtype: type):
    tokenizer = learn(TokenizerConfig(kind="word", vocabulary=size), [f"w{number}" for number in range(size)])
    assert tokenizer.size == size
    rarest = tokenizer.pieces([size - 1])[0]
    write_corpus(tmp_path / "c", [Pair(rarest, rarest, 1)], tokenizer, tokenizer, FilterConfig())
    assert np.load(tmp_path / "c" / "source.tokens.npy").dtype == dtype
    assert Corpus.open(tmp_path / "c").example(0).target.tolist() == [size - 1]


def test_sides_may_be_empty_where_asked_for(tmp_path: Path, tokenizers: tuple[Tokenizer, Tokenizer]):
    write_corpus(tmp_path / "c", [Pair("", "", 1)], *tokenizers, FilterConfig(remove_empty=False))
    assert len(Corpus.open(tmp_path / "c").example(0).source) == 0


def test_all_filtered(tmp_path: Path, tokenizers: tuple[Tokenizer, Tokenizer]):
    with pytest.raises(DataError, match=r"no pair is left: 0 of 499 pairs kept(.|\n)*max_length"):
        write_corpus(tmp_path / "c", PAIRS, *tokenizers, FilterConfig(max_length=1))
    with pytest.raises(DataError, match="pairs: there are none"):
        write_corpus(tmp_path / "c", [], *tokenizers, FilterConfig())
    assert list(tmp_path.iterdir()) == [], "nothing half-written is left"


def test_an_error_in_the_middle_leaves_nothing(tmp_path: Path, tokenizers: tuple[Tokenizer, Tokenizer]):
    (tmp_path / "a.en").write_text("x\n" * 9000)
    (tmp_path / "a.de").write_text("y\n" * 8999)
    with pytest.raises(DataError, match="has 9,000 lines"):
        write_corpus(tmp_path / "c", ParallelText(tmp_path / "a.en", tmp_path / "a.de"), *tokenizers, FilterConfig())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.de", "a.en"]


def test_what_a_killed_process_left_is_no_obstacle(tmp_path: Path, tokenizers: tuple[Tokenizer, Tokenizer]):
    (tmp_path / ".c.partial").mkdir()
    (tmp_path / ".c.partial" / "rubbish").write_text("x")
    write_corpus(tmp_path / "c", PAIRS, *tokenizers, FilterConfig())
    assert [path.name for path in tmp_path.iterdir()] == ["c"]
    assert not (tmp_path / "c" / "rubbish").exists()


def test_an_existing_folder_is_not_touched(folder: Path, tokenizers: tuple[Tokenizer, Tokenizer]):
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(FolderError, match="exists already"):
        write_corpus(folder, PAIRS[:3], *tokenizers, FilterConfig())
    assert before == {path: path.read_bytes() for path in folder.iterdir()}


def test_a_full_disk(tmp_path: Path, tokenizers: tuple[Tokenizer, Tokenizer], monkeypatch: pytest.MonkeyPatch):
    def full(*_: object) -> Iterator[object]:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "_synchronise", full)
    with pytest.raises(StorageError, match="cannot write the corpus \\(No space left on device\\)"):
        write_corpus(tmp_path / "c", PAIRS, *tokenizers, FilterConfig())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name",
    ["source.tokens.npy", "source.offsets.npy", "target.tokens.npy", "target.offsets.npy", "lines.npy", "corpus.json"],
)
@pytest.mark.parametrize("damage", ["missing", "truncated", "empty", "rubbish"])
def test_damaged_folders(folder: Path, name: str, damage: str):
    path = folder / name
    content = path.read_bytes()
    path.unlink()
    if damage != "missing":
        path.write_bytes(
            {"truncated": content[: len(content) // 2], "empty": b"", "rubbish": b"\x93NUMPYrubbish"}[damage]
        )
    with pytest.raises(FolderError, match="prepare it again") as caught:
        Corpus.open(folder)
    assert str(folder) in str(caught.value)


def test_files_of_another_corpus(folder: Path, tmp_path: Path, tokenizers: tuple[Tokenizer, Tokenizer]):
    write_corpus(tmp_path / "other", PAIRS[:400], *tokenizers, FilterConfig())
    shutil.copy(tmp_path / "other" / "source.tokens.npy", folder)
    with pytest.raises(FolderError, match="does not belong"):
        Corpus.open(folder)


def test_pickled_arrays_are_refused(folder: Path):
    np.save(folder / "lines.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(FolderError, match="not a prepared corpus"):
        Corpus.open(folder)


def test_another_format(folder: Path):
    summary = json.loads((folder / "corpus.json").read_text())
    (folder / "corpus.json").write_text(json.dumps(summary | {"format": 99}))
    with pytest.raises(FolderError, match="corpus format 99, expected 1"):
        Corpus.open(folder)
