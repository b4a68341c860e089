"""Lines of pairs by other keys and columns than the usual ones."""

from pathlib import Path

import pytest

from henkan.data.example import Pair
from henkan.data.readers import PairsFile, read_references
from henkan.data.records import FieldsConfig
from henkan.errors import DataError

KEYS = FieldsConfig(source="abstract", target="summaries")
COLUMNS = FieldsConfig(source=2, target=0)


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_lists_of_texts(tmp_path: Path):
    """A source in several sentences is one text; of several right targets the first is learnt, and all are tested."""
    path = write(tmp_path / "a.jsonl", '{"abstract": ["One.", "Two."], "summaries": ["1", "2"], "source": "x"}\n')
    assert list(PairsFile(path, KEYS)) == [Pair("One. Two.", "1", 1)]
    assert read_references(path, KEYS) == [("One. Two.", ["1", "2"])]


def test_lists_under_the_usual_keys(tmp_path: Path):
    path = write(tmp_path / "a.jsonl", '{"source": ["a", "b"], "target": "c"}\n')
    assert list(PairsFile(path)) == [Pair("a b", "c", 1)]


def test_columns(tmp_path: Path):
    path = write(tmp_path / "a.tsv", "short\tname\tlong text\nother\tname\tlong text\n")
    assert list(PairsFile(path, COLUMNS)) == [Pair("long text", "short", 1), Pair("long text", "other", 2)]
    assert read_references(path, COLUMNS) == [("long text", ["short", "other"])]


@pytest.mark.parametrize(
    ("name", "line", "fields", "expected"),
    [
        ("a.tsv", "x\ty", COLUMNS, r"data\.fields\.source is column 2; the line has 2, counted from 0"),
        ("a.tsv", "x\ty", FieldsConfig(source=-1, target=0), r"data\.fields\.source is column -1"),
        ("a.jsonl", '{"abstract": [], "summaries": "y"}', KEYS, "'abstract' is an empty list"),
        ("a.jsonl", '{"abstract": "x", "summaries": ["y", 3]}', KEYS, "'summaries' is int; expected text, or a list"),
        ("a.jsonl", '{"abstract": "x", "target": "y"}', KEYS, "the key 'summaries' is missing"),
    ],
)
def test_bad_lines(tmp_path: Path, name: str, line: str, fields: FieldsConfig, expected: str):
    path = write(tmp_path / name, f"{line}\n")
    for read in (lambda: list(PairsFile(path, fields)), lambda: read_references(path, fields)):
        with pytest.raises(DataError, match=rf"line 1 of .*{name}: {expected}"):
            read()


@pytest.mark.parametrize(("name", "fields"), [("a.tsv", KEYS), ("a.jsonl", COLUMNS)])
def test_fields_of_another_kind_of_file(tmp_path: Path, name: str, fields: FieldsConfig):
    path = write(tmp_path / name, "x\ty\n")
    assert not fields.suits(path)
    with pytest.raises(DataError, match=r"a field of a \.(tsv is the number of a column|jsonl is a key)"):
        PairsFile(path, fields)
