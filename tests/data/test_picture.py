"""Sheets show what they are given, and a picture on disk is whole or absent."""

import errno
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from PIL import Image

from pumpgan.data.picture import colour_labels, overlay, sample_sheet, save_png


@dataclass(frozen=True)
class Named:
    id: int
    name: str
    colour: tuple[int, int, int]


CLASSES = [Named(0, "good", (0, 0, 0)), Named(1, "defect", (250, 10, 20)), Named(7, "scratch", (0, 200, 90))]


def test_each_id_gets_the_colour_of_its_class():
    colours = colour_labels(np.array([[[0, 1], [7, 1]]], np.uint8), CLASSES)
    assert colours.tolist() == [[[[0, 0, 0], [250, 10, 20]], [[0, 200, 90], [250, 10, 20]]]]


def test_tensors_and_arrays_give_the_same_colours():
    labels = torch.randint(0, 2, (3, 4, 5))
    assert np.array_equal(colour_labels(labels, CLASSES), colour_labels(labels.byte().numpy(), CLASSES))


@pytest.mark.parametrize("labels", [np.array([[[2]]]), np.array([[[-1]]]), np.array([[[300]]])])
def test_an_unknown_id_is_refused_by_its_value(labels):
    with pytest.raises(ValueError, match=str(labels.flat[0])):
        colour_labels(labels, CLASSES)


def test_labels_of_another_rank_or_type_are_refused():
    for labels in (np.zeros((2, 2), np.uint8), np.zeros((1, 2, 2), np.float32)):
        with pytest.raises(ValueError, match="integers"):
            colour_labels(labels, CLASSES)


def test_an_overlay_leaves_class_0_alone_and_mixes_the_rest():
    images = np.full((1, 2, 2, 3), 100, np.uint8)  # [N, H, W, 3]
    laid = overlay(images, np.array([[[0, 1], [0, 0]]], np.uint8), CLASSES, alpha=0.5)
    assert laid.tolist() == [[[[100] * 3, [175, 55, 60]], [[100] * 3] * 2]]


def test_an_overlay_refuses_labels_of_another_size():
    with pytest.raises(ValueError, match="agree"):
        overlay(np.zeros((1, 3, 4, 4), np.uint8), np.zeros((1, 2, 2), np.uint8), CLASSES)


def test_a_sheet_enlarges_small_images_by_a_whole_number_and_shows_them_first():
    images = torch.full((2, 3, 32, 32), -1.0)
    images[0, :, 0, 0] = 1.0  # one white pixel
    sheet = np.asarray(sample_sheet([("drawn", images, torch.zeros(2, 32, 32, dtype=torch.int64))], CLASSES))
    white = (sheet == 255).all(axis=2)
    rows, columns = np.nonzero(white)
    # in the image and in the overlay: two squares of 3 x 3 (the caption and the legend are less than white)
    assert white.sum() == 18 and np.ptp(rows) == 2
    assert sorted(set(np.diff(np.unique(columns)))) == [1, 2 * (96 + 2) - 2]


@pytest.mark.parametrize("make", [lambda x: x, lambda x: x.bfloat16(), lambda x: x[:, :1], lambda x: x.numpy()])
def test_every_kind_of_image_is_taken(make):
    images = torch.rand(3, 3, 16, 16) * 2 - 1
    sheet = sample_sheet([("a", make(images), None)], CLASSES, columns=2, scale=1)
    assert sheet.mode == "RGB" and sheet.height > 32


def test_nan_is_shown_as_magenta():
    images = torch.zeros(1, 3, 8, 8)
    images[0, 1, 2, 2] = torch.nan
    pixels = np.asarray(sample_sheet([("a", images, None)], CLASSES, scale=1))
    assert (pixels == (255, 0, 255)).all(axis=2).sum() == 1


def test_a_sheet_is_no_wider_than_a_screen_unless_asked():
    images, labels = torch.zeros(16, 3, 128, 128), torch.zeros(16, 128, 128, dtype=torch.int64)
    assert 1200 < sample_sheet([("a", images, labels)], CLASSES).width <= 1600 + 2 * 8
    assert sample_sheet([("a", images, labels)], CLASSES, columns=8).width > 3000
    small = images[..., :32, :32]  # five would fit, and leave a lone one in the fourth row
    assert sample_sheet([("a", small, labels[:, :32, :32])], CLASSES).width == 4 * (3 * (96 + 2) + 2 * 2) + 2 * 8


def test_a_sheet_of_an_empty_group_is_still_a_sheet():
    empty = torch.zeros(0, 3, 8, 8)
    assert sample_sheet([("nothing", empty, torch.zeros(0, 8, 8, dtype=torch.int64))], CLASSES).width > 0


def test_a_sheet_without_groups_or_columns_is_refused():
    images = torch.zeros(1, 3, 8, 8)
    for groups, options in (([], {}), ([("a", images, None)], {"columns": 0}), ([("a", images, None)], {"scale": 0})):
        with pytest.raises(ValueError, match="sample_sheet"):
            sample_sheet(groups, CLASSES, **options)


def test_images_that_are_none_of_these_are_refused():
    for images in (np.zeros((1, 2, 8, 8), np.uint8), np.zeros((8, 8), np.uint8), np.zeros((1, 3, 8, 8), np.int64)):
        with pytest.raises(ValueError, match="images"):
            sample_sheet([("a", images, None)], CLASSES)


def test_a_saved_picture_is_read_back_and_replaces_the_old_one(tmp_path):
    path = tmp_path / "samples" / "step.png"
    for grey in (10, 200):
        save_png(Image.new("RGB", (4, 4), (grey,) * 3), path)
        assert Image.open(path).getpixel((0, 0)) == (grey,) * 3
    assert [p.name for p in path.parent.iterdir()] == ["step.png"]


def test_a_full_disk_leaves_the_old_picture_and_names_the_path(tmp_path, monkeypatch):
    path = tmp_path / "step.png"
    save_png(Image.new("RGB", (4, 4)), path)
    before = path.read_bytes()

    def full(*_args, **_options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(OSError, match=r"step\.png.*No space left"):
        save_png(Image.new("RGB", (4, 4), (9, 9, 9)), path)
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1
