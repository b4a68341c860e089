"""Installed fonts that have every character of a picture. matplotlib's own has no Chinese, Japanese or Korean."""

from __future__ import annotations

from collections.abc import Iterable

from matplotlib.font_manager import FontEntry, fontManager, get_font

OWN = "DejaVu Sans"
"""The font that comes with matplotlib."""

PLACEHOLDERS = ("Last Resort", "LastResort")
"""Last Resort fonts claim every character and draw boxes."""


def families_for(texts: Iterable[str]) -> tuple[list[str], str]:
    """Font families to write the texts with, best first, and the characters that no installed font has."""
    wanted = {ord(character) for text in texts for character in text if character.isprintable()}
    families = [OWN]
    missing = wanted - _characters(next(font for font in fontManager.ttflist if font.name == OWN))
    others = {font.name: font for font in fontManager.ttflist if not font.name.strip(".").startswith(PLACEHOLDERS)}
    region = _region(wanted)
    candidates = sorted(others.values(), key=lambda font: (region not in font.name, *_suitability(font)))
    while missing and candidates:
        found = [(len(missing & _characters(font)), -place) for place, font in enumerate(candidates)]
        most, place = max(found)
        if most == 0:
            break
        chosen = candidates.pop(-place)
        families.append(chosen.name)
        missing -= _characters(chosen)
    return families, "".join(sorted(map(chr, missing)))


def _region(characters: set[int]) -> str:
    """Chinese characters are drawn a little differently where they are read: how font names say it."""
    if any(0x3040 <= character < 0x3100 for character in characters):  # kana
        return "JP"
    return "KR" if any(0xAC00 <= character < 0xD7B0 for character in characters) else "SC"


def _suitability(font: FontEntry) -> tuple[bool, bool, str]:
    """Upright, sans serif, then by name: so that the choice does not depend on the order of the disk."""
    return (font.style != "normal" or str(font.weight) not in ("400", "normal"), "Sans" not in font.name, font.name)


def _characters(font: FontEntry) -> set[int]:
    try:
        return set(get_font(font.fname).get_charmap())
    except (OSError, RuntimeError):  # removed since the list was made, or not for us
        return set()
