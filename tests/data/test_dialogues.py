"""Dialogues as pairs of context and reply."""

from pathlib import Path

import pytest

from henkan.data.dialogues import Keys, Turn, read_dialogues, replies
from henkan.data.example import Pair
from henkan.errors import DataError

TALK = [Turn("U", "a table please"), Turn("S", "for how many ?"), Turn("U", "two"), Turn("S", "when ?")]


def test_contexts_have_marks_and_an_end():
    assert list(replies(iter([TALK]), 2)) == [
        Pair("U: a table please", "for how many ?", 1),
        Pair("U: a table please S: for how many ?", "two", 1),
        Pair("S: for how many ? U: two", "when ?", 1),
    ]


def test_replies_of_one_speaker():
    assert [pair.target for pair in replies(iter([TALK, TALK[:2]]), 1, "S")] == [
        "for how many ?",
        "when ?",
        "for how many ?",
    ]
    assert [pair.line for pair in replies(iter([TALK, TALK[:2]]), 1, "S")] == [1, 1, 2]


def test_a_dialogue_begins_without_the_last_one():
    assert next(iter(replies(iter([TALK[:1], TALK]), 3))).source == "U: a table please"


def test_reading(tmp_path: Path):
    path = tmp_path / "talk.jsonl"
    path.write_text('{"turns": [{"s": "U", "u": "hello\\n there"}, {"s": "S", "u": " "}, {"s": "U", "u": "you ?"}]}\n')
    assert list(read_dialogues(path, Keys("turns", "s", "u"))) == [[Turn("U", "hello there"), Turn("U", "you ?")]]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("[1]", "expected a list of turns under 'turns'"),
        ('{"turns": 3}', "expected a list of turns under 'turns'"),
        ('{"turns": [3]}', "texts under 'speaker' and 'text'"),
        ('{"turns": [{"speaker": "U", "text": null}]}', "texts under 'speaker' and 'text'"),
        ("{", "not JSON"),
    ],
)
def test_bad_lines(tmp_path: Path, line: str, expected: str):
    path = tmp_path / "talk.jsonl"
    path.write_text(f'{{"turns": []}}\n{line}\n')
    with pytest.raises(DataError, match=rf"line 2 of .*{expected}"):
        list(read_dialogues(path))
