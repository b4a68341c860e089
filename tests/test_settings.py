"""YAML and overrides as nested values: what a file may say, what is refused, and which layer wins."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from henkan.errors import ConfigError
from henkan.settings import MAX_BYTES, Layer, merge, merge_with_owners, parse_overrides, read_layer


@pytest.fixture
def recipe(tmp_path: Path):
    """A function that writes a recipe and gives its path."""

    def write(content: str | bytes) -> Path:
        path = tmp_path / "recipe.yaml"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def message_of(path: Path) -> str:
    with pytest.raises(ConfigError) as raised:
        read_layer(path)
    return str(raised.value).replace(str(path), path.name)


def test_scalars_are_those_of_yaml_1_2(recipe):
    text = "rate: 3e-4\nlang: no\nswitch: on\ndate: 2020-01-01\ntime: 1:30\nnone: null\nyes: true\ninfinite: .inf\n"
    assert read_layer(recipe(text)).values == {
        "rate": 3e-4,
        "lang": "no",
        "switch": "on",
        "date": "2020-01-01",
        "time": "1:30",
        "none": None,
        "yes": True,
        "infinite": float("inf"),
    }


def test_keys_are_always_texts(recipe):
    assert read_layer(recipe("no: 1\n2024: 2\ntrue: 3\n")).values == {"no": 1, "2024": 2, "true": 3}


def test_every_key_has_its_line(recipe):
    layer = read_layer(recipe("a: 1\nb:\n  c: {d: 2}\n  # a comment\n  e:\n    - 3\n    - 4\n"))
    assert layer.lines == {
        ("a",): 1,
        ("b",): 2,
        ("b", "c"): 3,
        ("b", "c", "d"): 3,
        ("b", "e"): 5,
        ("b", "e", "0"): 6,
        ("b", "e", "1"): 7,
    }


def test_all_duplicate_keys_are_named(recipe):
    assert message_of(recipe("a: 1\nb: {c: 2, c: 3}\na: 4\n")) == (
        "recipe.yaml: 2 problems\n"
        "  line 2   `c` again, first given on line 2\n"
        "  line 3   `a` again, first given on line 1"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- a\n", "expected `key: value` lines, got a list"),
        ("a: [1\nb: 2\n", "line 2: not valid YAML"),
        ("\ta: 1\n", "line 1: not valid YAML"),
        ("a: 1\n---\nb: 2\n", "another document"),
        ("a: *unknown\n", "undefined alias"),
        ("x: 1\na: !!python/object/apply:os.system [ls]\n", "line 2   the tag"),
        ("a: !!binary aGk=\n", "line 1   the tag"),
        ("? [1, 2]\n: 3\n", "a key is one word"),
        ("a: !!int x\n", "'x' cannot be read as int"),
        ("a: " + "9" * 5000, "cannot be read as int"),
        ("a: " + "[" * 60 + "]" * 60, "no recipe is so large"),
        ("a: &x [*x]\n", "no recipe is so large"),
        ('a: "\\ud800"\n', "half a surrogate pair"),
        (b"a: 1\nb: \xff\n", "line 2: not UTF-8 (byte 0xff)"),
        (b"a: " + b"x" * MAX_BYTES, "larger than"),
    ],
)
def test_what_no_recipe_is(recipe, text, expected):
    assert expected in message_of(recipe(text))


def test_a_few_aliases_are_welcome_and_a_bomb_is_not(recipe):
    assert read_layer(recipe("a: &x {b: 1}\nc: *x\n")).values == {"a": {"b": 1}, "c": {"b": 1}}
    bomb = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n"
    bomb += "".join(f"a{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 10)}]\n" for n in range(8))
    assert "no recipe is so large" in message_of(recipe(bomb))


def test_missing_file_and_folder(tmp_path):
    assert "No such file" in message_of(tmp_path / "recipe.yaml")
    assert "cannot be read" in message_of(tmp_path)


def test_nesting_beyond_the_stack_is_refused(recipe):
    assert "not valid YAML" in message_of(recipe("a: " + "[" * 1200))


def test_an_empty_file_has_no_settings(recipe):
    assert read_layer(recipe("# nothing yet\n")).values == {}


@settings(max_examples=200)
@given(st.one_of(st.text(max_size=60), st.text("abc:[]{},-&*!|>'\"#%\n ~?0.", max_size=60)))
def test_any_text_is_read_or_refused(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with contextlib.suppress(ConfigError):  # any other exception fails the test
        assert isinstance(read_layer(path).values, dict)


def test_overrides_are_yaml_values():
    words = ["a.b=3e-4", "a.c=no", "d=[1, {e: 2}]", "f=", "g=x: y", "h=http://host:80/x=y", "i=- j"]
    assert parse_overrides(words).values == {
        "a": {"b": 3e-4, "c": "no"},
        "d": [1, {"e": 2}],
        "f": None,
        "g": "x: y",
        "h": "http://host:80/x=y",
        "i": "- j",
    }


def test_a_later_override_wins():
    assert parse_overrides(["a.b=1", "a.b=2", "c=3", "c.d=4"]).values == {"a": {"b": 2}, "c": {"d": 4}}


def test_all_bad_overrides_are_named():
    with pytest.raises(ConfigError) as raised:
        parse_overrides(["steps", "a..b=1", "=2", "good=1", "list=[1, 2"])
    lines = str(raised.value).splitlines()
    assert lines[0] == "command line: 4 problems"
    assert lines[1] == "  'steps': expected key.path=value, for example training.steps=1000"
    assert "list=[1, 2" in lines[4]


def test_the_later_layer_wins_and_mappings_are_joined():
    layers = [Layer({"a": {"b": 1, "c": 2}, "d": [1]}, "first"), Layer({"a": {"c": 3}, "d": [2, 3]}, "second")]
    assert merge(layers) == {"a": {"b": 1, "c": 3}, "d": [2, 3]}
    assert layers[0].values == {"a": {"b": 1, "c": 2}, "d": [1]}, "merging changed a layer"


def test_another_kind_replaces_the_whole_mapping():
    first = Layer({"cell": {"kind": "lstm", "size": 4, "peephole": True}}, "first")
    assert merge([first, Layer({"cell": {"kind": "gru"}}, "second")]) == {"cell": {"kind": "gru"}}
    assert merge([first, Layer({"cell": {"kind": "lstm", "size": 5}}, "second")])["cell"]["peephole"] is True


def test_a_length_replaces_that_of_an_earlier_layer():
    file = Layer({"training": {"budget": "30m", "seed": 3}}, "file")
    words = parse_overrides(["training.steps=100"])
    merged = merge_with_owners([file, words])
    assert merged.values == {"training": {"seed": 3, "steps": 100}}
    assert ("training", "budget") not in merged.owners
    assert merged.owners["training", "steps"] is words
    assert merge([words, file]) == {"training": {"budget": "30m", "seed": 3}}
    assert file.values["training"]["budget"] == "30m", "merging changed a layer"


def test_no_length_replaces_nothing():
    file = Layer({"training": {"budget": "30m"}}, "file")
    assert merge([file, Layer({"training": {"steps": None}}, "words")]) == {
        "training": {"budget": "30m", "steps": None}
    }
    assert merge([file, Layer({"training": {"seed": 1}}, "words")])["training"]["budget"] == "30m"
    assert merge([file, Layer({"training": "none"}, "words")]) == {"training": "none"}
    assert merge([Layer({"training": "none"}, "file"), Layer({"training": {"steps": 1}}, "words")]) == {
        "training": {"steps": 1}
    }


def test_two_lengths_of_one_layer_stay():
    words = parse_overrides(["training.steps=100", "training.epochs=2"])
    both = {"training": {"steps": 100, "epochs": 2}}
    assert merge([Layer({"training": {"budget": "30m"}}, "file"), words]) == both
