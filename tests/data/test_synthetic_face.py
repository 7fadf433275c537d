"""Synthetic faces: classes as frequent as in CelebAMask-HQ, the same face from the same seed, image and label agree."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from pumpgan.data.dataset import FACE_CLASSES
from pumpgan.data.synthetic_face import draw, draw_traits, paint

IDS = {entry.name: entry.id for entry in FACE_CLASSES}


@cache
def labels() -> np.ndarray:
    return np.stack([draw(7, index, 64)[1] for index in range(400)])


def plain(**changes):
    """An even-lit bald person who wears nothing, and what is changed about them."""
    nothing = {"style": "bald", "tucked": (True, True), "glasses": "none", "hat": "none", "earrings": (False, False)}
    return replace(draw_traits(0, 3), **{"yaw": 0.0, "beard": "none", **nothing, **changes})


@pytest.mark.parametrize("size", [32, 64, 100, 256])
def test_shapes_and_types_hold_at_any_size(size):
    image, label = draw(1, 2, size)
    assert image.shape == (size, size, 3) and image.dtype == np.uint8
    assert label.shape == (size, size) and label.dtype == np.uint8 and label.max() <= 10
    assert image.std() > 20


@pytest.mark.parametrize(("seed", "index", "size"), [(-1, 0, 64), (0, -1, 64), (0, 0, 31), (0, 0, 513)])
def test_values_out_of_range_are_refused(seed, index, size):
    with pytest.raises(ValueError, match="synthetic face"):
        draw(seed, index, size)


def test_the_same_seed_and_index_give_the_same_face_and_others_another():
    image, label = draw(5, 11, 64)
    again, label_again = draw(5, 11, 64)
    assert np.array_equal(image, again) and np.array_equal(label, label_again)
    for seed, index in ((5, 12), (6, 11), (11, 5)):
        assert np.abs(draw(seed, index, 64)[0].astype(int) - image).mean() > 5


def test_a_face_is_the_same_person_at_every_size():
    for index in range(8):
        large, fine = draw(2, index, 256)
        small, coarse = draw(2, index, 64)
        shrunk = large.reshape(64, 4, 64, 4, 3).mean(axis=(1, 3))
        assert np.abs(shrunk - small).mean() < 6
        assert (fine[2::4, 2::4] == coarse).mean() > 0.94


# presence in percent of images, pixels in percent of all: the range for 400 faces around CelebAMask-HQ's own figures
BOUNDS = {
    "background": ((100, 100), (33, 46)),
    "skin": ((100, 100), (20, 29)),
    "nose": ((99, 100), (1.6, 2.4)),
    "eyes": ((96, 100), (0.35, 0.8)),
    "eyebrows": ((95, 100), (0.6, 1.1)),
    "ears": ((58, 78), (0.5, 1.1)),
    "mouth": ((99, 100), (1.0, 1.7)),
    "hair": ((95, 99.5), (25, 35)),
    "hat": ((2, 9), (0.4, 2)),
    "eyeglass": ((2, 9), (0.1, 0.6)),
    "earring": ((25, 41), (0.17, 0.45)),
}


@pytest.mark.parametrize("name", BOUNDS)
def test_classes_are_as_frequent_as_in_celebamask_hq(name):
    (fewest, most), (least, largest) = BOUNDS[name]
    found = labels() == IDS[name]
    assert fewest <= 100 * found.any(axis=(1, 2)).mean() <= most
    assert least <= 100 * found.mean() <= largest


def test_earrings_survive_at_32_pixels_in_nearly_all_images():
    areas = (labels() == IDS["earring"]).sum(axis=(1, 2))
    wearing = np.flatnonzero(areas)
    assert 12 <= np.median(areas[wearing]) <= 45
    small = [(draw(7, int(index), 32)[1] == IDS["earring"]).any() for index in wearing]
    assert np.mean(small) > 0.85


def test_earrings_are_worn_on_free_ears_only():
    for index in range(400):
        traits = draw_traits(7, index)
        assert all(free or not worn for free, worn in zip(traits.tucked, traits.earrings, strict=True))


def changed(with_it, without, size=128):
    """Pixels whose colour differs visibly between two portraits, and the first one's label."""
    (image, label), (plain_image, _) = paint(with_it, size), paint(without, size)
    return np.abs(image.astype(int) - plain_image).max(axis=2) > 12, label


@pytest.mark.parametrize("kind", ["stud", "hoop", "drop", "chain"])
def test_an_earring_is_where_the_label_says_and_nowhere_else(kind):
    person = plain(earrings=(True, True), earring=kind, earring_size=1.3)
    differs, label = changed(person, plain(earring=kind, earring_size=1.3))
    worn = label == IDS["earring"]
    assert worn[:, :64].any() and worn[:, 64:].any()
    assert differs[worn].mean() > 0.75  # a gem may have the colour of the skin here and there
    near = worn.copy()
    for axis in (0, 1):
        near |= np.roll(near, 1, axis) | np.roll(near, -1, axis)
    assert not differs[~near].any()


@pytest.mark.parametrize("kind", ["beanie", "cap", "brim"])
def test_a_hat_is_drawn_where_its_label_is(kind):
    differs, label = changed(plain(hat=kind, hat_colour=(0.1, 0.5, 0.9)), plain())
    worn = label == IDS["hat"]
    assert 0.12 < worn.mean() < 0.45 and differs[worn].mean() > 0.95


@pytest.mark.parametrize("kind", ["round", "square", "sun"])
def test_clear_lenses_keep_the_eyes_and_dark_ones_hide_them(kind):
    _, label = paint(plain(glasses=kind), 128)
    assert (label == IDS["eyeglass"]).mean() > 0.02
    assert (label == IDS["eyes"]).any() == (kind != "sun")


def test_the_bald_have_no_hair_and_others_do():
    assert not (paint(plain(), 64)[1] == IDS["hair"]).any()
    for style in ("buzz", "short", "tied", "bob", "long", "curly"):
        assert (paint(plain(style=style), 64)[1] == IDS["hair"]).mean() > 0.04, style


def test_covered_ears_vanish_from_the_label():
    shown = paint(plain(style="long", tucked=(True, True), volume=0.5), 64)[1] == IDS["ears"]
    hidden = paint(plain(style="long", tucked=(False, False), volume=0.5), 64)[1] == IDS["ears"]
    assert shown.sum() > 20 and hidden.sum() < 6


def test_neck_and_clothes_belong_to_the_background():
    _, label = paint(plain(style="long", length=2.0, volume=1.0), 64)
    assert (label[-3:, 26:38] == IDS["background"]).mean() > 0.8


def test_a_turned_head_moves_the_nose_to_its_side():
    columns = []
    for yaw in (-0.3, 0.0, 0.3):
        label = paint(plain(yaw=yaw), 64)[1]
        columns.append(np.nonzero(label == IDS["nose"])[1].mean() - np.nonzero(label == IDS["skin"])[1].mean())
    assert columns[0] < columns[1] - 2 and columns[2] > columns[1] + 2


def test_the_lamp_lights_the_side_it_stands_on():
    images = [paint(plain(light=(side * 0.8, -0.2, 0.56), ambient=0.4), 64)[0].mean(axis=2) for side in (-1, 1)]
    skin = slice(30, 46)
    assert images[0][skin, 18:26].mean() > images[1][skin, 18:26].mean() + 15
    assert images[1][skin, 38:46].mean() > images[0][skin, 38:46].mean() + 15
