"""Axes and curves."""

import itertools
import re

import pytest

from henkan.pages.charts import TONES, Series, compact, decades, line_chart, power, thinned, ticks
from henkan.pages.document import light_colours, style


@pytest.mark.parametrize(("low", "high"), [(0, 1), (1.83, 10.4), (0, 0.002), (8432, 9431), (5, 5), (0, 0), (-3, 2)])
def test_ticks_enclose_the_data_in_round_steps(low, high):
    found = ticks(low, high)
    assert found[0] <= low <= high <= found[-1]
    assert 2 <= len(found) <= 8
    steps = {round(after - before, 9) for before, after in itertools.pairwise(found)}
    assert len(steps) == 1
    assert f"{steps.pop():.6e}"[:3] in {"1.0", "2.0", "2.5", "5.0"}


def test_numbers_on_axes_are_short():
    assert [compact(x) for x in (0, 0.0005, 0.00002, 2.5, 950, 1000, 12500, 3e6)] == [
        "0", "0.0005", "2e-05", "2.5", "950", "1k", "12.5k", "3M",
    ]  # fmt: skip


def test_what_is_counted_has_no_fractions_on_its_axis():
    def marks(last: float, whole: bool) -> list[str]:
        chart = line_chart("a", "", [Series("b", [(1, 1.0)])], last=last, whole=whole)
        return re.findall(r'<span class="x"[^>]*>([^<]+)<', chart)

    assert marks(1, whole=True) == ["0", "1"]
    assert marks(1, whole=False) == ["0", "0.2", "0.4", "0.6", "0.8", "1"]
    assert marks(11, whole=True) == ["0", "5", "10"]


def test_thinning_keeps_the_mean():
    points = [(float(x), float(x * x)) for x in range(1200)]
    few, group = thinned(points, most=300)
    assert (len(few), group) == (300, 4)
    assert sum(y for _, y in few) / 300 == pytest.approx(sum(y for _, y in points) / 1200)
    assert thinned(points[:300], most=300) == (points[:300], 1)


@pytest.mark.parametrize(("low", "high"), [(1, 10), (0.02, 0.03), (3e-13, 4e7), (1, 1), (1e-5, 1e-4)])
def test_decades_enclose_the_data_in_powers_of_ten(low, high):
    found = decades(low, high)
    assert found[0] <= low * 1.001
    assert high <= found[-1] * 1.001
    assert 2 <= len(found) <= 7
    ratios = {round(after / before, 6) for before, after in itertools.pairwise(found)}
    assert len(ratios) == 1


def test_powers_are_written_as_such():
    assert [power(value) for value in (1e-12, 0.1, 1, 10, 1000.0)] == ["10⁻¹²", "10⁻¹", "1", "10", "10³"]


def test_a_logarithmic_axis_puts_equal_ratios_at_equal_distances():
    chart = line_chart("a", "", [Series("b", [(0, 1.0), (1, 10.0), (2, 100.0)])], last=2, logarithmic=True)
    (curve,) = re.findall(r'class="line first" d="M([^"]+)"', chart)
    assert [float(point.split()[1]) for point in curve.split("L")] == [100.0, 50.0, 0.0]


def test_every_tone_has_a_colour_in_light_and_in_dark():
    assert len(set(light_colours())) == len(TONES)
    for tone in TONES:
        assert len(re.findall(rf"--{tone}: #[0-9a-f]{{6}}", style())) == 2
        assert f".{tone} {{ --tone: var(--{tone}); }}" in style()
