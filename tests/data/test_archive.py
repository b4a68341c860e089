"""Archives from outside: what is no zip, damaged, too large or leads elsewhere is refused in words."""

import zipfile
from pathlib import Path

import pytest

from henkan.data import archive
from henkan.data.archive import Archive
from henkan.errors import DataError


def _zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def test_members_are_read(tmp_path: Path) -> None:
    with Archive(_zip(tmp_path / "a.whl", {"a/b.txt": "für".encode(), "c": b"\xff"})) as opened:
        assert opened.names == {"a/b.txt", "c"}
        assert opened.read_text("a/b.txt") == "für"
        assert opened.read("c") == b"\xff"
        with pytest.raises(DataError, match=r"a\.whl: member c is not UTF-8 \(byte 0\)"):
            opened.read_text("c")
        with pytest.raises(DataError, match="no member d"):
            opened.read("d")


@pytest.mark.parametrize("name", ["../a", "a/../../b", "/etc/passwd", "a\\..\\b", "a\nb"])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    path = _zip(tmp_path / "a.whl", {name: b""})
    with pytest.raises(DataError, match="leads outside"):
        Archive(path)


def test_what_is_no_zip_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        Archive(tmp_path / "missing.whl")
    whole = _zip(tmp_path / "a.whl", {"a": bytes(range(256)) * 40}).read_bytes()
    for cut in (0, 10, len(whole) // 2, len(whole) - 5):
        (tmp_path / "cut.whl").write_bytes(whole[:cut])
        with pytest.raises(DataError, match="not a readable zip"):
            Archive(tmp_path / "cut.whl")


def test_a_flipped_bit_is_noticed(tmp_path: Path) -> None:
    path = _zip(tmp_path / "a.whl", {"a": b"text " * 1000})
    content = bytearray(path.read_bytes())
    content[45] ^= 0x10
    path.write_bytes(content)
    with Archive(path) as opened, pytest.raises(DataError, match="member a cannot be read"):
        opened.read("a")


def test_counts_and_sizes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _zip(tmp_path / "a.whl", {"a": b"\0" * 5000, "b": b""})
    monkeypatch.setattr(archive, "_LARGEST_MEMBER", 4999)
    with Archive(path) as opened, pytest.raises(DataError, match="member a has over"):
        opened.read("a")
    monkeypatch.setattr(archive, "_MOST_MEMBERS", 1)
    with pytest.raises(DataError, match="2 members: expected at most 1"):
        Archive(path)
