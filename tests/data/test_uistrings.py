"""User-interface strings out of a wheel made here."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from henkan.data import uistrings
from henkan.data.uistrings import languages, read_strings
from henkan.errors import DataError, InputError


@pytest.fixture(autouse=True)
def _one_file_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uistrings, "_FEWEST_FILES", 1)


def _wheel(path: Path, files: dict[str, Any]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content if isinstance(content, str) else json.dumps(content))
    return path


def _component(name: str, **translations: Any) -> dict[str, Any]:
    return {
        f"homeassistant/components/{name}/translations/{code.replace('_', '-')}.json": content
        for code, content in translations.items()
    }


def test_strings_are_aligned_by_key_and_filtered_with_counts(tmp_path: Path) -> None:
    files = _component(
        "hue",
        en={
            "title": "Philips Hue",
            "config": {"abort": {"a": "Already\n\nconfigured ", "b": "Host", "c": "{name}", "d": "40°", "e": ""}},
            "only_english": "Untranslated",
            "reference": "[%key:common::host%]",
            "number": 3,
            "list": ["x"],
        },
        de={
            "title": "Philips Hue",
            "config": {"abort": {"a": "Schon  eingerichtet", "b": "Host", "c": "{name}", "d": "40°", "e": "x"}},
            "only_german": "Nur deutsch",
            "reference": "[%key:common::host%]",
            "number": 3,
        },
    )
    files |= _component(
        "zha", en={"a": "Already configured", "b": "Host"}, de={"a": "Bereits eingerichtet", "b": "Host"}
    )
    files |= _component("zwave", en={"a": "Already configured"}, de={"a": "Bereits eingerichtet"})
    files |= {
        "homeassistant/components/hue/translations/sensor.en.json": {"state": {"moon": "Full moon"}},
        "homeassistant/components/hue/translations/sensor.de.json": {"state": {"moon": "Vollmond"}},
        "homeassistant/components/hue/__init__.py": "raise SystemExit('imported')",
    }
    strings = read_strings(_wheel(tmp_path / "a.whl", files), "DE")
    assert strings.language == "de"
    assert [(pair.source, pair.target) for pair in strings.pairs] == [
        ("Philips Hue", "Philips Hue"),
        ("Already configured", "Bereits eingerichtet"),  # twice, so before the one that came first
        ("Already configured", "Schon eingerichtet"),
        ("Host", "Host"),
        ("Full moon", "Vollmond"),
    ]
    assert [pair.line for pair in strings.pairs] == [1, 2, 3, 4, 5]
    assert strings.dropped == {
        "not translated": 1,
        "empty": 1,
        "reference to another key": 1,
        "no words": 2,
        "repeated": 2,
    }
    assert strings.found == len(strings.pairs) + sum(strings.dropped.values()), "every string is kept or counted"


def test_languages_are_counted_and_an_unknown_one_lists_them(tmp_path: Path) -> None:
    files = _component("a", en={"x": "One"}, en_GB={"x": "One"}, ja={"x": "一"}, pt_BR={"x": "Um"})
    files |= _component("b", en={"x": "Two"}, ja={"x": "二"}) | {"other/de.json": {}, "a/translations/README.md": ""}
    wheel = _wheel(tmp_path / "a.whl", files)
    assert languages(wheel) == {"ja": 2, "pt-BR": 1}
    assert read_strings(wheel, "pt-br").language == "pt-BR"
    for wrong in ("de", "en", "../../ja", ""):
        with pytest.raises(InputError, match=r"choose one of ja, pt-BR"):
            read_strings(wheel, wrong)


def test_rare_languages_are_not_offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uistrings, "_FEWEST_FILES", 2)
    files = _component("a", en={"x": "One"}, ja={"x": "一"}, de={"x": "Eins"})
    files |= _component("b", en={"x": "Two"}, ja={"x": "二"})
    assert languages(_wheel(tmp_path / "a.whl", files)) == {"ja": 2}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "no translations in it"),
        (_component("a", en="{", de={}), "is not JSON"),
        (_component("a", en="[" * 100_000, de={}), "is not JSON"),
        (_component("a", en='{"a":' * 50 + '"b"' + "}" * 50, de={}), "nested more than 20 deep"),
        (_component("a", en={"a": "b"}, de={"c": "d"}), "no pair of strings in en and de"),
    ],
)
def test_another_wheel_is_refused(tmp_path: Path, files: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_strings(_wheel(tmp_path / "a.whl", files), "de")
