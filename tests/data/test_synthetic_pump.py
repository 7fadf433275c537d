"""Synthetic pumps: one photograph from one seed, defects as rare and small as planned, seen where they are labelled."""

import json
from functools import cache, partial

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from pumpgan.data import synthetic_pump
from pumpgan.data.check import check
from pumpgan.data.dataset import Dataset
from pumpgan.data.importers import IMPORTERS, ImportOptions, import_dataset, own_options
from pumpgan.data.importers.crops import boxes, centre
from pumpgan.data.importers.synthetic import plan_synthetic_pump
from pumpgan.data.synthetic_pump import (
    LARGEST_PLACEMENT,
    defects_of,
    develop,
    draw_setting,
    frame_size,
    generator,
    ideal,
    kind_of,
    photograph,
    placement,
    render_plate,
)
from pumpgan.data.synthetic_pump_defects import EDGES, KINDS, apply, draw_defect

QUARTER = 0.25


@pytest.fixture
def small(monkeypatch):
    """Imports photographs of a quarter of the size each way."""
    monkeypatch.setitem(IMPORTERS, "synthetic-pump", partial(plan_synthetic_pump, scale=QUARTER))


@cache
def labels(count: int = 240) -> np.ndarray:
    """Labels of a quarter of the size, without the photographs."""
    drawn = np.zeros((count, *frame_size(QUARTER)), np.uint8)
    brightness = np.full(drawn.shape[1:], 0.5, np.float32)
    for index, label in enumerate(drawn):
        for defect in defects_of(3, index):
            apply(defect, brightness, label, placement(3, index, QUARTER), QUARTER)
    return drawn


# Photographs -------------------------------------------------------------------------------------------------


def test_the_same_seed_and_index_give_the_same_photograph_and_others_another():
    image, label = photograph(5, 11, QUARTER)
    assert image.shape == label.shape == (556, 800) and image.dtype == label.dtype == np.uint8
    photograph(5, 3, QUARTER)
    again, label_again = photograph(5, 11, QUARTER)
    assert np.array_equal(image, again) and np.array_equal(label, label_again)
    for seed, index in ((5, 12), (6, 11), (11, 5)):
        assert np.abs(photograph(seed, index, QUARTER)[0].astype(int) - image).mean() > 1


@pytest.mark.parametrize(("seed", "index", "scale"), [(-1, 0, 1.0), (0, -1, 1.0), (0, 0, 0.01), (0, 0, 1.5)])
def test_values_out_of_range_are_refused(seed, index, scale):
    with pytest.raises(ValueError, match=r"synthetic pump: .* must"):
        photograph(seed, index, scale)


def test_the_part_lies_where_its_placement_says():
    scale, inner = 0.5, slice(40, -40)
    still = ideal(scale)[inner, inner].astype(np.float32)
    seen = set()
    for index in range(4):
        image = photograph(1, index, scale)[0].astype(np.float32)
        errors = {
            (down, right): np.abs(np.roll(image, (-down, -right), (0, 1))[inner, inner] - still).mean()
            for down in range(-5, 6)
            for right in range(-5, 6)
        }
        found = min(errors, key=lambda shift: errors[shift])
        assert found == placement(1, index, scale)
        seen.add(found)
    assert len(seen) > 1


def test_placements_are_a_few_pixels_and_differ():
    placements = np.array([placement(0, index) for index in range(100)])
    assert np.abs(placements).max() <= LARGEST_PLACEMENT and (placements.std(axis=0) > 3).all()


def test_exposure_differs_from_photograph_to_photograph_and_light_over_the_frame():
    goods = [index for index in range(30) if kind_of(0, index) == "good"]
    images = np.stack([photograph(0, index, QUARTER)[0] for index in goods]).astype(np.float32)
    means = images.mean(axis=(1, 2))
    assert 0.02 < (means / means.mean()).std() < 0.12
    halves = images[:, :, :400].mean(axis=(1, 2)) / images[:, :, 400:].mean(axis=(1, 2))
    assert 0.005 < halves.std() < 0.06


def test_the_tool_s_marks_are_rings_that_differ_between_parts():
    plate = render_plate(QUARTER)
    settings = draw_setting(0, 0, QUARTER)
    marks = [
        develop(plate, settings, generator(0, index, 2), QUARTER)
        - plate.image[
            plate.margin - settings.placement[0] : plate.image.shape[0] - plate.margin - settings.placement[0],
            plate.margin - settings.placement[1] : plate.image.shape[1] - plate.margin - settings.placement[1],
        ]
        for index in (0, 1)
    ]
    floor = slice(260, 290), slice(280, 310)  # of the left chamber
    assert all(m[floor].std() > 0.01 for m in marks)  # the grain alone: 0.005
    assert np.corrcoef(marks[0][floor].ravel(), marks[1][floor].ravel())[0, 1] < 0.5


# Defects -----------------------------------------------------------------------------------------------------


def test_patches_hold_defects_as_rarely_and_as_small_as_in_the_thesis():
    shares, patches = [], 0
    area = centre(frame_size(QUARTER), 480)
    for index, label in enumerate(labels()):
        for _, (left, top, right, bottom) in zip(range(64), boxes(f"{index}", 0, area, 64), strict=False):
            patches += 1
            share = (label[top:bottom, left:right] > 0).mean()
            shares += [share] if share else []
    assert 0.035 < len(shares) / patches < 0.065
    assert 0.018 < np.mean(shares) < 0.035


def test_about_half_of_the_photographs_are_wholly_good():
    assert 0.4 < (labels() > 0).any(axis=(1, 2)).mean() < 0.6


def test_few_defects_are_large():
    areas = np.array([defect.area for index in range(1000) for defect in defects_of(0, index)])
    assert np.median(areas) < 0.55 * areas.mean()
    assert areas[areas > np.quantile(areas, 0.9)].sum() > 0.4 * areas.sum()
    assert (areas < 200).mean() > 0.05


def test_every_defect_leaves_pixels_in_the_area_that_is_used():
    left, top, right, bottom = centre(frame_size(QUARTER), 480)
    for index, label in enumerate(labels(240)):
        used = label[top:bottom, left:right]
        assert used.any() == (kind_of(3, index) != "good")
        for defect in defects_of(3, index):
            if defect.area > 300:  # at a quarter of the size smaller ones may fall between the pixels
                assert (label == 1 + KINDS.index(defect.kind)).any()


def test_a_photograph_s_kind_is_that_of_its_largest_defect():
    kinds = {kind_of(0, index) for index in range(60)}
    assert kinds == {"good", *KINDS}
    for index in range(20):
        defects = defects_of(0, index)
        largest = max(defects, key=lambda d: d.area, default=None)
        assert kind_of(0, index) == ("good" if largest is None else largest.kind)


def test_burrs_sit_on_the_edges_of_bores():
    random = np.random.default_rng(0)
    burrs = [defect for defect in (draw_defect(random) for _ in range(120)) if defect.kind == "burr"]
    assert len(burrs) > 8
    for burr in burrs:
        assert min(abs(np.hypot(burr.x - x, burr.y - y) - radius) for x, y, radius in EDGES) < 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_a_defect_is_seen_where_the_label_says_and_nowhere_else(kind):
    scale, random = 0.5, np.random.default_rng(4)
    before = develop(render_plate(scale), draw_setting(0, 0, scale), generator(0, 0, 2), scale)
    defects = [d for d in (draw_defect(random) for _ in range(150)) if d.kind == kind and d.area > 300][:8]
    assert len(defects) == 8
    seen, covered = 0, 0
    for defect in defects:
        image, label = before.copy(), np.zeros(before.shape, np.uint8)
        apply(defect, image, label, placement(0, 0, scale), scale)
        changed, inside = np.abs(image - before) > 6 / 255, label > 0
        assert set(np.unique(label)) == {0, 1 + KINDS.index(kind)}
        assert not (changed & ~ndimage.binary_dilation(inside)).any()
        outline = inside & ~ndimage.binary_erosion(inside, border_value=1)
        assert (changed & ndimage.binary_dilation(outline))[outline].mean() > 0.3  # the outline itself is seen
        seen, covered = seen + (changed & inside).sum(), covered + inside.sum()
        assert 0.4 * defect.area * scale**2 < inside.sum() < 1.8 * defect.area * scale**2
    assert seen > 0.75 * covered


# Import ------------------------------------------------------------------------------------------------------


def test_full_photographs_come_back_through_pump_as_the_same_patches(tmp_path):
    drawn = import_dataset("synthetic-pump", tmp_path / "drawn", photographs=tmp_path / "full", count=4, patches=8)
    read = import_dataset("pump", tmp_path / "read", tmp_path / "full", patches=8)
    assert check(tmp_path / "drawn") == []
    assert Image.open(tmp_path / "full" / "images" / "pump_00000.png").size == (3200, 2224)
    assert {e.kind for e in drawn.entries} == {kind_of(0, index) for index in range(4)} > {"good"}
    assert (drawn.channels, drawn.flips, drawn.size) == (1, "hv", (128, 128))
    again = {entry.name: entry for entry in read.entries}
    assert len(again) == len(drawn.entries) == 32
    for entry in drawn.entries:
        other = again[entry.name]
        assert (entry.box, entry.image_label, entry.brightness) == (other.box, other.image_label, other.brightness)
        np.testing.assert_array_equal(drawn.image(entry), read.image(other))
        np.testing.assert_array_equal(drawn.label(entry), read.label(other))
        truth = placement(0, int(entry.name.split("_")[1]))
        assert np.abs(np.subtract(entry.shift, truth)).max() < 1  # pixels of 3200


def test_the_first_photographs_are_the_same_whatever_the_count():
    few, many = (plan_synthetic_pump(None, count=count, seed=2).photographs for count in (3, 9))
    assert [(p.name, p.kind) for p in few] == [(p.name, p.kind) for p in many[:3]]
    assert len(plan_synthetic_pump(None).photographs) == 200


def test_a_photograph_is_drawn_again_from_what_dataset_json_says(tmp_path, small):
    made = import_dataset(
        "synthetic-pump", tmp_path / "set", photographs=tmp_path / "full", count=3, seed=4, patches=0, classes="kinds"
    )
    source = json.loads((tmp_path / "set" / "dataset.json").read_text())["source"]
    assert source["folder"] is None and source["options"] == {"count": 3, "seed": 4, "patches": 0, "classes": "kinds"}
    importer = IMPORTERS[source["importer"]]
    plan = importer(None, **own_options(source["importer"], importer, ImportOptions(**source["options"])))
    for entry, again in zip(made.entries, plan.photographs, strict=True):
        image, label = again.read()
        assert (entry.name, entry.kind) == (again.name, again.kind)
        np.testing.assert_array_equal(Image.open(tmp_path / "full" / "images" / f"{again.name}.png"), image)
        np.testing.assert_array_equal(
            np.asarray(Image.open(tmp_path / "full" / "masks" / f"{again.name}.png")), 255 * (label > 0)
        )


def test_kinds_become_classes_when_asked(tmp_path, small):
    opened = import_dataset("synthetic-pump", tmp_path / "set", count=12, patches=0, classes="kinds", resolution=480)
    assert opened.class_names == ("good", *KINDS)
    found = set()
    for entry in opened.entries:
        index, ids = int(entry.name.split("_")[1]), set(np.unique(opened.label(entry))) - {0}
        assert ids <= {1 + KINDS.index(defect.kind) for defect in defects_of(0, index)}
        found |= ids
    assert len(found) >= 4


def test_photographs_of_faces_keep_their_ids(tmp_path):
    made = import_dataset("synthetic-face", tmp_path / "set", photographs=tmp_path / "full", count=2, resolution=32)
    for entry in made.entries:
        assert np.array_equal(Image.open(tmp_path / "full" / "masks" / f"{entry.name}.png"), made.label(entry))


@pytest.mark.parametrize(
    ("source", "photographs", "match"),
    [
        ("pump", "full", "photographs: pump reads photographs"),
        ("synthetic-pump", "set", "photographs: must be another folder"),
        ("synthetic-pump", "set/full", "photographs: must be another folder"),
        ("synthetic-pump", ".", "photographs: must be another folder"),
        ("synthetic-pump", "taken", "taken: is not empty"),
    ],
)
def test_a_place_that_photographs_cannot_go_to_is_refused(tmp_path, small, source, photographs, match):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine.txt").write_text("mine")
    with pytest.raises((ValueError, OSError), match=match):
        import_dataset(
            source, tmp_path / "set", tmp_path if source == "pump" else None, photographs=tmp_path / photographs
        )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["taken"]


def test_an_import_that_fails_leaves_no_photographs(tmp_path, small, monkeypatch):
    def fails(image, setting, random):
        raise OSError("no light")

    monkeypatch.setattr(synthetic_pump, "expose", fails)
    with pytest.raises(ValueError, match="no light"):
        import_dataset("synthetic-pump", tmp_path / "set", photographs=tmp_path / "full", count=2)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_to_read_is_refused(tmp_path):
    with pytest.raises(ValueError, match="from: synthetic-pump reads nothing"):
        import_dataset("synthetic-pump", tmp_path / "set", tmp_path)


def test_training_crops_with_a_defect_can_be_asked_for(tmp_path, small):
    opened = import_dataset("synthetic-pump", tmp_path / "set", count=16, patches=0, crop=64, with_defect=20)
    assert isinstance(opened, Dataset) and len(opened.split("train")) == 20
    assert all(entry.image_label == "defect" for entry in opened.entries)
