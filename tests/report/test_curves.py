"""A precision-recall picture shows the curves it is given, all inside the frame, and says what it cannot draw."""

import re

import numpy as np
import pytest
from PIL import Image
from sklearn import metrics as sklearn

from pumpgan.report.curves import COLOURS, draw_precision_recall, staircase

CURVE = {"precision": [1.0, 0.5, 0.6, 0.4], "recall": [0.25, 0.25, 0.75, 1.0], "average_precision": 0.65}


def test_the_area_under_the_stairs_is_the_average_precision():
    draw = np.random.default_rng(0)
    targets = draw.random(80) < 0.3
    probabilities = (0.3 * targets + draw.random(80)).round(1)
    precision, recall, _ = sklearn.precision_recall_curve(targets, probabilities)  # recall falls here
    x, y = staircase("a", recall, precision)
    area = (np.diff(x) * y[1:]).sum()
    assert area == pytest.approx(sklearn.average_precision_score(targets, probabilities))
    assert x[0] == 0 and x[-1] == 1 and (np.diff(x) >= 0).all()


def test_each_curve_is_drawn_in_a_colour_of_its_own_and_named_best_first(tmp_path):
    curves = {
        "none": CURVE,
        "with $2 more": CURVE | {"average_precision": 0.9},
        "untold": CURVE | {"average_precision": None},
    }
    draw_precision_recall(curves, tmp_path / "new" / "curves.svg", title="tiles")
    text = (tmp_path / "new" / "curves.svg").read_text()
    words = re.findall(r">([^<>]+)</t(?:ext|span)>", text)
    shown = [word for word in words if word in ("with $2 more", "AP 0.900", "none", "AP 0.650", "untold", "tiles")]
    assert shown == ["tiles", "with $2 more", "AP 0.900", "none", "AP 0.650", "untold"]
    assert all(f"stroke: {colour}" in text for colour in COLOURS[:3]) and COLOURS[3] not in text


def test_the_same_figures_give_the_same_bytes(tmp_path):
    for name in ("a.svg", "b.svg", "a.png", "b.png"):
        draw_precision_recall({"one": CURVE}, tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert min(Image.open(tmp_path / "a.png").size) > 600


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"precision": [1.0, 0.5]}, r"one: .*one length, got \[2\] and \[4\]"),
        ({"precision": [], "recall": []}, "one length"),
        ({"precision": [1.0, 0.5, float("nan"), 0.4]}, "one: .*0 to 1"),
        ({"recall": [0.5, 0.2, 0.6, 1.0]}, "rise all along"),
        ({"recall": [0.0] * 4}, "above 0"),
    ],
)
def test_what_is_no_curve_is_refused_by_its_name(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        draw_precision_recall({"one": CURVE | change}, tmp_path / "curves.png")
    assert not list(tmp_path.iterdir())


def test_no_curves_too_many_and_other_endings_are_refused(tmp_path):
    for curves, name, message in (({}, "a.png", "got 0"), ({str(n): CURVE for n in range(19)}, "a.png", "got 19")):
        with pytest.raises(ValueError, match=message):
            draw_precision_recall(curves, tmp_path / name)
    with pytest.raises(ValueError, match=r"\.png or \.svg, got .*a\.pdf"):
        draw_precision_recall({"one": CURVE}, tmp_path / "a.pdf")


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match=r"curves\.png: the picture was not written"):
        draw_precision_recall({"one": CURVE}, tmp_path / "file" / "curves.png")
