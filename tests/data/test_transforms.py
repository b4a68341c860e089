"""Filters, and the report that says what they did."""

import json

import pytest

from henkan.data.example import Pair
from henkan.data.transforms import FilterConfig, FilterReport


def reason(config: FilterConfig, source: str, target: str, lengths: tuple[int, int]) -> str | None:
    return config.reason(Pair(source, target, 1), *lengths)


@pytest.mark.parametrize("lengths", [(1, 1), (1, 256), (256, 1), (256, 256)])
def test_kept_whatever_its_tokens(lengths: tuple[int, int]):
    assert reason(FilterConfig(), "word", "word", lengths) is None, f"{lengths} should be kept"


@pytest.mark.parametrize("characters", [(1, 50), (50, 1), (90, 10), (10, 90), (900, 100)])
def test_kept_at_this_ratio(characters: tuple[int, int]):
    assert reason(FilterConfig(), "x" * characters[0], "y" * characters[1], (9, 9)) is None


@pytest.mark.parametrize(
    ("source", "target", "lengths", "expected"),
    [
        ("", "x", (0, 1), "empty source (remove_empty)"),
        (" \t\u3000", "x", (3, 1), "empty source (remove_empty)"),
        ("x", " ", (1, 1), "empty target (remove_empty)"),
        ("x", "y", (257, 200), "a side has over 256 tokens (max_length)"),
        ("x", "y", (200, 257), "a side has over 256 tokens (max_length)"),
        ("x" * 91, "y" * 10, (9, 9), "one side is over 9 times as long as the other (max_ratio)"),
        ("x", "y" * 51, (9, 9), "one side is over 9 times as long as the other (max_ratio)"),
    ],
)
def test_left_out(source: str, target: str, lengths: tuple[int, int], expected: str):
    assert reason(FilterConfig(), source, target, lengths) == expected


def test_everything_can_be_switched_off():
    config = FilterConfig(max_length=1_000_000, max_ratio=None, remove_empty=False)
    assert reason(config, "", "y", (0, 900_000)) is None


@pytest.mark.parametrize("settings", [{"max_length": 0}, {"max_ratio": 0.5}, {"max_ratios": 3.0}])
def test_impossible_settings(settings: dict[str, float]):
    with pytest.raises(ValueError, match=next(iter(settings))):
        FilterConfig(**settings)  # type: ignore[arg-type]


def test_a_report_counts_and_shows_three():
    report = FilterReport(kept=1234)
    assert str(report) == "all 1,234 pairs kept"
    for line in range(1, 6):
        report.drop("too long", Pair(f"source {line}", "x" * 300, line))
    report.drop("empty", Pair("", "y", 9))
    assert report.read == 1240
    assert report.dropped == {"too long": 5, "empty": 1}
    assert [line for line, _, _ in report.samples["too long"]] == [1, 2, 3]
    text = str(report)
    assert text.startswith("1,234 of 1,240 pairs kept\n  5 left out: too long\n    line 1: 'source 1' | 'xxx")
    assert max(map(len, text.splitlines())) < 250, "long sentences are shortened in the report"
    told = json.loads(json.dumps(report.to_json()))
    assert told["dropped"] == report.dropped
    assert told["samples"]["empty"] == [{"line": 9, "source": "", "target": "y"}]
