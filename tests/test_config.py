"""From layers to frozen objects, and what is said when that fails."""

import json
from pathlib import Path
from typing import Annotated, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field, ValidationError, model_validator

from henkan.config import (
    Config,
    Duration,
    Layer,
    dump,
    json_schema,
    origins,
    parse_duration,
    parse_overrides,
    read_layer,
    validate,
)
from henkan.errors import ConfigError


class Rnn(Config):
    kind: Literal["rnn"] = "rnn"
    size: int


class Lstm(Config):
    kind: Literal["lstm"] = "lstm"
    size: int
    forget_gate: bool = True
    peephole: bool = False


Cell = Rnn | Lstm


class Encoder(Config):
    cell: Cell
    layers: int = 1
    more: tuple[Cell, ...] = ()
    tagged: Annotated[Cell, Field(discriminator="kind")] | None = None
    sizes: tuple[int, ...] | int = 3
    heads: int | Literal["auto"] = "auto"


class Decoder(Config):
    width: int = 512
    heads: Annotated[int, Field(ge=1)] = 8
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1

    @model_validator(mode="after")
    def _width_is_shared_by_heads(self):
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        return self


class Model(Config):
    encoder: Encoder
    decoder: Decoder = Decoder()


class Recipe(Config):
    steps: int
    model: Model
    budget: Duration | None = None
    output: Path = Path("runs/x")
    norm: Literal["pre", "post"] = "pre"
    weights: dict[str, float] = {}
    note: str = ""


SMALL = {"steps": 3, "model": {"encoder": {"cell": {"kind": "lstm", "size": 4}}}}


def problems_of(*layers: Layer, schema: type[Config] = Recipe) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        validate(schema, layers)
    return str(raised.value).splitlines()


def with_settings(*words: str) -> list[Layer]:
    return [Layer(SMALL, "preset"), parse_overrides(words)]


def test_all_problems_at_once_with_lines_and_nearest_key(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("translation.yaml").write_text(
        "budget: 10m\n"
        "model:\n"
        "  encoder:\n"
        "    cell: {kind: lstm, sise: 4}\n"
        "    layers: four\n"
        "  # a comment\n"
        "  decoder:\n"
        "    width: 512\n"
        "    heads: 6\n"
    )
    assert problems_of(read_layer(Path("translation.yaml"))) == [
        "translation.yaml: 5 problems",
        "  line 1   (root): `steps` is required",
        "  line 4   model.encoder.cell: `size` is required",
        "  line 4   model.encoder.cell.sise: unknown field; did you mean `size`?"
        " (fields: kind, size, forget_gate, peephole)",
        "  line 5   model.encoder.layers: expected int, got 'four'",
        "  line 7   model.decoder: width 512 is not a multiple of heads 6",
    ]


def test_lists_texts_and_durations_of_a_file_become_what_the_fields_say():
    words = ["model.encoder.sizes=[1, 2]", "output=a/b", "budget=10m", "weights={x: 1}"]
    recipe = validate(Recipe, with_settings(*words))
    assert recipe.model.encoder.sizes == (1, 2)
    assert recipe.output == Path("a/b")
    assert recipe.budget == 600.0
    assert recipe.weights == {"x": 1.0}


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("steps=1.0", "steps: expected int, got 1.0"),
        ("steps=true", "steps: expected int, got true"),
        ("steps='3'", "steps: expected int, got '3'"),
        ("steps=", "steps: expected int, got nothing"),
        ("steps=[1]", "steps: expected int, got a list"),
        ("note=3", "note: expected text, got 3"),
        ("norm=prr", "norm: expected 'pre' or 'post', got 'prr'; did you mean `pre`?"),
        ("weights={a: x}", "weights.a: expected number, got 'x'"),
        ("weights={a: .nan}", "weights.a: expected a finite number, got nan"),
        ("model=3", "model: expected mapping, got 3"),
        ("model.decoder.dropout=1.5", "model.decoder.dropout: expected less than 1.0, got 1.5"),
        ("model.decoder.heads=0", "model.decoder.heads: expected at least 1, got 0"),
        ("model.encoder.more=3", "model.encoder.more: expected list, got 3"),
        ("model.encoder.more=[3]", "model.encoder.more.0: expected mapping, got 3"),
        ("model.encoder.more=[{kind: rnn}]", "model.encoder.more.0: `size` is required"),
        ("model.encoder.heads=2.5", "model.encoder.heads: expected int or 'auto', got 2.5"),
        ("model.encoder.sizes=x", "model.encoder.sizes: expected list or int, got 'x'"),
        ("model.encoder.sizes=[1, x]", "model.encoder.sizes.1: expected int, got 'x'"),
        ("model.encoder.tagged=3", "model.encoder.tagged: expected mapping, got 3"),
        (
            "budget=soon",
            "budget: expected a duration above zero such as 90s, 10m, 2h or a number of seconds, got 'soon'",
        ),
    ],
)
def test_what_is_expected_and_what_was_given(word, expected):
    assert problems_of(*with_settings(word)) == ["command line: 1 problem", f"  {expected}"]


def test_a_key_of_another_section_is_found():
    assert problems_of(*with_settings("dropout=0.2"))[1].startswith(
        "  dropout: unknown field; did you mean `model.decoder.dropout`? (fields: steps, "
    )


@pytest.mark.parametrize("field", ["cell", "tagged"], ids=["plain union", "discriminated union"])
def test_a_choice_between_kinds(field):
    place = f"model.encoder.{field}"
    layers = [Layer({"steps": 1, "model": {"encoder": {"cell": {"kind": "rnn", "size": 1}}}}, "preset")]
    assert problems_of(*layers, parse_overrides([f"{place}.kind=lstn"])) == [
        "command line: 1 problem",
        f"  {place}.kind: unknown kind 'lstn'; did you mean `lstm`? (kinds: rnn, lstm)",
    ]
    assert problems_of(*layers, parse_overrides([f"{place}.kind=lstm", f"{place}.sise=3"])) == [
        "command line: 2 problems",
        f"  {place}: `size` is required",
        f"  {place}.sise: unknown field; did you mean `size`? (fields: kind, size, forget_gate, peephole)",
    ]
    assert problems_of(
        *layers, parse_overrides([f"{place}.kind=rnn", f"{place}.size=3", f"{place}.peephole=true"])
    ) == [
        "command line: 1 problem",
        f"  {place}.peephole: unknown field; kinds that have it: lstm (fields: kind, size)",
    ]
    assert validate(Recipe, [*layers, parse_overrides([f"{place}.kind=lstm", f"{place}.size=3"])])


@pytest.mark.parametrize("field", ["cell", "tagged"], ids=["plain union", "discriminated union"])
def test_a_kind_left_out_is_never_guessed(field):
    encoder = {"cell": {"kind": "rnn", "size": 1}, field: {"size": 3}}
    assert problems_of(Layer({"steps": 1, "model": {"encoder": encoder}}, "preset")) == [
        "preset: 1 problem",
        f"  model.encoder.{field}: `kind` is required (kinds: rnn, lstm)",
    ]


def test_each_layer_answers_for_its_own_problems(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("steps: x\nmodel: {encoder: {layers: 2}}\n")
    preset = Layer({"model": {"encoder": {"cell": {"kind": "lstm", "size": "wide"}}}}, "preset lstm")
    assert problems_of(preset, read_layer(path), parse_overrides(["norm=mid"])) == [
        "preset lstm: 1 problem",
        "  model.encoder.cell.size: expected int, got 'wide'",
        f"{path}: 1 problem",
        "  line 1   steps: expected int, got 'x'",
        "command line: 1 problem",
        "  norm: expected 'pre' or 'post', got 'mid'",
    ]


def test_nothing_given_at_all():
    assert problems_of() == [
        "settings: 2 problems",
        "  (root): `steps` is required",
        "  (root): `model` is required",
    ]


def test_a_config_is_frozen_strict_and_closed():
    cell = Lstm(size=3)
    with pytest.raises(ValidationError):
        cell.size = 4
    with pytest.raises(ValidationError):
        Lstm(size="3")
    with pytest.raises(ValidationError):
        Lstm(size=3, sise=4)


def test_origins_name_the_place_of_every_setting(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("steps: 5\nmodel:\n  encoder:\n    cell:\n      kind: rnn\n      size: 8\n")
    layers = [Layer(SMALL, "preset"), read_layer(path), parse_overrides(["norm=post"])]
    found = {name: (value, origin) for name, value, origin in origins(validate(Recipe, layers), layers)}
    assert found["steps"] == (5, "recipe.yaml, line 1")
    assert found["model.encoder.cell.size"] == (8, "recipe.yaml, line 6")
    assert found["model.encoder.layers"] == (1, "default")
    assert found["norm"] == ("post", "command line")
    assert "model.encoder.cell.peephole" not in found, "the other kind replaced this mapping"


def test_the_latest_layer_is_the_origin():
    layers = [Layer(SMALL, "preset"), parse_overrides(["model.encoder.cell.size=6"])]
    found = {name: origin for name, _, origin in origins(validate(Recipe, layers), layers)}
    assert found["model.encoder.cell.kind"] == "preset"
    assert found["model.encoder.cell.size"] == "command line"


@settings(max_examples=60)
@given(
    note=st.one_of(
        st.text(max_size=20), st.sampled_from(["no", "3e-4", "null", "~", "1:30", " x ", "a: b", "- a", "#"])
    ),
    number=st.floats(allow_nan=False, allow_infinity=False),
    budget=st.floats(1e-6, 1e9),
)
def test_a_dump_reads_back_to_the_same(tmp_path_factory, note, number, budget):
    encoder = Encoder(cell=Lstm(size=3), more=(Rnn(size=1),), sizes=(1, 2))
    recipe = Recipe(steps=3, model=Model(encoder=encoder), budget=budget, weights={"no": number}, note=note)
    path = tmp_path_factory.getbasetemp() / "dump.yaml"
    path.write_text(dump(recipe), encoding="utf-8", newline="")
    assert validate(Recipe, [read_layer(path)]) == recipe


def test_dump_keeps_the_order_of_the_fields():
    text = dump(validate(Recipe, [Layer(SMALL, "preset")]))
    assert [line.split(":")[0] for line in text.splitlines() if line[0].isalpha()] == list(Recipe.model_fields)


def test_json_schema_describes_kinds_and_durations():
    schema = json_schema(Recipe)
    assert json.loads(json.dumps(schema)) == schema
    assert schema["additionalProperties"] is False
    assert schema["$defs"]["Lstm"]["properties"]["kind"]["const"] == "lstm"


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("10m", 600), ("1.5h", 5400), ("1d", 86400), ("45", 45), (45, 45), (0.5, 0.5)]
)
def test_durations(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "10 minutes", "-3", "0", 0, -1, True, None, float("nan"), "9" * 40, "1e3"])
def test_what_is_no_duration(text):
    with pytest.raises(ValueError, match="expected a duration above zero"):
        parse_duration(text)
