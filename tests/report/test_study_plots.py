"""Pictures of a study show each arm, each repeat and the baseline, and say what they cannot draw."""

import re

import numpy as np
import pytest
from PIL import Image

from pumpgan.report.drawing import COLOURS
from pumpgan.report.study_plots import draw_class_shares, draw_scores, draw_sensitivity

ARMS = {"none": [0.1, 0.2], "with $2 more": [0.3, 0.5], "alone": [0.4]}
CURVES = {"ours": {0: [0.1, 0.2], 1000: [0.3, 0.5]}, "pasted": {1000: [0.25]}}
SHARES = {"defect": {"real": [0.0, 0.02, 0.3, 0.05], "generated": [0.0, 0.0, 0.01]}}


def words(path) -> list[str]:
    return re.findall(r">([^<>]+)</t(?:ext|span)>", path.read_text())


def test_scores_show_mean_and_deviation_of_each_arm_and_the_baselines_line(tmp_path):
    draw_scores(ARMS, tmp_path / "a.svg", score="F1", baseline="none", title="tiles")
    shown = words(tmp_path / "a.svg")
    for word in ("tiles", "F1", *ARMS, "0.150 ± 0.071", "0.400 ± 0.141", "0.400"):
        assert word in shown, word
    assert "stroke-dasharray" in (tmp_path / "a.svg").read_text()
    draw_scores(ARMS, tmp_path / "b.svg", score="F1")
    assert "stroke-dasharray" not in (tmp_path / "b.svg").read_text()


def test_a_sensitivity_has_a_line_a_curve_and_the_baseline_across(tmp_path):
    path = tmp_path / "a.svg"
    draw_sensitivity(
        CURVES, path, varied="images added", score="F1", baseline=[0.1, 0.12], baseline_name="none", title="tiles"
    )
    shown, text = words(path), path.read_text()
    assert {"images added", "F1", "tiles", "ours", "pasted", "none"} <= set(shown)
    assert COLOURS[0] in text and COLOURS[1] in text and COLOURS[2] not in text


def test_a_logarithmic_axis_names_the_places_that_were_measured(tmp_path):
    curve = {"earring": {0.1: [1.0], 0.6: [2.0], 3.0: [1.5]}}
    draw_sensitivity(curve, tmp_path / "a.svg", varied="weight", score="presence", logarithmic=True)
    assert {"0.1", "0.6", "3"} <= set(words(tmp_path / "a.svg"))
    with pytest.raises(ValueError, match="ours: needs places that are finite and above 0"):
        draw_sensitivity(CURVES, tmp_path / "b.svg", varied="weight", score="F1", logarithmic=True)


def test_class_shares_say_how_many_images_have_the_class_and_how_many_lie_beyond_the_cut(tmp_path):
    draw_class_shares(SHARES, tmp_path / "a.svg", cut=0.1)
    shown = words(tmp_path / "a.svg")
    for word in ("defect", "real: in 75.0 % of 4", "(1 beyond 10 %)", "generated: in 33.3 % of 3"):
        assert word in shown, word
    draw_class_shares(SHARES, tmp_path / "b.svg")
    assert not any("beyond" in word for word in words(tmp_path / "b.svg"))


def test_each_class_has_a_panel_even_one_that_is_nowhere(tmp_path):
    sets = {"real": [0.1, 0.2], "generated": [0.0, 0.3]}
    draw_class_shares(
        {"brow": sets, "hat": {"real": [0.0], "generated": [0.0]}, "ear": sets, "eye": sets}, tmp_path / "a.png"
    )
    draw_class_shares({"brow": sets}, tmp_path / "b.png")
    assert Image.open(tmp_path / "a.png").width > 1.5 * Image.open(tmp_path / "b.png").width


def test_the_same_figures_give_the_same_bytes(tmp_path):
    for name in ("a.svg", "b.svg"):
        draw_scores(ARMS, tmp_path / "scores" / name, score="F1")
        draw_sensitivity(CURVES, tmp_path / "curves" / name, varied="images", score="F1")
        draw_class_shares(SHARES, tmp_path / "shares" / name)
    for folder in ("scores", "curves", "shares"):
        assert (tmp_path / folder / "a.svg").read_bytes() == (tmp_path / folder / "b.svg").read_bytes()


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda path: draw_scores({}, path, score="F1"), r"one of the arms \(none\), got None"),
        (lambda path: draw_scores(ARMS, path, score="F1", baseline="real"), "with .* alone, got real"),
        (lambda path: draw_scores({"a": []}, path, score="F1"), "draw_scores: a: needs a finite score"),
        (lambda path: draw_scores({"a": [np.nan]}, path, score="F1"), "draw_scores: a: needs a finite score"),
        (lambda path: draw_sensitivity({}, path, varied="x", score="y"), "1 to 6 curves, got 0"),
        (lambda path: draw_sensitivity({"a": {}}, path, varied="x", score="y"), "a: needs places"),
        (lambda path: draw_sensitivity({"a": {5: []}}, path, varied="x", score="y"), "a at 5: needs a finite score"),
        (lambda path: draw_class_shares({}, path), "needs classes"),
        (lambda path: draw_class_shares(SHARES, path, cut=10), "above 0 up to 1, got 1, 40, 10"),
        (lambda path: draw_class_shares({"hat": {}}, path), "hat: needs 1 to 6 sets, got 0"),
        (lambda path: draw_class_shares({"hat": {"real": [2.5]}}, path), "hat: real: needs a share of 0 to 1"),
        (lambda path: draw_class_shares({"hat": {"real": []}}, path), "hat: real: needs a share of 0 to 1"),
    ],
)
def test_what_cannot_be_drawn_is_refused_before_anything_is_written(tmp_path, draw, message):
    with pytest.raises(ValueError, match=message):
        draw(tmp_path / "a.png")
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match=r"must end in \.png or \.svg, got .*a\.pdf"):
        draw(tmp_path / "a.pdf")


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match=r"a\.png: the picture was not written"):
        draw_scores(ARMS, tmp_path / "file" / "a.png", score="F1")
