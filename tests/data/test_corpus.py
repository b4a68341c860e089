"""Preparing a corpus and reading it again."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from henkan.data import corpus as module
from henkan.data.corpus import Corpus, write_corpus, write_summary
from henkan.data.example import Pair
from henkan.data.readers import ParallelText
from henkan.data.shards import Shard, ShardWriter
from henkan.data.transforms import FilterConfig
from henkan.errors import DataError, FolderError, StorageError
from henkan.text.learning import learn
from henkan.text.tokenizer import Tokenizer, TokenizerConfig

PAIRS = [
    Pair(f"number {n} " + "and so on " * (n % 7), f"Zahl {n} " + "und weiter " * (n % 5), n) for n in range(1, 500)
]
PAIRS[10] = Pair("", "leer", 11)
PAIRS[20] = Pair("long " * 300, "lang " * 300, 21)


SHARD = 200
FILES = ["source.tokens.npy", "source.lengths.npy", "target.tokens.npy", "target.lengths.npy", "lines.npy"]


@pytest.fixture(scope="module")
def tokenizers() -> tuple[Tokenizer, Tokenizer]:
    source = learn(TokenizerConfig(vocabulary=100), [pair.source for pair in PAIRS])
    return source, learn(TokenizerConfig(kind="character"), [pair.target for pair in PAIRS])


@pytest.fixture
def folder(tmp_path: Path, tokenizers: tuple[Tokenizer, Tokenizer]) -> Path:
    write_corpus(tmp_path / "train", PAIRS, *tokenizers, FilterConfig(), shard=SHARD)
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
        assert corpus.line(index) == pair.line
        lengths = corpus.lengths[index // SHARD]
        assert lengths.source[index % SHARD] == len(example.source) + 1
        assert lengths.target[index % SHARD] == len(example.target) + 1
    for side in ("source", "target"):
        counted = sum(int(getattr(corpus.lengths[number], side).sum()) for number in range(len(corpus.lengths)))
        assert corpus.tokens(side) == counted - len(corpus)
    assert [len(corpus.lengths[number]) for number in range(len(corpus.lengths))] == [200, 200, 97]
    assert corpus.summary["vocabulary"] == {"source": tokenizers[0].size, "target": tokenizers[1].size}


@pytest.mark.parametrize("index", [-1, 497])
def test_a_place_outside_is_refused(folder: Path, index: int):
    with pytest.raises(IndexError, match="of a corpus of 497"):
        Corpus.open(folder).example(index)


def test_chunks_do_not_matter(folder: Path, tokenizers: tuple[Tokenizer, Tokenizer], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_CHUNK", 7)
    other = folder.with_name("other")
    report = write_corpus(other, iter(PAIRS), *tokenizers, FilterConfig(), shard=SHARD)
    files = [path.relative_to(folder) for path in folder.rglob("*.*")]
    assert len(files) == 3 * len(FILES) + 1
    for path in files:
        assert (folder / path).read_bytes() == (other / path).read_bytes(), f"{path} depends on the size of chunks"
    assert (report.kept, sum(report.dropped.values())) == (497, 2)


@pytest.mark.parametrize(("size", "dtype"), [(1 << 16, np.uint16), ((1 << 16) + 1, np.uint32)])
def test_ids_take_two_bytes_where_they_fit(tmp_path: Path, size: int, dtype: type):
    tokenizer = learn(TokenizerConfig(kind="word", vocabulary=size), [f"w{number}" for number in range(size)])
    assert tokenizer.size == size
    rarest = tokenizer.pieces([size - 1])[0]
    write_corpus(tmp_path / "c", [Pair(rarest, rarest, 1)], tokenizer, tokenizer, FilterConfig())
    assert np.load(tmp_path / "c" / "00000" / "source.tokens.npy").dtype == dtype
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
    before = {path: path.read_bytes() for path in folder.rglob("*.*")}
    with pytest.raises(FolderError, match="exists already"):
        write_corpus(folder, PAIRS[:3], *tokenizers, FilterConfig())
    assert before == {path: path.read_bytes() for path in folder.rglob("*.*")}


def test_a_full_disk(tmp_path: Path, tokenizers: tuple[Tokenizer, Tokenizer], monkeypatch: pytest.MonkeyPatch):
    def full(*_: object) -> Iterator[object]:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "_synchronise", full)
    with pytest.raises(StorageError, match="cannot write the corpus \\(No space left on device\\)"):
        write_corpus(tmp_path / "c", PAIRS, *tokenizers, FilterConfig())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", [*(f"00001/{file}" for file in FILES), "corpus.json"])
@pytest.mark.parametrize("damage", ["missing", "truncated", "empty", "rubbish"])
def test_damaged_folders(folder: Path, name: str, damage: str):
    path = folder / name
    content = path.read_bytes()
    path.unlink()
    if damage != "missing":
        path.write_bytes(
            {"truncated": content[: len(content) // 2], "empty": b"", "rubbish": b"\x93NUMPYrubbish"}[damage]
        )
    with pytest.raises(FolderError, match="prepare the corpus again") as caught:
        Corpus.open(folder)
    assert str(path) in str(caught.value)


def test_files_of_another_corpus(folder: Path, tmp_path: Path, tokenizers: tuple[Tokenizer, Tokenizer]):
    write_corpus(tmp_path / "other", PAIRS[100:], *tokenizers, FilterConfig(), shard=SHARD)
    shutil.copy(tmp_path / "other" / "00001" / "source.tokens.npy", folder / "00001")
    with pytest.raises(FolderError, match=r"00001/source\.lengths\.npy counts .* do not belong together"):
        Corpus.open(folder)


def test_pickled_arrays_are_refused(folder: Path):
    np.save(folder / "00000" / "lines.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(FolderError, match=r"lines\.npy: missing or damaged"):
        Corpus.open(folder)


def test_another_format(folder: Path):
    summary = json.loads((folder / "corpus.json").read_text())
    (folder / "corpus.json").write_text(json.dumps(summary | {"format": 99}))
    with pytest.raises(FolderError, match="corpus format 99, expected 2"):
        Corpus.open(folder)


def test_a_shard_that_goes_bad_while_others_are_read(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "OPEN_SHARDS", 1)
    corpus = Corpus.open(folder)
    corpus.example(0)
    (folder / "00001" / "target.tokens.npy").unlink()
    with pytest.raises(FolderError, match=r"00001/target\.tokens\.npy: missing or damaged \(No such file"):
        corpus.example(SHARD)
    (folder / "00002" / "target.lengths.npy").write_bytes(b"")
    with pytest.raises(FolderError, match=r"00002/target\.lengths\.npy"):
        corpus.lengths[2]


def test_lengths_take_one_byte_where_they_fit(tmp_path: Path):
    for longest, dtype in ((255, np.uint8), (256, np.uint16), (1 << 16, np.uint32)):
        with ShardWriter(tmp_path / str(longest), (100, 100)) as writer:
            ids = np.zeros(longest + 1, dtype=np.uint32)
            writer.add([1, 2], [ids, ids], [np.array([1, longest])] * 2)
        assert np.load(tmp_path / str(longest) / "source.lengths.npy").dtype == dtype
        shard = Shard.open(tmp_path / str(longest), 2)
        assert [len(shard.target.row(place)) for place in (0, 1)] == [1, longest]
        write_summary(tmp_path, 2, 2, {"source": 0, "target": 0})
        (tmp_path / str(longest)).rename(tmp_path / "00000")
        assert Corpus.open(tmp_path).lengths[0].source.tolist() == [2, longest + 1], "END makes no length overflow"
        shutil.rmtree(tmp_path / "00000")
