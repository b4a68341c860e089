"""Pages and numbers say what was measured, and nothing from outside becomes markup."""

import json
import re

import numpy as np

from henkan.inspection import page
from henkan.inspection.attention import Alignment
from henkan.inspection.embeddings import neighbours, principal_plane
from henkan.inspection.gradients import Flow, Measured, Subject

STEPS = Measured([Flow("", np.array([1.0, 0.1, 0.01]), np.array([2.0, 2.0, 2.0]))], [4.0, 5.0])
ODD = Measured([Flow("", np.array([1.0, 0.0, np.inf]), None)], [np.nan])
SUBJECTS = [Subject("<lstm>", STEPS, STEPS), Subject("odd", ODD, ODD)]


def test_the_page_of_gradients_has_a_chart_for_each_norm_off_and_on():
    text = page.gradients_page("t", ["r & s"], SUBJECTS, 1.0, "steps from the end", "batch")
    assert text.count('<figure class="chart">') == 6
    assert "&lt;lstm&gt;" in text and "<lstm>" not in text
    assert "r &amp; s" in text
    curves = re.findall(r'class="line first" d="M([^"]+)"', text)
    heights = [float(point.split()[1]) for point in curves[0].split("L")]
    assert heights == [0.0, 50.0, 100.0], "equal ratios, equal distances"
    assert ">0.100<" in text, "the factor a step"


def test_numbers_that_are_none_are_null():
    told = json.loads(page.gradients_json(SUBJECTS, {"clip": 1.0}))
    first, second = told["subjects"]
    assert first["off"]["flows"][0] == {"layer": "", "hidden": [1.0, 0.1, 0.01], "cell": [2.0, 2.0, 2.0]}
    assert second["off"] == {"flows": [{"layer": "", "hidden": [1.0, 0.0, None], "cell": None}], "global_norms": [None]}


def test_the_map_lists_every_sentence():
    vectors = np.random.default_rng(4).normal(size=(4, 3))
    sentences, groups = ["a < b", "日本語", "c", "d"], ["x", "x", "y", "y"]
    plane = principal_plane(vectors)
    text = page.map_page("t", [], plane, groups, sentences)
    assert text.count("<circle") == 4
    assert "a &lt; b" in text and "日本語" in text
    told = json.loads(page.map_json(plane, neighbours(vectors, groups), groups, sentences, {"model": "m"}))
    assert told["sentences"][1]["sentence"] == "日本語"
    np.testing.assert_allclose([row["point"] for row in told["sentences"]], plane.points, rtol=1e-5)
    assert set(told["neighbours"]) == {"same", "chance", "ratio"}


def test_an_alignment_is_drawn_square_by_square():
    alignment = Alignment(["x", "</s>"], ["<b>", "</s>"], np.array([[0.25, 0.75], [1.0, 0.0]]))
    text = page.attention_page("t", [], [alignment])
    assert re.findall(r'fill-opacity="([\d.]+)"', text) == ["0.250", "0.750", "1.000", "0.000"]
    assert "&lt;b&gt; ← x: 0.25" in text
    told = json.loads(page.attention_json([alignment], {}))
    assert told["sentences"] == [
        {"source": ["x", "</s>"], "target": ["<b>", "</s>"], "weights": [[0.25, 0.75], [1, 0]]}
    ]


def test_pages_ask_for_nothing():
    alignment = Alignment(["x"], ["y"], np.ones((1, 1)))
    for text in (
        page.attention_page("t", [], [alignment]),
        page.gradients_page("t", [], SUBJECTS, 1.0, "steps", "batch"),
    ):
        assert not re.search(r"<(script|link|img|iframe)|src=|href=|url\(", text)
        assert "prefers-color-scheme: dark" in text
        assert "width=device-width" in text


def test_wide_characters_count_twice():
    assert page.columns("ab語") == 4
