"""User-interface strings in two languages, aligned by key, out of the wheel of Home Assistant.

The wheel has a folder of translations for each of about 800 components: ``*/translations/de.json`` holds the German
texts under the same nested keys as ``en.json`` beside it. The wheel is read as a zip; none of its code is run.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from henkan.data.archive import Archive
from henkan.data.example import Pair
from henkan.data.split import core
from henkan.errors import DataError, InputError

# "translations/de.json", and for some components "translations/sensor.de.json"
_FILE = re.compile(r"(?P<stem>.+/translations/(?:[a-z0-9_]+\.)?)(?P<language>[a-z]{2,3}(?:-[A-Za-z0-9]+)*)\.json")
_SOURCE_LANGUAGE = "en"
_FEWEST_FILES = 200  # a language with fewer files has under 2,000 strings: too few to learn from
_DEEPEST = 20


@dataclass(frozen=True)
class Strings:
    """What the wheel holds for a language: unique pairs (``line`` counts them), and why others were dropped."""

    language: str  # the code as the wheel writes it
    pairs: list[Pair]
    found: int  # English strings, repetitions included
    dropped: dict[str, int]


def languages(wheel: Path) -> dict[str, int]:
    """The languages, other than kinds of English, that the wheel has enough of, with the number of files of each."""
    with Archive(wheel) as archive:
        return _languages(archive)


def read_strings(wheel: Path, language: str) -> Strings:
    """All English strings of ``wheel`` with their translations, whitespace folded to single spaces.

    A string is dropped if it has no translation, is empty on either side, refers to another key (``[%key:...%]``), or
    has no words once placeholders are gone (``{name}``, ``40%``). A pair that comes again is counted once. Where a
    source has several translations, the most frequent one comes first.

    Args:
        wheel: the downloaded ``homeassistant`` wheel.
        language: a code such as ``de`` or ``pt-BR``; upper and lower case are the same.

    Raises:
        InputError: the wheel has no such language; the message lists those it has.
        DataError: the wheel is damaged or holds other things than expected.
    """
    with Archive(wheel) as archive:
        code = _known_language(archive, language)
        counts: Counter[tuple[str, str]] = Counter()
        dropped = {"not translated": 0, "empty": 0, "reference to another key": 0, "no words": 0, "repeated": 0}
        found = 0
        for source, target in _aligned(archive, code):
            found += 1
            if target is None:
                dropped["not translated"] += 1
            elif not source or not target:
                dropped["empty"] += 1
            elif "[%key:" in source or "[%key:" in target:
                dropped["reference to another key"] += 1
            elif not any(character.isalpha() for character in core(source)):
                dropped["no words"] += 1
            else:
                counts[source, target] += 1
    dropped["repeated"] = counts.total() - len(counts)
    if not counts:
        raise DataError(f"{wheel}: no pair of strings in en and {code}; expected the wheel of homeassistant")
    targets: dict[str, list[str]] = defaultdict(list)
    for source, target in sorted(counts, key=lambda pair: -counts[pair]):
        targets[source].append(target)
    in_order = {source: None for source, _ in counts}
    unique = [(source, target) for source in in_order for target in targets[source]]
    return Strings(code, [Pair(*sides, line) for line, sides in enumerate(unique, 1)], found, dropped)


def _languages(archive: Archive) -> dict[str, int]:
    matches = (_FILE.fullmatch(name) for name in archive.names)
    counts = Counter(match["language"] for match in matches if match)
    return {
        code: counts[code]
        for code in sorted(counts)
        if counts[code] >= _FEWEST_FILES and code.partition("-")[0] != _SOURCE_LANGUAGE
    }


def _known_language(archive: Archive, language: str) -> str:
    available = _languages(archive)
    for code in available:
        if code.casefold() == language.casefold():
            return code
    if not available:
        raise DataError(f"{archive.path}: no translations in it; expected the wheel of homeassistant")
    raise InputError(f"language {language!r}: not among those of the corpus; choose one of {', '.join(available)}")


def _aligned(archive: Archive, language: str) -> Iterator[tuple[str, str | None]]:
    """English strings with their translation, or None where there is none, in the order of file names and keys."""
    for name in sorted(archive.names):
        match = _FILE.fullmatch(name)
        if not match or match["language"] != _SOURCE_LANGUAGE:
            continue
        other = f"{match['stem']}{language}.json"
        translations = _strings(archive, other) if other in archive.names else {}
        for place, source in _strings(archive, name).items():
            target = translations.get(place)
            yield " ".join(source.split()), None if target is None else " ".join(target.split())


def _strings(archive: Archive, name: str) -> dict[tuple[str, ...], str]:
    """The strings of a JSON file by their path of keys; numbers, lists and nulls are not strings."""
    try:
        content = json.loads(archive.read_text(name))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{archive.path}: member {name} is not JSON ({error}); fetch it again") from None
    return dict(_leaves(content, (), f"{archive.path}: member {name}"))


def _leaves(content: Any, path: tuple[str, ...], place: str) -> Iterator[tuple[tuple[str, ...], str]]:
    if len(path) > _DEEPEST:
        raise DataError(f"{place} is nested more than {_DEEPEST} deep; refused")
    if isinstance(content, str):
        yield path, content
    elif isinstance(content, dict):
        for name, inner in content.items():
            yield from _leaves(inner, (*path, name), place)
