"""Settings before they are checked: nested mappings, and where each value came from.

A recipe is YAML 1.2 (duplicate keys refused, ``3e-4`` a number, ``no`` a text), an override is ``a.b=c`` with a YAML
value. Layers are merged in order, the later one wins; :func:`henkan.config.validate` turns the result into objects.
How long to train is said by one of three settings, so there a later layer's replaces the earlier one's whichever it is.
"""

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from henkan.errors import ConfigError

KeyPath = tuple[str, ...]
"""Keys from the root to a value; the place in a list counts as a key ("0", "1", ...)."""

LENGTHS = ("training", ("steps", "epochs", "budget"))
"""The section and the names of the settings of which a run has exactly one."""

MAX_BYTES = 1 << 20
MAX_VALUES = 100_000  # aliases let a small file name a huge tree
MAX_DEPTH = 50

_CORE_TAG = "tag:yaml.org,2002:"
_NUMBERS = {"null", "bool", "int", "float"}


@dataclass(frozen=True)
class Layer:
    """Settings from one place.

    Args:
        values: nested mappings, lists, texts, numbers, booleans and None.
        origin: the place in words: a file name, "preset luong-2015", "command line".
        lines: the line, from 1, of each key path, where the place has lines.
        file: the file, where it is one.
    """

    values: dict[str, Any]
    origin: str
    lines: dict[KeyPath, int] = field(default_factory=dict)
    file: str | None = None


def read_layer(path: Path) -> Layer:
    """The settings of a YAML file; ConfigError names the file and the line."""
    name = str(path)
    try:
        with open(path, "rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{name}: cannot be read: {error.strerror}") from None
    if len(raw) > MAX_BYTES:
        raise ConfigError(f"{name}: larger than {MAX_BYTES:,} bytes, which no recipe is; is this the right file?")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ConfigError(
            f"{name}: line {line}: not UTF-8 (byte 0x{raw[error.start]:02x}); re-save the file as UTF-8"
        ) from None
    values, lines = _parse(text, name)
    if values is None:
        values = {}
    if not isinstance(values, dict):
        raise ConfigError(f"{name}: expected `key: value` lines, got a {_noun(values)}")
    return Layer(values, path.name, lines, name)


def parse_overrides(items: Sequence[str]) -> Layer:
    """The settings of ``key.path=value`` words, the later one winning; ConfigError names all bad ones."""
    values: dict[str, Any] = {}
    problems = []
    for item in items:
        dotted, equals, text = item.partition("=")
        keys = dotted.split(".")
        if not equals or not all(keys) or dotted != dotted.strip():
            problems.append(f"{item!r}: expected key.path=value, for example training.steps=1000")
            continue
        try:
            value = _override_value(text, dotted)
        except ConfigError as error:
            problems.append(str(error))
            continue
        inner = values
        for key in keys[:-1]:
            if not isinstance(inner.get(key), dict):
                inner[key] = {}
            inner = inner[key]
        inner[keys[-1]] = value
    if problems:
        raise ConfigError(report("command line", [(None, problem) for problem in problems]))
    return Layer(values, "command line")


def report(place: str, problems: Sequence[tuple[int | None, str]]) -> str:
    """The message of a ConfigError: how many problems a place has, then each with its line, in the order of lines."""
    lines = [f"{place}: {len(problems)} problem{'s' if len(problems) > 1 else ''}"]
    for line, text in sorted(problems, key=lambda problem: problem[0] or math.inf):
        lines.append(f"  {f'line {line}':<8} {text}" if line else f"  {text}")
    return "\n".join(lines)


@dataclass(frozen=True)
class Merged:
    """All layers as one, and the layer that each key path came from."""

    values: dict[str, Any]
    owners: dict[KeyPath, Layer]

    def place(self, path: KeyPath) -> tuple[Layer | None, int | None]:
        """The layer and the line of a path; of its nearest parent that is written down where it is not itself."""
        for length in range(len(path), 0, -1):
            layer = self.owners.get(path[:length])
            if layer is not None:
                lines = (layer.lines.get(path[:n]) for n in range(len(path), length - 1, -1))
                return layer, next((line for line in lines if line is not None), None)
        return None, None


def merge(layers: Sequence[Layer]) -> dict[str, Any]:
    """The layers as one mapping: the later one wins.

    A mapping of another ``kind`` replaces the earlier one whole; a length replaces that of an earlier layer.
    """
    return merge_with_owners(layers).values


def merge_with_owners(layers: Sequence[Layer]) -> Merged:
    """As :func:`merge`, with the layer that each value came from."""
    merged = Merged({}, {})
    for layer in layers:
        _forget_lengths(merged, layer)
        _merge_mapping(merged, merged.values, layer, layer.values, ())
    return merged


def _forget_lengths(merged: Merged, layer: Layer) -> None:
    """Drop the lengths of earlier layers where this one has a length."""
    section, names = LENGTHS
    earlier, later = merged.values.get(section), layer.values.get(section)
    if isinstance(earlier, dict) and isinstance(later, dict) and any(later.get(name) is not None for name in names):
        for name in names:
            earlier.pop(name, None)
            _forget(merged, (section, name))


def _merge_mapping(merged: Merged, into: dict, layer: Layer, values: Mapping[str, Any], path: KeyPath) -> None:
    for key, value in values.items():
        here = (*path, key)
        earlier = into.get(key)
        if not isinstance(value, dict):
            if key in into:
                _forget(merged, here)
            into[key] = copy.deepcopy(value)
        else:
            if not isinstance(earlier, dict) or _is_other_kind(earlier, value):
                _forget(merged, here)
                into[key] = {}
            _merge_mapping(merged, into[key], layer, value, here)
        merged.owners[here] = layer


def _is_other_kind(earlier: Mapping[str, Any], later: Mapping[str, Any]) -> bool:
    return "kind" in earlier and "kind" in later and earlier["kind"] != later["kind"]


def _forget(merged: Merged, path: KeyPath) -> None:
    for known in [known for known in merged.owners if known[: len(path)] == path]:
        del merged.owners[known]


def _override_value(text: str, dotted: str) -> Any:
    # Only scalars and flow collections ([1, 2], {a: b}) are YAML here: "a: b" and "- a" stay texts.
    first = text.strip()[:1]
    value, _ = _parse(text, f"{dotted}={text}")
    return text if isinstance(value, (dict, list)) and first not in ("[", "{") else value


def _parse(text: str, name: str) -> tuple[Any, dict[KeyPath, int]]:
    """Plain values of one YAML document, and the line of each key path."""
    yaml = YAML(typ="safe", pure=True)
    try:
        root = yaml.compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}: " if mark is not None else ""
        raise ConfigError(f"{name}: {where}not valid YAML: {error.problem or error.context}") from None
    except (YAMLError, ValueError, RecursionError) as error:
        first_line = next(iter(str(error).splitlines()), type(error).__name__)
        raise ConfigError(f"{name}: not valid YAML: {first_line}") from None
    builder = _Builder(yaml, name)
    value = None if root is None else builder.build(root, ())
    if builder.problems:
        raise ConfigError(report(name, builder.problems))
    return value, builder.lines


class _Builder:
    """Walks composed YAML nodes: plain values out, lines and problems noted."""

    def __init__(self, yaml: YAML, name: str) -> None:
        self.yaml = yaml
        self.name = name
        self.lines: dict[KeyPath, int] = {}
        self.problems: list[tuple[int | None, str]] = []
        self._count = 0

    def build(self, node: Node, path: KeyPath) -> Any:
        self._count += 1
        if self._count > MAX_VALUES or len(path) > MAX_DEPTH:
            limits = f"{MAX_VALUES:,} values or {MAX_DEPTH} levels"
            raise ConfigError(f"{self.name}: more than {limits}; no recipe is so large")
        if isinstance(node, MappingNode) and node.tag == f"{_CORE_TAG}map":
            return dict(self._entries(node, path))
        if isinstance(node, SequenceNode) and node.tag == f"{_CORE_TAG}seq":
            items = []
            for place, item in enumerate(node.value):
                here = (*path, str(place))
                self.lines[here] = _line(item)
                items.append(self.build(item, here))
            return items
        if isinstance(node, ScalarNode):
            return self._scalar(node)
        self.problems.append((_line(node), f"the tag {node.tag} has no meaning here"))
        return None

    def _entries(self, node: MappingNode, path: KeyPath) -> Iterator[tuple[str, Any]]:
        first_lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, ScalarNode):
                self.problems.append((_line(key_node), "a key is one word, not a list or a mapping"))
                continue
            key = self._text(key_node)  # whatever it looks like: the language code `no` and the year 2024 are names too
            if key in first_lines:
                self.problems.append((_line(key_node), f"`{key}` again, first given on line {first_lines[key]}"))
                continue
            first_lines[key] = self.lines[(*path, key)] = _line(key_node)
            yield key, self.build(value_node, (*path, key))

    def _scalar(self, node: ScalarNode) -> Any:
        tag = str(node.tag).removeprefix(_CORE_TAG)
        if tag in _NUMBERS:
            try:
                return self.yaml.constructor.construct_object(node)
            except ValueError:
                self.problems.append((_line(node), f"{str(node.value)[:40]!r} cannot be read as {tag}"))
                return None
        # Dates, `=` and `<<` are texts as well; an explicit foreign tag is refused.
        if tag in ("str", "timestamp", "value", "merge"):
            return self._text(node)
        self.problems.append((_line(node), f"the tag {node.tag} has no meaning here"))
        return None

    def _text(self, node: ScalarNode) -> str:
        text = str(node.value)
        if any("\ud800" <= character <= "\udfff" for character in text):
            self.problems.append((_line(node), "half a surrogate pair is no character; write the character itself"))
        return text


def _line(node: Node) -> int:
    return int(node.start_mark.line) + 1


def _noun(value: Any) -> str:
    return "list" if isinstance(value, list) else f"single value, {str(value)[:40]!r}"
