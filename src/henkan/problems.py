"""What pydantic found wrong with settings, in the words of the file that was read.

pydantic reports every problem, but its paths name union members and its advice ends at "Extra inputs are not
permitted". Here each problem gets the path a user wrote, what was expected and given, and the nearest name that exists.
"""

import difflib
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from henkan.settings import KeyPath


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong; the path may be of something that should be there and is not."""

    path: KeyPath
    message: str


def kind_problems(annotation: Any, value: Any, path: KeyPath = ()) -> Iterator[Problem]:
    """Mappings of a union whose ``kind`` is missing or unknown.

    pydantic would take the first member that fits where ``kind`` is left out, and list the errors of every member where
    it is misspelt.
    """
    members = _members(annotation)
    kinds = _kinds(members)
    if kinds and isinstance(value, dict):
        names = f"(kinds: {', '.join(kinds)})"
        if "kind" not in value:
            yield Problem(path, f"`kind` is required {names}")
            return
        if (kind := value["kind"]) not in kinds:
            yield Problem((*path, "kind"), f"unknown kind {_show(kind)}{_nearest(kind, kinds)} {names}")
            return
        members = [kinds[kind]]
    for member in members:
        for key, inner in _children(member, value):
            yield from kind_problems(inner, value[key], (*path, str(key)))


def explain(schema: type[BaseModel], values: Mapping[str, Any], error: ValidationError) -> list[Problem]:
    """The problems of a pydantic error, one for each path; ``values`` is what was validated."""
    bad_kinds = list(kind_problems(schema, values))
    at_path: dict[KeyPath, list[_Found]] = {}
    for detail in error.errors(include_url=False):
        place = _locate(schema, values, detail["loc"])
        if place is None or (bad_kinds and detail["type"] in ("union_tag_invalid", "union_tag_not_found")):
            continue
        found = _describe(schema, place, detail)
        at_path.setdefault(found.path, [])
        if found not in at_path[found.path]:
            at_path[found.path].append(found)
    problems = list(bad_kinds)
    for path, several in at_path.items():
        # The members of a union such as `int | Literal["auto"]` each say what they would have taken.
        alternatives = [found.expected for found in several if found.expected]
        if alternatives:
            hint = "".join(found.hint for found in several)
            problems.append(Problem(path, f"expected {' or '.join(alternatives)}, got {several[0].got}{hint}"))
        problems.extend(Problem(path, found.message) for found in several if not found.expected)
    return problems


@dataclass(frozen=True)
class _Place:
    """Where a pydantic location leads: the path in the file, the class whose field it is, its kin with such a field.

    Attributes:
        kinds: of the union that ``owner`` is a member of, the kinds that have a field of this name.
    """

    path: KeyPath
    owner: type[BaseModel] | None
    kinds: Sequence[str] = ()


@dataclass(frozen=True)
class _Found:
    path: KeyPath
    message: str  # empty where `expected` says it
    expected: str = ""
    got: str = ""
    hint: str = ""


def _locate(schema: type[BaseModel], values: Any, location: Sequence[str | int]) -> _Place | None:
    """Follow a location without its union tags; None if it is about a union member that the value does not mean."""
    annotation: Any = schema
    value = values
    path: KeyPath = ()
    owner: type[BaseModel] | None = None
    choices: Mapping[str, type[BaseModel]] = {}
    kinds: list[str] = []
    rest = list(location)
    while rest:
        members = _members(annotation)
        if len(members) > 1:
            tag = str(rest.pop(0))
            meant = _meant(members, value)
            if meant is not None and not _is_tag_of(meant, tag):
                return None
            if meant is None and isinstance(value, dict) and _kinds(members):
                return None  # kind_problems has said it
            choices = _kinds(members)
            annotation = meant
            continue
        key = rest.pop(0)
        if key == "[key]":
            continue
        member = members[0] if members else None
        owner = member if _is_config(member) else None
        path = (*path, str(key))
        kinds = [name for name, config in choices.items() if key in config.model_fields]
        choices = {}
        annotation = _child(member, key)
        value = _item(value, key)
    return _Place(path, owner, kinds)


def _describe(schema: type[BaseModel], place: _Place, detail: Any) -> _Found:
    kind, context, given = detail["type"], detail.get("ctx", {}), detail["input"]
    path = place.path
    if kind == "missing":
        return _Found(path[:-1], f"`{path[-1]}` is required")
    if kind == "extra_forbidden" and place.owner is not None:
        return _Found(path, f"unknown field{_instead(schema, place.owner, place.kinds, path[-1])}")
    if kind in ("value_error", "assertion_error"):
        return _Found(path, str(context["error"]))
    if kind in ("literal_error", "enum"):
        expected = context["expected"]
        return _Found(path, "", expected, _show(given), _nearest(given, _quoted(expected)))
    expectation = _EXPECTED.get(kind)
    if expectation is not None:
        text = expectation if isinstance(expectation, str) else expectation(context)
        return _Found(path, "", text, _show(given))
    message = str(detail["msg"])
    return _Found(path, message[:1].lower() + message[1:])


_EXPECTED: dict[str, str | Callable[[dict[str, Any]], str]] = {
    "int_type": "int",
    "int_parsing": "int",
    "int_from_float": "int",
    "float_type": "number",
    "float_parsing": "number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text",
    "path_type": "path",
    "list_type": "list",
    "tuple_type": "list",
    "dict_type": "mapping",
    "model_type": "mapping",
    "model_attributes_type": "mapping",
    "none_required": "nothing",
    "greater_than": lambda context: f"more than {context['gt']}",
    "greater_than_equal": lambda context: f"at least {context['ge']}",
    "less_than": lambda context: f"less than {context['lt']}",
    "less_than_equal": lambda context: f"at most {context['le']}",
    "multiple_of": lambda context: f"a multiple of {context['multiple_of']}",
    "too_short": lambda context: f"at least {context['min_length']} items",
    "too_long": lambda context: f"at most {context['max_length']} items",
    "string_too_short": lambda context: f"at least {context['min_length']} characters",
    "string_too_long": lambda context: f"at most {context['max_length']} characters",
    "string_pattern_mismatch": lambda context: f"text of the form {context['pattern']}",
}


def _show(value: Any) -> str:
    """A value as it would be written in the file, short."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return "a list"
    if isinstance(value, dict):
        return "a mapping"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _nearest(name: Any, names: Sequence[str] | Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(str(name), list(names), n=1)
    return f"; did you mean `{close[0]}`?" if close else ""


def _quoted(expected: str) -> list[str]:
    """The names in pydantic's ``'a', 'b' or 'c'``."""
    return expected.split("'")[1::2]


def _instead(schema: type[BaseModel], owner: type[BaseModel], kinds: Sequence[str], key: str) -> str:
    """The cure for an unknown key: a kind that has it, the nearest field beside it, or where else it is a field."""
    fields = list(owner.model_fields)
    cure = f"; kinds that have it: {', '.join(kinds)}" if kinds else _nearest(key, fields)
    if not cure:
        elsewhere = next((path for path in _field_paths(schema) if path[-1] == key), None)
        cure = f"; did you mean `{'.'.join(elsewhere)}`?" if elsewhere else ""
    return f"{cure} (fields: {', '.join(fields)})"


def _field_paths(schema: type[BaseModel]) -> Iterator[KeyPath]:
    """The path of every field, nearest to the root first; a class is entered once."""
    queue: list[tuple[type[BaseModel], KeyPath]] = [(schema, ())]
    seen: set[type[BaseModel]] = set()
    for config, path in queue:
        if config in seen:
            continue
        seen.add(config)
        for name, field in config.model_fields.items():
            yield (*path, name)
            queue.extend((member, (*path, name)) for member in _members(field.annotation) if _is_config(member))


# How annotations are read: unions flattened, Annotated and None left out.


def _members(annotation: Any) -> list[Any]:
    """The alternatives of an annotation, None left out; one for what is no union."""
    if get_origin(annotation) is Annotated:
        return _members(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [member for part in get_args(annotation) for member in _members(part)]
    return [] if annotation in (None, type(None)) else [annotation]


def _is_config(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _kinds(members: Sequence[Any]) -> dict[str, type[BaseModel]]:
    """The configs of a union by ``kind``; empty where there is no choice between kinds."""
    configs = [member for member in members if _is_config(member)]
    kinds: dict[str, type[BaseModel]] = {}
    for config in configs:
        field = config.model_fields.get("kind")
        if field is not None and get_origin(field.annotation) is Literal:
            kinds.update(dict.fromkeys(map(str, get_args(field.annotation)), config))
    return kinds if len(configs) > 1 else {}


def _meant(members: Sequence[Any], value: Any) -> Any:
    """The union member that a value means, by its ``kind`` or its shape; None where that is open."""
    if isinstance(value, dict):
        kinds = _kinds(members)
        if kinds:
            return kinds.get(str(value.get("kind")))
        shaped = [member for member in members if _is_config(member) or get_origin(member) is dict]
    elif isinstance(value, (list, tuple)):
        shaped = [member for member in members if get_origin(member) in (list, tuple)]
    else:
        return None
    return shaped[0] if len(shaped) == 1 else None


def _is_tag_of(member: Any, tag: str) -> bool:
    """Whether pydantic's tag names this union member: its class, its kind, or the container it is."""
    if _is_config(member):
        return tag == member.__name__ or tag in _kinds([member, member])
    return tag.startswith(get_origin(member).__name__)


def _child(annotation: Any, key: str | int) -> Any:
    """What is expected under a key of a value of this type; None where nothing is known."""
    if _is_config(annotation):
        field = annotation.model_fields.get(key)
        return field.annotation if field else None
    arguments = get_args(annotation)
    if get_origin(annotation) is dict:
        return arguments[1]
    if get_origin(annotation) is list:
        return arguments[0]
    if get_origin(annotation) is tuple and isinstance(key, int):
        if len(arguments) == 2 and arguments[1] is ...:
            return arguments[0]
        return arguments[key] if key < len(arguments) else None
    return None


def _children(annotation: Any, value: Any) -> Iterator[tuple[Any, Any]]:
    """Keys of a value, each with what is expected there."""
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, (list, tuple)) else ()
    for key in keys:
        if (inner := _child(annotation, key)) is not None:
            yield key, inner


def _item(value: Any, key: str | int) -> Any:
    if isinstance(value, dict):
        return value.get(str(key))
    if isinstance(value, (list, tuple)) and isinstance(key, int) and key < len(value):
        return value[key]
    return None
