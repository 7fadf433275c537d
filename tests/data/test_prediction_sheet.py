"""A prediction sheet shows the target around the image, beside it the target, beside that the prediction."""

import numpy as np
import pytest
import torch

from pumpgan.data.dataset import PART_CLASSES
from pumpgan.data.picture import MARGIN, PAPER, SEPARATOR
from pumpgan.data.prediction_sheet import Predictions, prediction_sheet

GOOD, DEFECT = (entry.colour for entry in PART_CLASSES)


def group(count: int = 2, side: int = 32, notes=None) -> Predictions:
    """Grey images; the target is a square of 4 pixels in the middle, the prediction one of 2."""
    targets = torch.zeros(count, side, side, dtype=torch.int64)
    predictions = targets.clone()
    targets[:, 8:12, 8:12] = 1
    predictions[:, 9:11, 9:11] = 1
    return Predictions("test", torch.zeros(count, 1, side, side), targets, predictions, notes)


def cells(sheet: np.ndarray, side: int) -> list[np.ndarray]:
    """The three views of the first sample at scale 1: the row that starts with the grey of the image."""
    top = int(np.flatnonzero((sheet[:, MARGIN] == 128).all(axis=1))[0])
    return [sheet[top : top + side, MARGIN + place * (side + SEPARATOR) :][:, :side] for place in range(3)]


def pixels(view: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((view == colour).all(axis=-1).sum())


def test_the_views_are_outlined_image_target_and_prediction(device):
    given = group()
    moved = Predictions(given.title, *(values.to(device) for values in given[1:4]))
    image, target, prediction = cells(np.asarray(prediction_sheet([moved], PART_CLASSES, scale=1)), 32)
    assert (pixels(image, DEFECT), pixels(image, (128,) * 3)) == (6 * 6 - 4 * 4, 32 * 32 - 20)
    assert (pixels(target, DEFECT), pixels(target, GOOD)) == (16, 32 * 32 - 16)
    assert (pixels(prediction, DEFECT), pixels(prediction, GOOD)) == (4, 32 * 32 - 4)


def test_small_images_are_enlarged_and_columns_are_kept():
    wide, narrow = (prediction_sheet([group(4)], PART_CLASSES, columns=columns) for columns in (4, 2))
    assert wide.width == 4 * (3 * (96 + SEPARATOR) + 2 * SEPARATOR) + 2 * MARGIN
    assert narrow.width < wide.width and narrow.height > wide.height


def test_a_note_stands_below_its_sample_and_within_its_width():
    plain = prediction_sheet([group()], PART_CLASSES)
    noted = prediction_sheet(
        [group(notes=["IoU 0.25", "a note much too long for the three cells above it " * 3])], PART_CLASSES
    )
    assert noted.width == plain.width and noted.height > plain.height
    shown = np.asarray(noted)
    stride = 3 * (96 + SEPARATOR) + 2 * SEPARATOR
    bottom = int(np.flatnonzero((shown[:, MARGIN] == 128).all(axis=1))[-1])
    notes = (shown[bottom + 1 : bottom + 20] != PAPER).any(axis=(0, 2))
    first, second = notes[MARGIN : MARGIN + stride], notes[MARGIN + stride : MARGIN + 2 * stride]
    assert first.any() and not first[100:].any() and second[100:].any()
    assert not notes[MARGIN + 2 * stride - 3 * SEPARATOR :].any()


def test_groups_of_other_sizes_and_empty_ones_share_a_sheet():
    sheet = prediction_sheet([group(1, 16), group(0), tuple(group(3, 24))], PART_CLASSES)
    assert sheet.height > prediction_sheet([group(3, 24)], PART_CLASSES).height


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"targets": torch.zeros(2, 31, 32, dtype=torch.int64)}, r"test: .*must agree.*\[2, 31, 32\]"),
        ({"predictions": torch.zeros(1, 32, 32, dtype=torch.int64)}, r"must agree.*\[1, 32, 32\]"),
        ({"predictions": torch.full((2, 32, 32), 5)}, r"got also \[5\]"),
        ({"notes": ["one"]}, "1 notes"),
    ],
)
def test_what_does_not_agree_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        prediction_sheet([group()._replace(**change)], PART_CLASSES)


def test_no_groups_and_no_columns_are_refused():
    for groups, options in (([], {}), ([group()], {"columns": 0}), ([group()], {"scale": 0})):
        with pytest.raises(ValueError, match="prediction_sheet"):
            prediction_sheet(groups, PART_CLASSES, **options)
