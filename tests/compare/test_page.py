"""The page and the numbers beside it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from evaluated import write_run
from henkan.compare import rows
from henkan.compare.findings import Findings, find
from henkan.compare.page import _settled, write_comparison
from henkan.compare.systems import System, systems_of


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> Findings:
    place = tmp_path_factory.mktemp("runs")
    folders = [write_run(place / name, errors) for name, errors in (("<b>", 0.1), ("gru", 0.3))]
    first, second = systems_of(folders)
    return find([first, replace(second, widths=("embedding 256 → 304",), factor=1.19)], resamples=50)


def test_all_is_on_the_page(findings: Findings, tmp_path: Path):
    page = write_comparison(findings, tmp_path, ["Each trained for 5m."]).read_text(encoding="utf-8")
    assert "<title>&lt;b&gt; · gru – Henkan</title>" in page
    assert "<b><b>" not in page, "names are text"
    for finding in findings.systems:
        for cell in rows.row(finding):
            assert cell.replace("<", "&lt;").replace(">", "&gt;") in page
    for expected in (
        "Each trained for 5m.",
        "BLEU by source length",
        "Validation loss",
        "embedding 256 → 304",
        "Outputs",
    ):
        assert expected in page
    assert "<script" not in page
    assert page.count('class="chart"') == 3
    assert [page.count(f'<th class="number less">{title}<') for title in ("tokens/s", "updates", "loss")] == [1] * 3


def test_the_end_of_every_curve_is_in_the_picture():
    short, long = [(0.1, 4.8)], [(0.2, 5.0), (5.0, 0.4)]
    assert _settled([long], 5.0) == 0.4, "the beginning would squeeze it flat"
    assert _settled([short, long], 5.0) == 4.8, "a run that stopped early would be missing"


def test_the_numbers_are_beside_it(findings: Findings, tmp_path: Path):
    write_comparison(findings, tmp_path)
    told = json.loads((tmp_path / "compare.json").read_text(encoding="utf-8"))
    assert (told["metric"], told["best"], told["segments"]) == ("bleu", "<b>", 120)
    best, other = told["systems"]
    assert best["against_best"] is None
    assert other["against_best"]["difference"] == pytest.approx(other["score"]["value"] - best["score"]["value"])
    assert (other["factor"], other["widths"]) == (1.19, ["embedding 256 → 304"])
    assert [run["seed"] for run in other["runs"]] == [1]
    assert sum(band["score"]["count"] for band in best["by_length"]) == 120


def test_a_row_says_what_the_name_does_not(findings: Findings):
    first, second = findings.systems
    assert rows.row(first)[:2] == ["<b>", "gru, small"]
    assert rows.row(second)[:3] == ["gru", "small × 1.19", "1.23 M"]
    assert rows.row(first)[-2:] == ["best", ""]
    assert rows.row(second)[-2].startswith("−")


def test_more_systems_than_colours_are_told_apart_by_dashes(tmp_path: Path):
    run = systems_of([write_run(tmp_path / "a", 0.2)])[0].runs[0]
    found = find([System(f"s{number}", (run,)) for number in range(9)], resamples=5)
    page = write_comparison(found, tmp_path).read_text(encoding="utf-8")
    assert '<span class="key first">s0</span>' in page
    assert '<span class="key first dashed">s8</span>' in page
    assert "9 systems on one test set" in page
