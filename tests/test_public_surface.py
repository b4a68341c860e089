"""The names that users may rely on."""

import tomllib
from pathlib import Path

import henkan

PUBLIC = [
    "HenkanError",
    "__version__",
    "load",
    "train",
]


def test_the_public_names_are_these():
    assert sorted(henkan.__all__) == PUBLIC


def test_every_public_name_is_there_and_described():
    for name in set(PUBLIC) - {"__version__"}:
        assert getattr(henkan, name).__doc__, f"henkan.{name} has no docstring"
    assert set(PUBLIC) <= set(dir(henkan))


def test_the_version_is_the_one_of_the_package():
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["version"] == henkan.__version__
