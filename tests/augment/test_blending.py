"""Blending changes what it should, and hides the rest."""

import numpy as np
import pytest
from miniatures import noise

from pumpgan.augment.blending import BLENDS, GROWN, MARGIN, blend

SQUARE = np.zeros((40, 50), bool)
SQUARE[15:23, 20:30] = True


def around(mask: np.ndarray, by: int) -> np.ndarray:
    """The mask grown by whole steps to all eight neighbours."""
    for _ in range(by):
        padded = np.pad(mask, 1)
        mask = np.any([padded[y : y + mask.shape[0], x : x + mask.shape[1]] for y in range(3) for x in range(3)], 0)
    return mask


@pytest.mark.parametrize("how", BLENDS)
@pytest.mark.parametrize("channels", [(), (3,)])
def test_nothing_changes_beyond_the_margin(how, channels):
    ground, piece = noise(0, 40, 50, *channels), noise(1, 40, 50, *channels)
    before = ground.copy(), piece.copy()
    result = blend(ground, piece, SQUARE, how)
    assert result.dtype == np.uint8 and result.shape == ground.shape
    far = ~around(SQUARE, MARGIN)
    np.testing.assert_array_equal(result[far], ground[far])
    np.testing.assert_array_equal(ground, before[0])
    np.testing.assert_array_equal(piece, before[1])


def test_hard_copies_the_masked_pixels_and_no_others():
    ground, piece = noise(0, 40, 50), noise(1, 40, 50)
    np.testing.assert_array_equal(blend(ground, piece, SQUARE, "hard"), np.where(SQUARE, piece, ground))


def test_feather_copies_the_rim_and_fades_out_evenly():
    ground, piece = np.full((40, 50), 100, np.uint8), np.full((40, 50), 200, np.uint8)
    result = blend(ground, piece, SQUARE, "feather")
    row = result[19, 29:].astype(int)
    assert (row[: GROWN + 1] == 200).all() and (row[MARGIN:] == 100).all()
    steps = -np.diff(row[GROWN : MARGIN + 1])
    assert (steps == 20).all()


def test_poisson_keeps_the_pattern_and_takes_the_brightness_of_the_ground():
    ground = (np.arange(50) + 80 + np.zeros((40, 1))).astype(np.uint8)
    piece = ground + np.uint8(60)
    np.testing.assert_array_equal(blend(ground, piece, SQUARE, "poisson"), ground)
    piece[18:20, 24:26] += np.uint8(30)
    result = blend(ground, piece, SQUARE, "poisson").astype(int) - ground
    assert (result[18:20, 24:26] == 30).all() and np.abs(result).sum() == 4 * 30


def test_poisson_is_free_at_the_edge_of_the_picture():
    ground, piece, mask = np.full((20, 20), 50, np.uint8), np.full((20, 20), 150, np.uint8), np.zeros((20, 20), bool)
    mask[:8, :8] = True
    np.testing.assert_array_equal(blend(ground, piece, mask, "poisson"), ground)
    mask[:] = True
    np.testing.assert_array_equal(blend(ground, piece, mask, "poisson"), piece)


@pytest.mark.parametrize("how", BLENDS)
def test_an_empty_mask_changes_nothing(how):
    ground = noise(0, 20, 20)
    np.testing.assert_array_equal(blend(ground, noise(1, 20, 20), np.zeros((20, 20), bool), how), ground)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="must be feather, poisson, hard, got 'soft'"):
        blend(noise(0, 20, 20), noise(1, 20, 20), np.zeros((20, 20), bool), "soft")
    with pytest.raises(ValueError, match="must agree"):
        blend(noise(0, 20, 20), noise(1, 20, 21), np.zeros((20, 20), bool), "hard")
