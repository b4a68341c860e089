"""PNGs that can be opened, fonts for what is written, and a clear word where matplotlib is missing."""

import sys

import numpy as np
import pytest

from henkan.errors import ConfigError, StorageError
from henkan.inspection import pictures
from henkan.inspection.attention import Alignment
from henkan.inspection.embeddings import principal_plane
from henkan.inspection.gradients import Flow, Measured, Subject

image = pytest.importorskip("matplotlib.image")

SUBJECTS = [
    Subject(
        "explodes $x",
        Measured([Flow("", 2.0 ** np.arange(90.0), None)], [1e5, 1e20]),
        Measured([Flow("", 2.0 ** np.arange(-90.0, 0), None)], [1.0, 1.0]),
    ),
    Subject(
        "vanishes",
        Measured([Flow("layer 1", np.zeros(3), np.ones(3)), Flow("layer 2", np.ones(4), None)], [0.5, float("inf")]),
        Measured([Flow("layer 1", np.zeros(3), np.ones(3)), Flow("layer 2", np.ones(4), None)], [0.5, float("nan")]),
    ),
]


def pixels(path):
    found = image.imread(path)
    assert found.std() > 0.01, "an empty picture"
    return found


def test_gradients_that_explode_vanish_or_are_no_numbers_can_be_drawn(tmp_path):
    assert pictures.gradients_picture(tmp_path / "a.png", SUBJECTS, 1.0, "steps from the end", "batch") == ""
    assert pixels(tmp_path / "a.png").shape[1] == 11 * pictures.DOTS_PER_INCH


def test_a_map_with_more_groups_than_colours(tmp_path):
    vectors = np.random.default_rng(1).normal(size=(20, 5))
    groups = [f"group {number // 2}" for number in range(20)]
    plane = principal_plane(vectors)
    assert pictures.map_picture(tmp_path / "a.png", plane, groups, [f"sentence $ {n}_" for n in range(20)], "x") == ""
    pixels(tmp_path / "a.png")


def test_an_alignment_is_dark_where_the_weight_is(tmp_path):
    alignment = Alignment(["one", "two", "</s>"], ["eins", "zwei", "</s>"], np.eye(3))
    assert pictures.alignment_picture(tmp_path / "a.png", alignment, "x") == ""
    pixels(tmp_path / "a.png")


def test_a_caption_wider_than_its_picture_is_broken(tmp_path):
    narrow = Alignment(["one", "</s>"], ["</s>"], np.ones((1, 2)))
    pictures.alignment_picture(tmp_path / "short.png", narrow, "x")
    pictures.alignment_picture(tmp_path / "long.png", narrow, "a caption of many words " * 5)
    short, long = pixels(tmp_path / "short.png"), pixels(tmp_path / "long.png")
    assert short.shape == long.shape
    margin = np.s_[:, [*range(4), *range(-4, 0)], :3]
    assert long[margin].min() == 1.0, "letters run over the edge"


def test_long_sentences_still_make_a_picture(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "LARGEST", 4.0)
    alignment = Alignment(["word"] * 25, ["wort"] * 25, np.eye(25))
    pictures.alignment_picture(tmp_path / "a.png", alignment, "x")
    assert max(pixels(tmp_path / "a.png").shape) == 4 * pictures.DOTS_PER_INCH


def test_characters_that_no_font_has_are_told(tmp_path):
    private = "\U00100000"  # nobody's character, which is printable nowhere
    unassigned = "\U0001e9f0"
    alignment = Alignment(["a", "</s>"], [f"{unassigned}{private}\n", "</s>"], np.eye(2))
    assert pictures.alignment_picture(tmp_path / "a.png", alignment, "x") in ("", unassigned)


def test_fonts_are_found_for_every_script_that_is_installed():
    from matplotlib.font_manager import fontManager

    from henkan.inspection.fonts import OWN, families_for

    assert families_for(["plain", "déjà"]) == ([OWN], "")
    families, missing = families_for(["変換 する"])
    if any("CJK JP" in font.name for font in fontManager.ttflist):
        assert families[0] == OWN
        assert "JP" in families[1]
        assert missing == ""
    else:
        assert set(missing) <= set("変換する")


def test_a_picture_that_cannot_be_written_leaves_nothing(tmp_path):
    with pytest.raises(StorageError, match="cannot be written"):
        pictures.alignment_picture(tmp_path / "none" / "a.png", Alignment(["a"], ["b"], np.ones((1, 1))), "x")
    assert not list(tmp_path.iterdir())


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ConfigError, match=r"pip install 'henkan\[plots\]'"):
        pictures.check_matplotlib()
