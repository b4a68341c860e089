"""What sentence-transformers puts beside a checkpoint: how one vector is made of what the encoder says of a text.

modules.json                 what comes one after another; a folder for each part that has settings
1_Pooling/config.json        which positions the vector is made of
sentence_bert_config.json    how much of a text is read
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from henkan.errors import FolderError
from henkan.folder import read_json
from henkan.interop.settings import Settings

Pooling = Literal["mean", "first"]

_POOLINGS: dict[str, Pooling] = {
    "mean_tokens": "mean",
    "mean_sqrt_len_tokens": "mean",  # the same direction
    "cls_token": "first",
}
_KNOWN = ("Transformer", "Pooling", "Normalize")  # ours are always of length 1


@dataclass(frozen=True)
class SentenceVectors:
    """How a vector is made."""

    pooling: Pooling = "mean"
    longest: int | None = None  # tokens of a text, marks included; None: not said


def read_sentence_vectors(folder: Path) -> SentenceVectors:
    """What the files say; the mean over all tokens where there are none.

    Raises:
        FolderError: a file is damaged, or asks for something that no part of ours does.
    """
    place = folder / _pooling_folder(folder) / "config.json"
    pooling = _pooling(_settings(place)) if place.is_file() else "mean"
    place = folder / "sentence_bert_config.json"
    if not place.is_file():
        return SentenceVectors(pooling)
    settings = _settings(place)
    if settings.flag("do_lower_case", False):
        raise settings.refuse("do_lower_case is true; if tokenizer.json makes letters small itself, set it to false")
    longest = None if settings.raw("max_seq_length") is None else settings.whole("max_seq_length")
    return SentenceVectors(pooling, longest)


def _pooling_folder(folder: Path) -> str:
    """Its name, by the list of parts, if there is one."""
    place, usual = folder / "modules.json", "1_Pooling"
    if not place.is_file():
        return usual
    listed = read_json(place)
    if not isinstance(listed, list) or not all(isinstance(part, dict) for part in listed):
        raise FolderError(f"{place}: expected a list of parts; copy it again")
    for part in listed:
        kind, name = str(part.get("type")).rpartition(".")[2], str(part.get("path"))
        if kind not in _KNOWN:
            raise FolderError(f"{place}: a part {kind} makes the vectors, and no part of ours does that")
        if kind == "Pooling":
            usual = name
    if Path(usual).name != usual:
        raise FolderError(f"{place}: path {usual!r}; expected the name of a folder in this one")
    return usual


def _pooling(settings: Settings) -> Pooling:
    chosen = [name for name in settings.names("pooling_mode_") if settings.flag(f"pooling_mode_{name}", False)]
    if len(chosen) != 1 or chosen[0] not in _POOLINGS:
        raise settings.refuse(
            f"pooling by {' and '.join(chosen) or 'nothing'}; expected one of {', '.join(_POOLINGS)}: no part of ours "
            "does otherwise"
        )
    return _POOLINGS[chosen[0]]


def _settings(place: Path) -> Settings:
    values: Any = read_json(place)
    if not isinstance(values, dict):
        raise FolderError(f"{place}: expected settings by name; copy it again")
    return Settings(values, place)
