"""A model is a folder, and nothing in it can execute code.

    model.safetensors   weights, float32
    config.yaml         the resolved settings of the run
    tokenizer.json      or tokenizer.source.json and tokenizer.target.json
    metrics.json        scores with signatures
    selftest.json       inputs, greedy outputs and float32 scores that `henkan verify` compares
    README.md           the model card
    manifest.json       format version; size and SHA-256 of every other file, checked on load

The folder is written beside its place and moved there when it is complete.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from henkan.errors import FolderError, StorageError

FORMAT = 1
"""Raised when a folder of this version can no longer be read by the version before."""

LARGEST_JSON = 64 << 20


@contextmanager
def new_folder(place: Path) -> Iterator[Path]:
    """A folder beside ``place``, which is not there or empty, to write into; it gets that name if nothing is raised.

    Raises:
        StorageError: it cannot be written; nothing of it is left.
    """
    building = place.with_name(f"{place.name}.partial")
    try:
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir(parents=True)
        yield building
        if place.exists():
            place.rmdir()
        building.rename(place)
    except OSError as error:
        why = error.strerror or error
        raise StorageError(f"{place}: cannot be written ({why}); free some space or check the rights") from error
    finally:
        shutil.rmtree(building, ignore_errors=True)


def write_folder(place: Path, fill: Callable[[Path], None]) -> None:
    """Make the model folder ``place``, or replace it: ``fill`` writes the files, the manifest is added.

    Raises:
        StorageError: it could not be written; what stood there before still stands.
    """
    building = place.with_name(place.name + ".partial")
    try:
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir(parents=True)
        fill(building)
        write_manifest(building)
        old = place.with_name(place.name + ".old")
        shutil.rmtree(old, ignore_errors=True)
        if place.exists():
            place.rename(old)
        building.rename(place)
        shutil.rmtree(old, ignore_errors=True)
    except (OSError, SafetensorError) as error:
        raise StorageError(
            f"{place}: the model could not be written: {error}; free some space and try again"
        ) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)


def write_manifest(folder: Path) -> None:
    """List every file of the folder, and make sure that all of it is on the disk."""
    files = {}
    for path in sorted(folder.iterdir()):
        if path.name != "manifest.json":
            files[path.name] = {"size": path.stat().st_size, "sha256": sha256(path)}
            _flush(path)
    write_texts({folder / "manifest.json": _manifest_text({"format": FORMAT, "files": files})})


def _manifest_text(manifest: Mapping[str, Any]) -> str:
    return json.dumps(manifest, indent=1) + "\n"


def replace_file(folder: Path, name: str, text: str) -> None:
    """Change one text file of a finished model folder, and what the manifest says of it."""
    manifest = read_json(folder / "manifest.json")
    content = text.encode()
    manifest["files"][name] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    write_texts({folder / name: text, folder / "manifest.json": _manifest_text(manifest)})


def write_texts(texts: Mapping[Path, str]) -> None:
    """Write small files, all or none of them, and the folders they lie in; earlier ones are replaced.

    Raises:
        StorageError: that is not possible; earlier ones are intact.
    """
    partials = {path: path.with_name(f".{path.name}.partial") for path in texts}
    try:
        for path, partial in partials.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            partial.write_bytes(texts[path].encode())
            _flush(partial)
        for path, partial in partials.items():
            partial.replace(path)
    except OSError as error:
        for partial in partials.values():
            with suppress(OSError):
                partial.unlink()
        raise StorageError(
            f"{', '.join(map(str, texts))}: cannot be written ({error.strerror or error}); "
            "free some space or check the rights"
        ) from error


def check_folder(folder: Path) -> None:
    """FolderError unless this is a model folder of a version that we know, with every file whole."""
    manifest_path = folder / "manifest.json"
    if not folder.is_dir():
        raise FolderError(f"{folder}: no such folder; expected a model folder, as `henkan train` writes it")
    if not manifest_path.is_file():
        raise FolderError(f"{folder}: not a model folder (no manifest.json); expected what `henkan train` writes")
    manifest = read_json(manifest_path)
    version, files = (manifest.get(key) if isinstance(manifest, dict) else None for key in ("format", "files"))
    if not isinstance(version, int) or not isinstance(files, dict):
        raise FolderError(f"{manifest_path}: not a manifest; copy the folder again from where it was whole")
    if version > FORMAT:
        raise FolderError(
            f"{folder}: written by a newer Henkan (format {version}, this one reads up to {FORMAT}); upgrade henkan"
        )
    for name, facts in files.items():
        path = folder / name
        if Path(name).name != name or not isinstance(facts, dict):
            raise FolderError(f"{manifest_path}: {name!r} is not the name of a file in this folder")
        if not path.is_file():
            raise FolderError(f"{path}: missing; copy the folder again from where it was whole")
        size = path.stat().st_size
        if size != facts.get("size"):
            raise FolderError(
                f"{path}: {size} bytes, expected {facts.get('size')}: truncated or changed; copy it again"
            )
        if sha256(path) != facts.get("sha256"):
            raise FolderError(f"{path}: its SHA-256 is not the one in manifest.json: damaged or changed; copy it again")


def save_weights(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Weights by name; tied ones are there once."""
    save_file({name: tensor.detach().contiguous() for name, tensor in weights.items()}, str(path))
    as_others_may_read(path)


def as_others_may_read(path: Path) -> None:
    """Give a file the rights of any new one; the library of weights makes its own for their owner alone."""
    mask = os.umask(0o077)
    os.umask(mask)
    path.chmod(0o666 & ~mask)


def load_weights(path: Path) -> dict[str, Tensor]:
    """FolderError if the file is not whole."""
    try:
        return load_file(str(path))
    except (SafetensorError, OSError) as error:
        raise FolderError(f"{path}: cannot be read as weights: {error}; copy it again") from error


def read_json(path: Path) -> Any:
    """FolderError if the file is missing, too large or not JSON."""
    try:
        if path.stat().st_size > LARGEST_JSON:
            raise FolderError(f"{path}: {path.stat().st_size:,} bytes, expected at most {LARGEST_JSON:,}")
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise FolderError(f"{path}: cannot be read: {error}") from error


def sha256(path: Path) -> str:
    """Of the file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def cache_folder() -> Path:
    """Where what can be fetched or made again is kept: ``$HENKAN_CACHE``, else ``~/.cache/henkan``."""
    if folder := os.environ.get("HENKAN_CACHE"):
        return Path(folder)
    return Path.home() / ".cache" / "henkan"
