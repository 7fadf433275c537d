"""Per-region overlap and pixel precision from histograms, against the same figures from every threshold there is."""

import numpy as np
import pytest
from scipy import ndimage
from sklearn import metrics as sklearn

from pumpgan.metrics.regions import RegionCurves, limited_area


def curves(probabilities, foreground) -> dict:
    gathered = RegionCurves()
    gathered.update(np.asarray(probabilities, float), np.asarray(foreground, bool))
    return gathered.result()


def exact_pro(probabilities: np.ndarray, foreground: np.ndarray) -> float:
    """Per-region overlap by its definition: threshold after threshold, region after region."""
    regions = []
    for n, image in enumerate(foreground):
        labelled, found = ndimage.label(image, np.ones((3, 3)))
        regions += [probabilities[n][labelled == region] for region in range(1, found + 1)]
    thresholds = np.unique(probabilities)[::-1]
    false = [(probabilities[~foreground] >= t).mean() for t in thresholds]
    overlap = [np.mean([(region >= t).mean() for region in regions]) for t in thresholds]
    x = np.linspace(0, 0.3, 30_001)
    heights = np.interp(x, [0, *false], [0, *overlap])
    return float(heights.mean())


@pytest.mark.parametrize("sharpness", [1, 8], ids=["soft", "sure"])
def test_the_histograms_find_what_every_threshold_finds(sharpness):
    draw = np.random.default_rng(2)
    foreground = ndimage.gaussian_filter(draw.normal(size=(4, 24, 20)), (0, 1.5, 1.5)) > 0.15
    logits = sharpness * (draw.normal(size=foreground.shape) + 1.5 * foreground - 1)
    probabilities = 1 / (1 + np.exp(-logits))
    figures = curves(probabilities, foreground)
    assert figures["pro"] == pytest.approx(exact_pro(probabilities, foreground), abs=1e-3)
    precision = sklearn.average_precision_score(foreground.ravel(), probabilities.ravel())
    assert figures["pixel_average_precision"] == pytest.approx(precision, abs=1e-3)


def test_a_small_region_counts_as_much_as_a_large_one():
    foreground = np.zeros((1, 20, 20), bool)
    foreground[0, 0, 0] = foreground[0, 5:15, 5:15] = True
    small, large = np.zeros(foreground.shape), np.zeros(foreground.shape)
    small[0, 0, 0] = large[0, 5:15, 5:15] = 1
    ramp = 0.5 + 0.5 * 0.15  # half without a false positive, then a straight line to all with all of them; its mean
    assert curves(small, foreground)["pro"] == pytest.approx(ramp)
    assert curves(large, foreground)["pro"] == pytest.approx(ramp)


def test_the_best_map_scores_1_and_one_that_knows_nothing_follows_the_diagonal():
    foreground = np.zeros((3, 8, 8), bool)
    foreground[:2, 2:4, 2:5] = True
    assert curves(foreground, foreground) == {"pro": 1.0, "pixel_average_precision": 1.0}
    blind = curves(np.full(foreground.shape, 0.3), foreground)
    assert blind["pro"] == pytest.approx(0.15)
    assert blind["pixel_average_precision"] == pytest.approx(foreground.mean())


def test_regions_do_not_run_from_one_image_into_the_next():
    foreground = np.zeros((2, 2, 2), bool)
    foreground[0, 0, 0] = foreground[1, :, 0] = foreground[1, 0, 1] = True
    found = np.zeros(foreground.shape)
    found[0, 0, 0] = 1  # one region of two, though one of four pixels
    assert curves(found, foreground)["pro"] == pytest.approx(0.5 + 0.5 * 0.15)


def test_probabilities_close_to_0_and_1_keep_their_order():
    foreground = np.array([[[True, True, False, False]]])
    for chances in ([1 - 1e-9, 1 - 1e-7, 1 - 1e-6, 0.9], [1e-6, 1e-8, 1e-9, 1e-12], [1.0, 1e-15, 1e-16, 0.0]):
        assert curves([[chances]], foreground)["pixel_average_precision"] == 1


def test_without_foreground_or_without_ground_there_is_no_curve():
    for foreground in (np.zeros((1, 2, 2), bool), np.ones((1, 2, 2), bool), np.zeros((0, 2, 2), bool)):
        assert curves(np.full(foreground.shape, 0.5), foreground) == {"pro": None, "pixel_average_precision": None}


def test_the_area_is_cut_within_a_step():
    rising = np.array([0.2, 0.2, 0.6, 1.0]), np.array([0.1, 0.5, 0.9, 1.0])
    assert limited_area(*rising, 0.3) == pytest.approx((0.2 * 0.05 + 0.1 * (0.5 + 0.6) / 2) / 0.3)
    assert limited_area(*rising, 1.0) == pytest.approx(0.2 * 0.05 + 0.4 * 0.7 + 0.4 * 0.95)
