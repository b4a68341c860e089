"""Somebody else's config.json, read with care: what is used has a type, and what we cannot do is refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from henkan.errors import FolderError
from henkan.nn.feedforward import Activation

ACTIVATIONS: dict[str, Activation] = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}
"""Their names to ours. The first that means ours is the one that is written."""


class Settings:
    """The values of a config.json by name; ``path`` is where they come from."""

    def __init__(self, values: Mapping[str, Any], path: Path) -> None:
        self._values = values
        self._path = path

    def whole(self, name: str, default: int | None = None) -> int:
        """A whole number; without a default it must be there."""
        value = self._value(name, default)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self._wrong(name, value, "a whole number")
        return value

    def number(self, name: str, default: float) -> float:
        """A number."""
        value = self._value(name, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self._wrong(name, value, "a number")
        return float(value)

    def flag(self, name: str, default: bool) -> bool:
        """True or false."""
        value = self._value(name, default)
        if not isinstance(value, bool):
            raise self._wrong(name, value, "true or false")
        return value

    def text(self, name: str, default: str) -> str:
        """A text."""
        value = self._value(name, default)
        if not isinstance(value, str):
            raise self._wrong(name, value, "a text")
        return value

    def raw(self, name: str) -> Any:
        """Whatever is there, or None."""
        return self._values.get(name)

    def names(self, prefix: str) -> list[str]:
        """Whatever begins so, without that."""
        return [name.removeprefix(prefix) for name in self._values if name.startswith(prefix)]

    def activation(self, name: str, default: str) -> Activation:
        """Our name of an activation."""
        value = self.text(name, default)
        if value not in ACTIVATIONS:
            raise self._wrong(name, value, f"one of {', '.join(ACTIVATIONS)}")
        return ACTIVATIONS[value]

    def special_ids(self) -> dict[str, int]:
        """The ids of special tokens: of ``pad_token_id`` that of ``pad``, and so on, where they are whole numbers."""
        names = ("pad", "bos", "eos", "decoder_start", "forced_bos", "forced_eos")
        values = {name: self._values.get(f"{name}_token_id") for name in names}
        return {name: value for name, value in values.items() if isinstance(value, int)}

    def labels(self) -> list[str] | None:
        """The names of classes in the order of their numbers, or None."""
        named = self._values.get("id2label")
        if not isinstance(named, dict):
            return None
        found = [named.get(str(number)) for number in range(len(named))]
        return [str(name) for name in found] if None not in found else None

    def architecture(self) -> str:
        """The name of their class, or nothing."""
        named = self._values.get("architectures")
        return str(named[0]) if isinstance(named, list) and named else ""

    def refuse_unless(self, name: str, *expected: Any) -> None:
        """FolderError unless the value is absent or one of these."""
        value = self._values.get(name)
        if value is not None and value not in expected:
            wanted = " or ".join(repr(one) for one in expected)
            raise self._wrong(name, value, f"{wanted}: no part of ours does otherwise")

    def refuse(self, message: str) -> FolderError:
        """An error that says where."""
        return FolderError(f"{self._path}: {message}")

    def _value(self, name: str, default: Any) -> Any:
        value = self._values.get(name)
        if value is None:
            if default is None:
                raise FolderError(f"{self._path}: {name} is missing")
            return default
        return value

    def _wrong(self, name: str, value: Any, expected: str) -> FolderError:
        return FolderError(f"{self._path}: {name} is {value!r}; expected {expected}")


def activation_name(ours: Activation) -> str:
    """Their name of an activation."""
    return next(theirs for theirs, name in ACTIVATIONS.items() if name == ours)
