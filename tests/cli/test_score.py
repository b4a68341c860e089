"""``henkan score`` on small files: its table, its JSON, and what it refuses."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from henkan.cli.score import METRICS, score
from henkan.errors import ConfigError, HenkanError, InputError
from henkan.metrics import MEASURES, bleu, compare

GOLDENS = Path(__file__).parents[1] / "metrics" / "goldens"
REFERENCE, FIRST, SECOND = (GOLDENS / name for name in ("reference.de", "first-system.de", "second-system.de"))


def run(*arguments: object) -> str:
    app = typer.Typer()
    app.command()(score)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "110"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def test_help_names_every_metric():
    assert set(METRICS) == set(MEASURES)


def test_table_shows_score_interval_and_signature():
    output = run("--hypothesis", FIRST, "--reference", REFERENCE)
    expected = bleu(lines(FIRST), [[line] for line in lines(REFERENCE)])
    assert expected.interval in output
    assert f"BLEU  {expected.signature}\n" in output, "the signature on a line of its own, unbroken"
    assert all(name in output for name in ("BLEU ↑", "chrF2 ↑", "TER ↓"))
    assert "difference" not in output


def test_json_has_every_number():
    arguments = ["--hypothesis", FIRST, "--hypothesis", SECOND, "--reference", REFERENCE, "--json", "--bootstrap", 100]
    told = json.loads(run(*arguments, "--metric", "bleu", "--metric", "exact-match"))
    references = [[line] for line in lines(REFERENCE)]
    measured = [MEASURES["bleu"](lines(path), references) for path in (FIRST, SECOND)]
    assert told["segments"] == len(references)
    assert [system["hypothesis"] for system in told["systems"]] == [str(FIRST), str(SECOND)]
    assert [system["scores"][0] for system in told["systems"]] == [found.score(100).to_json() for found in measured]
    assert told["systems"][0]["against_first"] == []
    assert told["systems"][1]["against_first"][0] == compare(*measured, 100).to_json()
    assert [test["name"] for test in told["systems"][1]["against_first"]] == ["BLEU", "exact match"]


def test_several_systems_are_tested_against_the_first():
    output = run("--hypothesis", FIRST, "--hypothesis", SECOND, "--reference", REFERENCE, "--metric", "bleu")
    references = [[line] for line in lines(REFERENCE)]
    test = compare(*(MEASURES["bleu"](lines(path), references) for path in (FIRST, SECOND)))
    row = next(line for line in output.splitlines() if SECOND.name in line and "%" not in line)
    assert f"{test.difference:+.2f}" in row
    assert f"{test.p:.3f}" in row
    assert f"paired bootstrap against {FIRST.name}, 1000 resamples of the same {len(references)} segments" in output


def test_several_reference_files_are_several_references():
    output = run(
        "--hypothesis", FIRST, "--reference", REFERENCE, "--reference", GOLDENS / "second.de", "--metric", "ter"
    )
    assert "TER  nrefs:2|" in output


def test_pronunciations_with_variants_come_from_a_table(tmp_path):
    (tmp_path / "test.tsv").write_text("tomato\tT AH\tT EY\ncat\tK AE T\ntomato\tT AA\n", encoding="utf-8")
    (tmp_path / "out.txt").write_text("T AA\nK AE\n", encoding="utf-8")
    arguments = ["--hypothesis", tmp_path / "out.txt", "--reference", tmp_path / "test.tsv", "--json"]
    told = json.loads(run(*arguments, "--metric", "phoneme-error-rate", "--metric", "word-error-share"))
    rate, share = told["systems"][0]["scores"]
    assert rate["details"] == {"errors": 1, "phonemes": 5}
    assert share["details"] == {"wrong": 1, "words": 2}


def test_without_resampling_there_is_neither_interval_nor_test():
    output = run("--hypothesis", FIRST, "--hypothesis", SECOND, "--reference", REFERENCE, "--bootstrap", 0)
    assert "bs:" not in output
    assert "difference" not in output


def test_empty_output_lines_are_allowed(tmp_path):
    (tmp_path / "out.txt").write_text("\nja\n", encoding="utf-8")
    (tmp_path / "ref.txt").write_text("nein\nja\n", encoding="utf-8")
    assert "50.0" in run(
        "--hypothesis", tmp_path / "out.txt", "--reference", tmp_path / "ref.txt", "--metric", "exact-match"
    )


def test_unequal_counts_name_both_files_and_counts(tmp_path):
    short = tmp_path / "short.txt"
    short.write_text("a\nb\n", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        run("--hypothesis", FIRST, "--hypothesis", short, "--reference", REFERENCE)
    for part in (str(short), "2 segments", str(REFERENCE), str(len(lines(REFERENCE)))):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["--metric", "rouge"], ConfigError, "metric 'rouge': expected one of bleu, chrf"),
        (["--metric", "chrf", "--tokenize", "zh"], ConfigError, "only BLEU cuts words"),
        (["--tokenize", "14a"], HenkanError, "tokenize '14a': expected one of 13a"),
        (["--hypothesis", "missing.txt"], InputError, "missing.txt"),
    ],
)
def test_wrong_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        run("--hypothesis", FIRST, "--reference", REFERENCE, *arguments)
