"""Label statistics against cases that can be counted by hand."""

import json
import time
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from pumpgan.metrics import labels as module
from pumpgan.metrics.labels import SHARE_EDGES, LabelStatistics, compare, statistics_table, table


@dataclass(frozen=True)
class Named:
    id: int
    name: str


CLASSES = [Named(0, "ground"), Named(1, "dot"), Named(5, "bar"), Named(9, "never")]


def maps(*pictures: str) -> np.ndarray:
    """Label maps from digits; lines by spaces."""
    return np.array([[[int(digit) for digit in line] for line in picture.split()] for picture in pictures], np.uint8)


def statistics(*pictures: str) -> LabelStatistics:
    gathered = LabelStatistics(CLASSES)
    gathered.update(maps(*pictures))
    return gathered


def test_presence_pixels_and_area_are_counted():
    figures = statistics("1100 1100 0000", "1000 0000 0000", "0000 0000 0000", "0000 0555 0000").result()
    assert figures["images"] == 4 and figures["size"] == [3, 4]
    dot = figures["classes"]["dot"]
    assert dot["presence_percent"] == 50 and dot["presence4_percent"] == 25
    assert dot["pixels_percent"] == pytest.approx(100 * 5 / 48)
    assert dot["area_pixels"] == 2.5 and dot["median_area_pixels"] == 2.5
    assert figures["classes"]["bar"]["area_pixels"] == 3


def test_pixels_that_meet_at_a_corner_are_one_piece_and_a_gap_makes_two():
    dot = statistics("1000 0100 0001", "1010 0000 1000").result()["classes"]["dot"]
    assert dot["components"] == (2 + 3) / 2
    assert dot["largest_share"] == pytest.approx((2 / 3 + 1 / 3) / 2)


def test_pieces_never_run_from_one_image_into_the_next():
    dot = statistics("1111 1111", "1111 1111").result()["classes"]["dot"]
    assert dot["components"] == 1 and dot["area_pixels"] == 8


def test_the_boundary_counts_sides_towards_other_classes_not_the_frame():
    figures = statistics("1100 1100 0000").result()["classes"]
    assert figures["dot"]["boundary_per_pixel"] == 4 / 4
    assert figures["ground"]["boundary_per_pixel"] == 4 / 8
    ring = statistics("00000 01110 01010 01110 00000").result()["classes"]["dot"]
    assert ring["boundary_per_pixel"] == (12 + 4) / 8


def test_touching_is_a_share_of_pieces_and_reaches_over_corners():
    # three dots: one beside the bar, one at its corner, one alone
    figures = statistics("155000 000100 000000 000001").result()["classes"]
    assert figures["dot"]["components"] == 3
    assert figures["dot"]["touching_percent"]["bar"] == pytest.approx(200 / 3)
    assert figures["dot"]["touching_percent"]["ground"] == 100
    assert figures["dot"]["touching_foreground_percent"] == pytest.approx(200 / 3)
    assert figures["bar"]["touching_percent"] == {"ground": 100, "dot": 100, "never": 0}


@pytest.mark.parametrize("picture", ["15 00", "10 50", "10 05", "01 50"])
def test_touching_holds_in_all_four_directions_and_both_ways(picture):
    figures = statistics(picture).result()["classes"]
    assert figures["dot"]["touching_percent"]["bar"] == figures["bar"]["touching_percent"]["dot"] == 100


def test_a_class_that_never_occurs_has_no_figures_instead_of_nan():
    result = statistics("1000").result()
    never = result["classes"]["never"]
    assert never["presence_percent"] == 0 and never["components"] is None and never["area_pixels"] is None
    json.dumps(result, allow_nan=False)


def test_the_histogram_has_a_bin_for_zero_and_closes_bins_above():
    gathered = LabelStatistics(CLASSES)
    pictures = np.zeros((4, 10, 100), np.uint8)
    for image, pixels in enumerate((0, 1, 2, 1000)):  # shares 0, 0.001, 0.002, 1
        pictures[image].flat[:pixels] = 1
    gathered.update(pictures)
    expected = [0] * (len(SHARE_EDGES) + 1)
    for share in (None, 0.001, 0.002, 1.0):
        expected[0 if share is None else 1 + SHARE_EDGES.index(share)] += 1
    assert gathered.result()["classes"]["dot"]["histogram"] == expected


def test_shares_are_per_image_and_sum_to_one():
    shares = statistics("1155 0000", "1111 1111").shares
    assert shares.tolist() == [[0.5, 0.25, 0.25, 0], [0, 1, 0, 0]]


def test_it_does_not_matter_how_the_maps_arrive(monkeypatch):
    pictures = np.random.default_rng(0).choice([0, 1, 5], size=(37, 9, 7)).astype(np.uint8)
    whole, parts, tensors = LabelStatistics(CLASSES), LabelStatistics(CLASSES), LabelStatistics(CLASSES)
    whole.update(pictures)
    monkeypatch.setattr(module, "PIXELS_AT_ONCE", 200)  # three maps at once
    for first in range(0, 37, 5):
        parts.update(pictures[first : first + 5])
    tensors.update(torch.from_numpy(pictures).long())
    assert whole.result() == parts.result() == tensors.result()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (np.zeros((2, 2), np.uint8), r"\[N, H, W\]"),
        (np.zeros((1, 2, 2), np.float32), "integers"),
        (np.full((1, 2, 2), 3), "got also \\[3\\]"),
        (np.full((1, 2, 2), -1), "got also \\[-1\\]"),
        (np.full((1, 2, 2), 256), "got also \\[256\\]"),
        (np.zeros((1, 3, 2), np.uint8), "size"),
    ],
)
def test_wrong_maps_are_refused_and_leave_nothing_behind(wrong, message):
    gathered = statistics("10 00")
    before = gathered.result()
    with pytest.raises(ValueError, match=message):
        gathered.update(wrong)
    assert gathered.result() == before


def test_no_maps_and_doubled_ids_are_refused():
    with pytest.raises(ValueError, match="no label maps"):
        LabelStatistics(CLASSES).result()
    with pytest.raises(ValueError, match="distinct"):
        LabelStatistics([Named(1, "a"), Named(1, "b")])


def test_the_wasserstein_distance_is_that_of_the_shares():
    # dot covers 0 and 1/2 of the real images, 1/4 and 1/4 of the generated: sorted shares differ by 1/4 each
    compared = compare(statistics("0000", "1100"), statistics("1000", "0100"))
    dot = compared["classes"]["dot"]
    assert dot["wasserstein"] == pytest.approx(0.25)
    assert dot["presence_ratio"] == 2 and dot["pixels_ratio"] == 1
    assert compared["classes"]["never"]["presence_ratio"] is None
    assert compared["images"] == {"real": 2, "generated": 2}
    json.dumps(compared, allow_nan=False)


def test_labels_like_the_real_ones_raise_no_warning():
    pictures = ["110000 000000 005500 005500"] * 10 + ["000000 000000 005500 005500"] * 10
    assert compare(statistics(*pictures), statistics(*pictures))["warnings"] == []


EMPTY = "000000 000000 000000 000000"


@pytest.mark.parametrize(
    ("real", "generated", "sign"),
    [
        (["100000 000000 000000 000000"] * 20, [EMPTY] * 20, "dot: vanished"),
        (
            ["110000 000000 000000 000000"] * 20,
            ["111000 111000 000000 000000"] * 6 + [EMPTY] * 14,
            "dot: slabs",
        ),
        (["110000 000000 000000 000000"] * 20, ["101010 000000 100000 000000"] * 20, "dot: crumbs"),
        (["110000 000000 000000 000000"] * 20, ["111110 000000 000000 000000"] * 20, "dot: blobs"),
        (["150000 000000 000000 000000"] * 20, ["100500 000000 000000 000000"] * 20, "dot: adrift"),
        (
            ["110000 000000 000000 000000"] * 20,
            ["110000 000000 000000 000000"] * 9 + [EMPTY] * 11,
            "dot: too rarely; in 45.0 % of images, real 100.0 %",
        ),
        (
            ["110000 000000 000000 000000"] * 7 + [EMPTY] * 13,
            ["110000 000000 000000 000000"] * 15 + [EMPTY] * 5,
            "dot: too often; in 75.0 % of images, real 35.0 %",
        ),
    ],
)
def test_each_sign_of_a_failing_generator_is_named(real, generated, sign):
    compared = compare(statistics(*real), statistics(*generated))
    assert any(line.startswith(sign) for line in compared["warnings"]), compared["warnings"]
    assert sign in table(compared)


def test_a_class_that_lost_all_its_neighbours_is_told_once():
    real, generated = ["550000 510000 000000 000000"] * 20, ["550000 550000 000000 000001"] * 20
    warnings = compare(statistics(*real), statistics(*generated))["warnings"]
    (line,) = [warning for warning in warnings if warning.startswith("dot")]
    assert line == "dot: adrift; of its pieces touch bar 0 % (real 100 %), any other class 0 % (real 100 %)"


def test_presence_is_not_judged_on_a_handful_of_images():
    some, none = "110000 000000 000000 000000", EMPTY
    real, generated = statistics(*[some] * 14, *[none] * 6), statistics(*[some] * 5, *[none] * 15)
    assert compare(real, generated)["warnings"] == []  # 14 were to be expected and 5 came


def test_a_presence_that_was_asked_for_is_not_warned_of():
    some, none = "110000 000000 000000 000000", EMPTY
    real, generated = statistics(*[some] * 8, *[none] * 12), statistics(*[some] * 17, *[none] * 3)
    (line,) = compare(real, generated)["warnings"]
    assert line.startswith("dot: too often")
    assert compare(real, generated, asked={"dot": 2.0})["warnings"] == []
    (line,) = compare(generated, real, asked={"dot": 1.1})["warnings"]
    assert line == "dot: too rarely; in 40.0 % of images, real 85.0 %, times 1.1 asked"


def test_shapes_are_not_judged_on_a_handful_of_images():
    real = ["110000 000000 000000 000000"] * 4 + [EMPTY] * 16
    compared = compare(statistics(*real), statistics(*["101010 000000 100000 000000"] * 20))
    assert compared["warnings"] == []


def test_only_equal_classes_and_sizes_are_compared():
    other = LabelStatistics(CLASSES[:3])
    other.update(maps("10 00"))
    with pytest.raises(ValueError, match="classes"):
        compare(statistics("10 00"), other)
    with pytest.raises(ValueError, match="size"):
        compare(statistics("10 00"), statistics("100 000"))


def test_tables_have_a_line_a_class_with_columns_that_align():
    lines = statistics_table(statistics("1100 0000").result()).splitlines()
    headings = ["class", "ground", "dot", "bar", "never"]
    assert lines[0] == "1 label maps" and lines[6] == "images by the share of their pixels"
    for part in (lines[1:6], lines[7:]):
        assert [line.split()[0] for line in part] == headings and len({len(line) for line in part}) == 1


def test_ten_thousand_maps_would_take_under_a_minute():
    coarse = np.random.default_rng(0).choice([0, 1, 5, 9], size=(400, 16, 16))
    gathered, start = LabelStatistics(CLASSES), time.process_time()
    gathered.update(coarse.repeat(4, axis=1).repeat(4, axis=2))  # 64 x 64
    assert time.process_time() - start < 60 * 400 / 10_000
