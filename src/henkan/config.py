"""Settings as frozen objects: Config, the base of every settings class, and how one is made from files and overrides.

``validate(RunConfig, [read_layer(path), parse_overrides(words)])`` gives the object, or one ConfigError that lists
every problem with its line and the nearest name. In Python a Config is strict: a tuple is a tuple. A file has no
tuples, paths or durations, so there a list, a text and ``10m`` stand for them.
"""

import io
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, WithJsonSchema
from ruamel.yaml import YAML

from henkan.errors import ConfigError
from henkan.problems import Problem, explain, kind_problems
from henkan.settings import KeyPath, Layer, Merged, merge, merge_with_owners, parse_overrides, read_layer, report

__all__ = [
    "Config",
    "Duration",
    "Layer",
    "dump",
    "json_schema",
    "merge",
    "origins",
    "parse_duration",
    "parse_overrides",
    "read_layer",
    "validate",
]


class Config(BaseModel):
    """Settings of one part: frozen, strictly typed, without unknown fields.

    A choice between parts is a union of classes, each with a literal ``kind``: ``CellConfig = LSTMConfig | GRUConfig``.
    In a file ``kind`` must be given where there is such a choice.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


C = TypeVar("C", bound=Config)

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(s|m|h|d)?")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_duration(value: Any) -> float:
    """Seconds from ``"90s"``, ``"10m"``, ``"1.5h"``, ``"1d"`` or a positive number of seconds; ValueError otherwise."""
    seconds = math.nan
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = float(value)
    elif isinstance(value, str) and len(value) < 32 and (found := _DURATION.fullmatch(value.strip())):
        seconds = float(found[1]) * _SECONDS[found[2] or "s"]
    if not (math.isfinite(seconds) and seconds > 0):
        raise ValueError(f"expected a duration above zero such as 90s, 10m, 2h or a number of seconds, got {value!r}")
    return seconds


Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0},
                {"type": "string", "pattern": rf"^{_DURATION.pattern}$"},
            ]
        }
    ),
]
"""Seconds, as a float; in a file ``90s``, ``10m``, ``2h``, ``1d`` or a number of seconds."""


def validate(schema: type[C], layers: Sequence[Layer]) -> C:
    """The settings of all layers, the later one winning, as one object; ConfigError lists all that is wrong."""
    merged = merge_with_owners(layers)
    problems = list(kind_problems(schema, merged.values))
    config = None
    try:
        # pydantic's JSON mode is as strict as the Python one, but knows that a file has no tuples and no paths.
        config = schema.model_validate_json(json.dumps(merged.values, default=_plain), strict=True)
    except ValidationError as error:
        problems = explain(schema, merged.values, error)
    if config is None or problems:
        raise ConfigError(_message(problems, layers, merged))
    return config


def origins(config: Config, layers: Sequence[Layer]) -> list[tuple[str, Any, str]]:
    """Every effective setting: dotted path, value, and the place it came from; "default" if it was nowhere written."""
    merged = merge_with_owners(layers)
    found = []
    for path, value in _leaves(config.model_dump(mode="json"), ()):
        layer = merged.owners.get(path)
        origin = "default"
        if layer is not None:
            line = layer.lines.get(path)
            origin = f"{layer.origin}, line {line}" if line else layer.origin
        found.append((".".join(path), value, origin))
    return found


def dump(config: Config) -> str:
    """The settings as YAML that :func:`settings.read_layer` reads back to an equal object."""
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.allow_unicode = True
    yaml.width = 120
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # declared by its default, None
    stream = io.StringIO()
    yaml.dump(config.model_dump(mode="json"), stream)
    return stream.getvalue()


def json_schema(schema: type[Config]) -> dict[str, Any]:
    """The JSON Schema that editors complete and check recipes with."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema.model_json_schema()}


def _plain(value: Any) -> str:
    """What a layer made in Python may hold beyond JSON."""
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"settings hold plain values, not {type(value).__name__}")


def _leaves(node: Any, path: KeyPath) -> list[tuple[KeyPath, Any]]:
    if not isinstance(node, dict) or not node:
        return [(path, node)] if path else []
    return [leaf for key, inner in node.items() for leaf in _leaves(inner, (*path, str(key)))]


def _message(problems: Sequence[Problem], layers: Sequence[Layer], merged: Merged) -> str:
    """One block for each layer that has problems, in the order of layers."""
    # What is missing everywhere is best added to the recipe; without one, to the last layer.
    written = next((layer for layer in reversed(layers) if layer.file), layers[-1] if layers else Layer({}, "settings"))
    blocks: dict[str, list[tuple[int | None, str]]] = {layer.file or layer.origin: [] for layer in (*layers, written)}
    for problem in problems:
        layer, line = merged.place(problem.path)
        if layer is None:
            layer, line = written, 1 if written.file else None
        text = f"{'.'.join(problem.path) or '(root)'}: {problem.message}"
        blocks[layer.file or layer.origin].append((line, text))
    return "\n".join(report(place, found) for place, found in blocks.items() if found)
