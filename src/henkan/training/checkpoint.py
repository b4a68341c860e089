"""Checkpoints: a folder of safetensors files and a state.json that vouches for them.

    checkpoints/step-00001234/
        masters.safetensors     float32 parameters by name
        optimiser.safetensors   moments by parameter name
        ema.safetensors         where a moving average is kept
        buffers.safetensors     where the module has persistent buffers
        state.json              format, place in the run, size and SHA-256 of each file, checksum of itself

A folder is written beside its final place, flushed to the disk and renamed, so it is there whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from henkan.errors import FolderError, StorageError

FORMAT = 1
"""Raised when an older Henkan could not read the folder."""

STATE_LIMIT = 16 * 2**20
"""A state.json of more bytes than this is not ours."""

Tensors = Mapping[str, Tensor]


class NewerFormat(FolderError):
    """A later version of Henkan wrote this checkpoint: not damage, so no older one is taken instead."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose state.json is intact; its tensors are checked when they are read."""

    path: Path
    facts: dict[str, Any]

    @property
    def update(self) -> int:
        """How many updates were done when it was written."""
        return int(self.facts["update"])

    @property
    def scheduled(self) -> bool:
        """Written at an update that the options name, so an unbroken run has it too; only these are averaged."""
        return bool(self.facts["scheduled"])

    def has(self, name: str) -> bool:
        """Is there a file ``name``.safetensors?"""
        return f"{name}.safetensors" in self.facts["files"]

    def check(self, name: str) -> Path:
        """The path of ``name``.safetensors; FolderError if its size or its SHA-256 is not the recorded one."""
        path = self.path / f"{name}.safetensors"
        wanted = self.facts["files"].get(path.name)
        if wanted is None:
            raise FolderError(f"{self.path} has no {path.name}")
        try:
            size = path.stat().st_size
            if size != wanted["size"]:
                raise FolderError(f"{path}: {size} bytes, but {wanted['size']} were written: the file is damaged")
            if _digest(path) != wanted["sha256"]:
                raise FolderError(f"{path}: its SHA-256 is not the recorded one: the file is damaged")
        except OSError as error:
            raise FolderError(f"{path}: cannot be read ({error.strerror}): the checkpoint is damaged") from error
        return path

    def tensors(self, name: str) -> dict[str, Tensor]:
        """Everything in ``name``.safetensors, by name; FolderError if it is damaged."""
        path = self.check(name)
        try:
            mapped = safetensors.torch.load_file(path)
            return {name: tensor.clone() for name, tensor in mapped.items()}  # the file may go or change later
        except (SafetensorError, OSError) as error:
            raise FolderError(f"{path}: not a safetensors file ({error})") from error

    def weights(self) -> dict[str, Tensor]:
        """The weights to judge and to keep: the moving average where there is one, else the masters."""
        return self.tensors("ema" if self.has("ema") else "masters")


class Checkpoints:
    """The checkpoints of one run."""

    def __init__(self, run: Path) -> None:
        self.folder = run / "checkpoints"

    def path(self, update: int) -> Path:
        """Where the checkpoint of an update is or would be."""
        return self.folder / f"step-{update:08d}"

    def updates(self) -> list[int]:
        """The updates of which there is a checkpoint, damaged or not, in order."""
        if not self.folder.is_dir():
            return []
        found = (re.fullmatch(r"step-(\d{8,})", path.name) for path in self.folder.iterdir())
        return sorted(int(match[1]) for match in found if match)

    def open(self, update: int) -> Checkpoint:
        """The checkpoint of an update; FolderError if its state.json is missing, damaged or of a newer format."""
        return open_checkpoint(self.path(update))

    def newest(self, say: Callable[[str], None]) -> Checkpoint | None:
        """The newest intact checkpoint, or None if there is none at all; ``say`` hears about damaged ones.

        Raises:
            NewerFormat: a later version of Henkan wrote it.
            FolderError: there are checkpoints, but all are damaged.
        """
        damage: list[FolderError] = []
        for update in reversed(self.updates()):
            try:
                checkpoint = self.open(update)
                for name in checkpoint.facts["files"]:
                    checkpoint.check(Path(name).stem)
            except NewerFormat:
                raise
            except FolderError as error:
                damage.append(error)
                continue
            for found in damage:
                say(f"{found}; going on from {checkpoint.path.name} instead")
            return checkpoint
        if damage:
            raise FolderError(f"{damage[0]}; no older checkpoint is intact: start again in another folder")
        return None

    def write(self, update: int, files: Mapping[str, Tensors], facts: Mapping[str, Any], scheduled: bool) -> Path:
        """Write a checkpoint, replacing one of the same update.

        Raises:
            StorageError: the disk is full or cannot be written; nothing of this checkpoint is left.
        """
        final = self.path(update)
        partial = self.folder / f".partial-{final.name}"
        with storage(final):
            _remove(partial)
            partial.mkdir(parents=True)
            try:
                records = {f"{name}.safetensors": _save(partial / f"{name}.safetensors", files[name]) for name in files}
                state = {"format": FORMAT, "update": update, "scheduled": scheduled, **facts, "files": records}
                _write_durably(partial / "state.json", json.dumps({**state, "checksum": _checksum(state)}, indent=1))
                _flush_folder(partial)
                if final.exists():
                    self.discard(update)
                os.replace(partial, final)
                _flush_folder(self.folder)
            finally:
                _remove(partial)
        return final

    def discard(self, update: int) -> None:
        """Remove a checkpoint, so that a kill half-way through leaves nothing that looks like one."""
        doomed = self.folder / f".removed-step-{update:08d}"
        with storage(doomed):
            _remove(doomed)
            os.replace(self.path(update), doomed)
            _remove(doomed)

    def tidy(self, newest: int) -> None:
        """Before a run goes on from ``newest``: remove later, damaged checkpoints and what a kill left half-done."""
        for update in self.updates():
            if update > newest:
                self.discard(update)
        for path in self.folder.glob(".*-step-*"):
            _remove(path)

    def scheduled(self, count: int) -> list[Checkpoint]:
        """The last ``count`` scheduled checkpoints whose state.json is intact, oldest first."""
        found: list[Checkpoint] = []
        for update in reversed(self.updates() if count else []):
            with suppress(FolderError):  # an old one that went bad must not end a run
                checkpoint = self.open(update)
                if checkpoint.scheduled:
                    found.insert(0, checkpoint)
            if len(found) == count:
                break
        return found

    def prune(self, keep: int, average: int, best: int | None) -> None:
        """Remove all but the last ``keep``, the last ``average`` scheduled ones, and the best."""
        kept = {*self.updates()[-keep:], *(checkpoint.update for checkpoint in self.scheduled(average)), best}
        for update in self.updates():
            if update not in kept:
                self.discard(update)


def open_checkpoint(path: Path) -> Checkpoint:
    """Read and check state.json; FolderError if it is missing or damaged, NewerFormat if it is not for us."""
    file = path / "state.json"
    try:
        if file.stat().st_size > STATE_LIMIT:
            raise FolderError(f"{file}: over {STATE_LIMIT} bytes: not a state that Henkan wrote")
        state = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise FolderError(f"{file}: cannot be read ({error.strerror}): the checkpoint is damaged") from error
    except (ValueError, RecursionError) as error:
        raise FolderError(f"{file}: not JSON ({error}): the checkpoint is damaged") from error
    if not isinstance(state, dict):
        raise FolderError(f"{file}: not a JSON object: the checkpoint is damaged")
    if isinstance(state.get("format"), int) and state["format"] > FORMAT:
        raise NewerFormat(f"{file}: format {state['format']}, this Henkan reads up to {FORMAT}: install a newer Henkan")
    if state.pop("checksum", None) != _checksum(state):
        raise FolderError(f"{file}: its checksum is not the recorded one: the checkpoint is damaged")
    return Checkpoint(path, state)


def average(checkpoints: Sequence[Checkpoint]) -> dict[str, Tensor]:
    """The mean of the masters of several checkpoints, by name, summed in float64."""
    sums: dict[str, Tensor] = {}
    for checkpoint in checkpoints:
        for name, tensor in checkpoint.tensors("masters").items():
            sums[name] = sums[name] + tensor if name in sums else tensor.double()
    return {name: (tensor / len(checkpoints)).float() for name, tensor in sums.items()}


def write_json(path: Path, value: Any) -> None:
    """Replace a small JSON file as a whole; StorageError if that is not possible."""
    partial = path.with_name(f".partial-{path.name}")
    with storage(path):
        try:
            _write_durably(partial, json.dumps(value, indent=1) + "\n")
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)


@contextmanager
def storage(path: Path) -> Generator[None]:
    """Turn what goes wrong while writing into StorageError that names ``path``."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise StorageError(f"{path}: cannot be written ({reason}); what was there before is intact") from error


def _save(path: Path, tensors: Tensors) -> dict[str, Any]:
    """Write tensors, flush them to the disk, and return size and SHA-256."""
    safetensors.torch.save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, path)
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
    return {"size": path.stat().st_size, "sha256": _digest(path)}


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _checksum(state: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()


def _write_durably(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())


def _flush_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove(path: Path) -> None:
    if path.exists():
        shutil.rmtree(path)
