"""Readers: what they give, and one clear error with file and line for everything that can be wrong."""

import gzip
import io
import os
import threading
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from henkan.data import readers
from henkan.data.example import Pair
from henkan.data.readers import PairsFile, ParallelText, read_lines, read_references, read_stream
from henkan.errors import DataError


def write(path: Path, content: str | bytes) -> Path:
    content = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def complaint(path: Path) -> str:
    """What reading all lines raises."""
    with pytest.raises(DataError) as caught:
        list(read_lines(path))
    assert str(path) in str(caught.value), "the error names the file"
    return str(caught.value)


@pytest.mark.parametrize("name", ["text.en", "text.en.gz"])
@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("a\nb\n", ["a", "b"]),
        ("a\nb", ["a", "b"]),
        ("a\r\nb\r\n", ["a", "b"]),
        ("\ufeffa\n\ufeffb\n", ["a", "\ufeffb"]),  # only the mark at the start of the file
        ("\n", [""]),
        ("\n\na\n\n", ["", "", "a", ""]),
        ("a\u2028b\x85c\x0bd\x0ce\rf\n", ["a\u2028b\x85c\x0bd\x0ce\rf"]),  # only LF ends a line
        ("  a  b \t\n", ["  a  b \t"]),
        ("日本語\ne\u0301\n", ["日本語", "e\u0301"]),  # nothing is normalised here
    ],
)
def test_lines(tmp_path: Path, name: str, content: str, expected: list[str]):
    assert list(read_lines(write(tmp_path / name, content))) == expected


@given(st.text(st.sampled_from("ab é日\n\r")), st.integers(1, 7))
def test_blocks_do_not_matter(text: str, size: int):
    content = text.encode()
    blocks = [content[start : start + size] for start in range(0, len(content), size)]
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    expected = [line.removesuffix("\r") for line in lines]
    if expected:
        assert list(readers._lines(iter(blocks), "text")) == expected


def test_gzip_is_known_by_its_content(tmp_path: Path):
    packed = tmp_path / "packed.txt"
    packed.write_bytes(gzip.compress(b"a\nb\n"))
    assert list(read_lines(packed)) == ["a", "b"]
    plain = tmp_path / "plain.gz"
    plain.write_bytes(b"a\nb\n")
    assert "is not gzip" in complaint(plain)


def test_invalid_utf8(tmp_path: Path):
    path = write(tmp_path / "train.en", b"fine\n\xc3\xa9 fine\nab\xffc\n")
    assert f"line 3 of {path}: not UTF-8 (byte 0xff at column 3)" in complaint(path)
    path = write(tmp_path / "end.en", b"fine\n" * 300_000 + b"\xe6\x97")
    assert "line 300001 of" in complaint(path)


def test_other_encodings(tmp_path: Path):
    assert "is UTF-16" in complaint(write(tmp_path / "a", "hello\n".encode("utf-16")))
    assert "line 1 of" in complaint(write(tmp_path / "b", "hello\n".encode("utf-16-le")))
    assert "NUL" in complaint(write(tmp_path / "c", b"fine\nb\x00c\n"))


def test_missing_empty_and_no_files(tmp_path: Path):
    assert "no such file" in complaint(tmp_path / "missing.en")
    assert "is empty" in complaint(write(tmp_path / "empty.en", ""))
    assert "is empty" in complaint(write(tmp_path / "empty.en.gz", ""))
    (tmp_path / "folder").mkdir()
    assert "cannot be read" in complaint(tmp_path / "folder")
    with pytest.raises(DataError, match="is a folder; expected a file"):
        PairsFile(tmp_path / "folder")
    with pytest.raises(DataError, match="no such file"):
        ParallelText(tmp_path / "empty.en", tmp_path / "missing.de")


def test_a_pipe_is_refused_where_files_are_read_twice(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.tsv")
    with pytest.raises(DataError, match="can be read only once"):
        PairsFile(tmp_path / "pipe.tsv")


def test_over_long_lines(tmp_path: Path):
    longest = "a" * readers.LONGEST_LINE
    assert list(read_lines(write(tmp_path / "fits", f"b\n{longest}\nc\n"))) == ["b", longest, "c"]
    assert "line 2 of" in complaint(write(tmp_path / "long", f"b\n{longest}a\nc\n"))
    assert "line 2 of" in complaint(write(tmp_path / "last", f"b\n{longest}a"))
    endless = complaint(write(tmp_path / "endless", b"b\n" + b"a" * (6 * readers.LONGEST_LINE)))
    assert "line 2 of" in endless
    assert "over 1,048,576 characters" in endless


def test_damaged_gzip(tmp_path: Path):
    whole = gzip.compress(b"".join(b"line %d\n" % number for number in range(5000)))
    for name, content in {
        "cut.gz": whole[:-20],
        "head.gz": whole[:5],
        "flipped.gz": whole[:2000] + bytes([whole[2000] ^ 0xFF]) + whole[2001:],
        "sum.gz": whole[:-8] + b"\0\0\0\0" + whole[-4:],
        "tail.gz": whole + b"garbage",
    }.items():
        (tmp_path / name).write_bytes(content)
        assert "damaged gzip" in complaint(tmp_path / name), name


def test_a_gzip_bomb_stops_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(readers, "_FREE_EXPANSION", 1 << 20)
    line = "a" * 1023 + "\n"
    lines = read_lines(write(tmp_path / "bomb.gz", line * (16 << 10)))
    for _ in range(1 << 10):
        next(lines)
    with pytest.raises(DataError, match="unpacks to over 250 times its size"):
        list(islice(lines, 8 << 10))


def test_a_small_repetitive_file_is_no_bomb(tmp_path: Path):
    assert len(list(read_lines(write(tmp_path / "same.gz", "the same line\n" * 100_000)))) == 100_000


def test_a_pipe_gives_each_line_as_it_comes():
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as stream, os.fdopen(writing, "wb", buffering=0) as pipe:
        lines = read_stream(stream, "standard input")
        got: list[str] = []
        pipe.write(b"one\ntw")
        thread = threading.Thread(target=lambda: got.append(next(lines)))
        thread.start()
        thread.join(10)
        assert got == ["one"], "the first line is there although the pipe is open"
        pipe.write(b"o\nthree")
        pipe.close()
        assert list(lines) == ["two", "three"]


def test_a_stream_names_itself():
    with pytest.raises(DataError, match="standard input is gzip"):
        list(read_stream(io.BufferedReader(io.BytesIO(gzip.compress(b"a\n"))), "standard input"))
    with pytest.raises(DataError, match="line 2 of standard input: not UTF-8"):
        list(read_stream(io.BufferedReader(io.BytesIO(b"a\n\xff\n")), "standard input"))


def test_parallel_text_can_be_read_again(tmp_path: Path):
    pairs = ParallelText(write(tmp_path / "a.en", "one\ntwo\n"), write(tmp_path / "a.de.gz", "eins\r\nzwei"))
    expected = [Pair("one", "eins", 1), Pair("two", "zwei", 2)]
    assert list(pairs) == expected
    assert list(pairs) == expected, "iterating twice reads twice"
    assert "a.en" in pairs.name
    assert "a.de.gz" in pairs.name


@pytest.mark.parametrize(("sources", "targets"), [(5, 3), (3, 5), (1, 4000)])
def test_unequal_line_counts(tmp_path: Path, sources: int, targets: int):
    pairs = ParallelText(write(tmp_path / "a.en", "x\n" * sources), write(tmp_path / "a.de", "y\n" * targets))
    with pytest.raises(DataError, match=rf"a\.en has {sources:,} lines and .*a\.de has {targets:,};"):
        list(pairs)


def test_an_empty_side(tmp_path: Path):
    pairs = ParallelText(write(tmp_path / "a.en", "x\n"), write(tmp_path / "a.de", ""))
    with pytest.raises(DataError, match=r"a\.de is empty"):
        list(pairs)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_pairs_files(tmp_path: Path, suffix: str):
    tsv = PairsFile(write(tmp_path / f"a.tsv{suffix}", 'one\teins\n"two"\t\n'))
    assert list(tsv) == list(tsv) == [Pair("one", "eins", 1), Pair('"two"', "", 2)]
    content = '{"source": "one", "target": "eins"}\n{"target": "zw\\nei", "id": 7, "source": "\\u0074wo"}\n'
    jsonl = PairsFile(write(tmp_path / f"a.jsonl{suffix}", content))
    assert list(jsonl) == list(jsonl) == [Pair("one", "eins", 1), Pair("two", "zw\nei", 2)]


@pytest.mark.parametrize("name", ["a.csv", "a", "a.gz", "a.tsv.zip"])
def test_an_unknown_kind_of_file(tmp_path: Path, name: str):
    with pytest.raises(DataError, match=r"expected \.tsv or \.jsonl"):
        PairsFile(write(tmp_path / name, "x\ty\n"))


@pytest.mark.parametrize(
    ("name", "bad", "expected"),
    [
        ("a.tsv", "only one", "expected source and target with a tab between them, got 'only one'"),
        ("a.tsv", "", "with a tab between them, got ''"),
        ("a.tsv", "a\tb\tc", "expected 2 columns, source and target, got 3"),
        ("a.jsonl", '{"source": "x"', "not JSON"),
        ("a.jsonl", "", "not JSON"),
        ("a.jsonl", "[" * 200_000, "not JSON"),
        ("a.jsonl", "9" * 10_000, "not JSON"),
        ("a.jsonl", '["x", "y"]', "expected {"),
        ("a.jsonl", '{"source": "x", "tgt": "y"}', "the key 'target' is missing; the keys are 'source, tgt'"),
        ("a.jsonl", '{"source": 3, "target": "y"}', "'source' is int; expected text"),
        ("a.jsonl", '{"source": "x", "target": null}', "'target' is NoneType; expected text"),
        ("a.jsonl", '{"source": "x\\ud800", "target": "y"}', "'source' holds half of a surrogate pair"),
    ],
)
def test_bad_lines_name_file_and_line(tmp_path: Path, name: str, bad: str, expected: str):
    good = "x\ty" if name.endswith("tsv") else '{"source": "x", "target": "y"}'
    path = write(tmp_path / name, f"{good}\n{bad}\n{good}\n")
    with pytest.raises(DataError) as caught:
        list(PairsFile(path))
    assert str(caught.value).startswith(f"line 2 of {path}: ")
    assert expected in str(caught.value)
    assert len(str(caught.value)) < 400, "a message shows no more of a line than helps"


def test_references_are_joined(tmp_path: Path):
    path = write(tmp_path / "test.tsv", "ABS\tAE B Z\tEY B IY EH S\nCAT\tK AE T\nABS\tAE B S\tAE B Z\n")
    assert read_references(path) == [("ABS", ["AE B Z", "EY B IY EH S", "AE B S"]), ("CAT", ["K AE T"])]
    lines = '{"source": "x", "target": "y"}\n{"source": "x", "target": "z"}\n'
    assert read_references(write(tmp_path / "test.jsonl.gz", lines)) == [("x", ["y", "z"])]


@pytest.mark.parametrize(("bad", "expected"), [("alone", "with a tab"), ("\ty", "the source is empty")])
def test_bad_references(tmp_path: Path, bad: str, expected: str):
    path = write(tmp_path / "test.tsv", f"x\ty\n{bad}\n")
    with pytest.raises(DataError, match=rf"line 2 of .*test\.tsv: .*{expected}"):
        read_references(path)


def test_multi30k_reads_whole(henkan_data: Path):
    folder = henkan_data / "mt-multi30k-en-de"
    pairs = list(ParallelText(folder / "train.en.gz", folder / "train.de.gz"))
    assert len(pairs) == 29_000
    assert pairs[0].source.startswith("Two young, White males")
