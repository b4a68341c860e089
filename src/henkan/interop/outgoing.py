"""Where an exported model goes: a folder that is complete and checked, or not there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from henkan.errors import ConfigError, FolderError, StorageError


def check_free(place: Path) -> None:
    """FolderError if something is at ``place`` already that is not an empty folder."""
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise FolderError(f"{place}: there is something already; name a folder that is empty or not there yet")


def check_installed(extra: str, *modules: str) -> None:
    """ConfigError if a module of one of the package's extras is missing."""
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise ConfigError(f"this export needs {', '.join(missing)}; install with: pip install 'henkan[{extra}]'")


@contextmanager
def new_folder(place: Path) -> Iterator[Path]:
    """A folder beside ``place`` to write into; it gets that name if nothing is raised, and is removed otherwise.

    Raises:
        FolderError: ``place`` is taken.
        StorageError: it cannot be written.
    """
    check_free(place)
    building = place.with_name(f"{place.name}.partial")
    try:
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir(parents=True)
        yield building
        if place.exists():
            place.rmdir()
        building.rename(place)
    except OSError as error:
        raise StorageError(f"{place}: cannot be written: {error}; free some space or check the rights") from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
