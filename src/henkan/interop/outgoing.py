"""Whether an exported model can go where it is to go, and whether what writes it is installed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from henkan.errors import ConfigError, FolderError


def check_free(place: Path) -> None:
    """FolderError if something is at ``place`` already that is not an empty folder."""
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise FolderError(f"{place}: there is something already; name a folder that is empty or not there yet")


def check_installed(extra: str, *modules: str) -> None:
    """ConfigError if a module of one of the package's extras is missing."""
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise ConfigError(f"this export needs {', '.join(missing)}; install with: pip install 'henkan[{extra}]'")
