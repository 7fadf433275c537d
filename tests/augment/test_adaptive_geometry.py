"""Each move against numpy's or scipy's own, and the distributions of the drawn maps."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from pumpgan.augment import adaptive, adaptive_geometry
from pumpgan.augment.adaptive_geometry import blit_maps, composed, geom_maps, mirrored, warp

ROUNDING = 2e-6  # of images in [-1, 1] through 12 + 4 + 12 taps an axis


def picture(height=20, width=24, smooth=0.0) -> np.ndarray:
    noise = np.random.default_rng(0).standard_normal((2, height, width))
    noise = ndimage.gaussian_filter(noise, (0, smooth, smooth), mode="reflect") if smooth else noise
    return noise / abs(noise).max()


def warped(image: np.ndarray, maps) -> np.ndarray:
    return warp(torch.from_numpy(image).float()[None], maps)[0].double().numpy()


def blit(*, mirror=0.0, turns=0.0, shift=(0.0, 0.0)):
    return blit_maps(torch.tensor([mirror]), torch.tensor([turns]), torch.tensor([shift]))


def geom(*, scale=0.0, first=0.0, stretch=0.0, second=0.0, shift=(0.0, 0.0)):
    return geom_maps(*(torch.tensor([value]) for value in (scale, first, stretch, second, shift)))


def drawn(pipe, n, size, p):
    return adaptive.draw(pipe, n, size, 3, torch.tensor(p), device="cpu").matrices.double().numpy()


@pytest.mark.parametrize("size", [(20, 24), (7, 5), (1, 1), (2, 64)])
def test_no_move_changes_nothing(size):
    image = picture(*size)
    for maps in (blit(), geom(), composed(blit(), geom())):
        np.testing.assert_allclose(warped(image, maps), image, atol=ROUNDING)


def test_mirrors_left_and_right_exactly():
    np.testing.assert_allclose(warped(picture(), blit(mirror=1.0)), picture()[:, :, ::-1], atol=ROUNDING)


@pytest.mark.parametrize("turns", [1.0, 2.0, 3.0])
@pytest.mark.parametrize("mirror", [0.0, 1.0])
def test_quarter_turns_are_exact_and_follow_the_mirror(turns, mirror):
    image = picture(20, 20)
    expected = np.rot90(image[:, :, ::-1] if mirror else image, int(turns), axes=(1, 2))
    np.testing.assert_allclose(warped(image, blit(mirror=mirror, turns=turns)), expected, atol=ROUNDING)


def test_a_quarter_turn_of_an_oblong_picture_fills_its_ends_with_mirror_images():
    image = picture(20, 24)
    square = np.pad(image, ((0, 0), (2, 2), (0, 0)), mode="symmetric")
    np.testing.assert_allclose(warped(image, blit(turns=1.0)), np.rot90(square, axes=(1, 2))[:, 2:-2], atol=ROUNDING)


@pytest.mark.parametrize("across, down", [(3, 0), (0, -2), (-3, 2), (40, -57)])
def test_whole_shifts_are_exact_and_mirror_at_the_border(across, down):
    image = picture()
    height, width = image.shape[1:]
    rows, columns = (np.arange(s) + by for s, by in ((height, down), (width, across)))
    rows, columns = (np.minimum(i % (2 * s), 2 * s - 1 - i % (2 * s)) for i, s in ((rows, height), (columns, width)))
    expected = image[:, rows][:, :, columns]
    np.testing.assert_allclose(warped(image, blit(shift=(float(across), float(down)))), expected, atol=ROUNDING)


MOVES = {
    "scale down": (geom(scale=0.5), lambda i: about_centre(i, np.eye(2) * 2**0.5)),
    "scale up": (geom(scale=-0.5), lambda i: about_centre(i, np.eye(2) * 2**-0.5)),
    "first rotation": (geom(first=0.7), lambda i: ndimage.rotate(i, math.degrees(0.7), **WHOLE)),
    "second rotation": (geom(second=-2.0), lambda i: ndimage.rotate(i, math.degrees(-2.0), **WHOLE)),
    "stretch": (geom(stretch=0.4), lambda i: about_centre(i, np.diag([2**-0.4, 2**0.4]))),
    "shift": (geom(shift=(1.3, -2.6)), lambda i: ndimage.shift(i, (2.6, -1.3), mode="reflect")),
}
WHOLE = dict(reshape=False, mode="reflect")


def about_centre(image, matrix):
    centre = (np.array(image.shape) - 1) / 2
    return ndimage.affine_transform(image, matrix, centre - matrix @ centre, mode="reflect")


@pytest.mark.parametrize("move", MOVES)
def test_moves_a_smooth_picture_as_cubic_splines_do(move):
    maps, expected = MOVES[move]
    image = picture(40, 36, smooth=3.0)
    # Bilinear interpolation at half a pixel errs by 1/32 of the second derivative, here about 0.2 a pixel squared.
    np.testing.assert_allclose(warped(image, maps), np.stack([expected(i) for i in image]), atol=0.01)


def test_the_parts_of_a_move_follow_each_other_in_the_published_order():
    """Scale, rotation, stretch, rotation, shift of the image: its maps from the result multiply in that order."""

    def whole(map_):
        return np.vstack([map_[0].double().numpy(), [0, 0, 1]])

    parts = dict(scale=0.3, first=0.5, stretch=-0.4, second=1.1, shift=(2.0, -3.0))
    product = np.eye(3)
    for name, value in parts.items():
        product = product @ whole(geom(**{name: value}))
    np.testing.assert_allclose(whole(geom(**parts)), product, atol=1e-6)
    before = [dict(mirror=1.0), dict(turns=1.0), dict(shift=(1.0, 2.0))]
    for options in before[::-1]:
        product = whole(blit(**options)) @ product
    everything = composed(blit(mirror=1.0, turns=1.0, shift=(1.0, 2.0)), geom(**parts))
    np.testing.assert_allclose(whole(everything), product, atol=1e-6)


def test_halving_undoes_doubling_and_both_filters_are_symmetric():
    doubling, halving = adaptive_geometry.resampling_filters()
    np.testing.assert_allclose(doubling, doubling[::-1], atol=1e-15)
    np.testing.assert_allclose(halving, halving[::-1], atol=1e-15)
    np.testing.assert_allclose(np.correlate(doubling, halving, "full")[1::2], np.eye(11)[5], atol=1e-15)
    np.testing.assert_allclose([doubling[::2].sum(), doubling[1::2].sum(), halving.sum()], 1)


def test_the_filters_pass_low_frequencies_and_stop_high_ones():
    frequency = np.array([0.125, 0.25, 0.75, 0.875]) * np.pi  # of the doubled pixels; the image has those up to a half
    for taps, gain in zip(adaptive_geometry.resampling_filters(), (2, 1), strict=True):
        response = np.cos(np.outer(frequency, np.arange(12) - 5.5)) @ taps / gain
        assert (abs(response[:2] - 1) < 0.02).all() and (abs(response[2:]) < 0.12).all()


def test_half_a_turn_by_the_asymmetric_wavelet_of_the_paper_would_blur():
    """Why the filters are not sym6, whose product with its own mirror image is not 1 in place and 0 elsewhere."""
    sym6 = [0.015404, 0.003491, -0.11799, -0.048312, 0.491056, 0.787641, 0.337929, -0.072638, -0.02106, 0.044725]
    sym6 = np.array([*sym6, 0.001768, -0.007801])
    np.testing.assert_allclose(np.correlate(sym6, sym6, "full")[1::2], np.eye(11)[5], atol=1e-5)
    turned = np.convolve(sym6, sym6)
    assert (
        min(abs(turned[start::2] - np.eye(12)[k][: len(turned[start::2])]).max() for start in (0, 1) for k in range(12))
        > 0.08
    )


@pytest.mark.parametrize("margin", [0, 1, 3, 5, 6, 13])
def test_mirrors_borders_as_often_as_it_takes(margin):
    x = torch.rand(1, 1, 2, 3)
    expected = np.pad(x.numpy(), ((0, 0), (0, 0), (margin, margin), (margin, margin)), mode="symmetric")
    np.testing.assert_array_equal(mirrored(x, margin).numpy(), expected)


def test_whole_moves_come_as_often_as_they_should():
    n, p, size = 8000, 0.6, (16, 40)
    maps = drawn("blit", n, size, p)
    linear, place = maps[:, :, :2], maps[:, :, 2]
    assert ((linear == 0).sum(axis=(1, 2)) == 2).all() and (abs(linear).sum(axis=(1, 2)) == 2).all()
    assert (np.linalg.det(linear) < 0).mean() == pytest.approx(p / 2, abs=0.02)  # half of those that are on
    assert (linear[:, 0, 0] == 0).mean() == pytest.approx(p / 2, abs=0.02)  # one or three quarters
    assert (linear[:, 1, 1] == -1).mean() == pytest.approx(p / 4, abs=0.02)
    shift = np.linalg.solve(linear, place[:, :, None])[:, :, 0]
    assert (shift == shift.round()).all() and (abs(shift).max(axis=0) == (5, 2)).all()
    # Within +-5 columns 0 has a tenth; within +-2 rows a quarter: 1 - 0.9 * ... of the shifts are no shift at all.
    assert shift.any(axis=1).mean() == pytest.approx(p * (1 - 0.1 * 0.25), abs=0.02)
    assert abs(shift.mean(axis=0)).max() < 0.1


def test_free_moves_come_as_often_and_as_far_as_they_should():
    n, size = 8000, (16, 40)
    maps = drawn("geom", n, size, 1.0)
    linear, place = maps[:, :, :2], maps[:, :, 2:]
    assert (np.linalg.det(linear) > 0).all()
    large, small = np.log2(np.linalg.svd(linear)[1]).T
    assert ((large + small) / 2).std() == pytest.approx(0.2, rel=0.05)
    assert ((large - small) / 2).std() < 0.2 and (((large - small) / 2) ** 2).mean() == pytest.approx(0.04, rel=0.1)
    shift = np.linalg.solve(linear, place)[:, :, 0]  # the last transform, in the result's own frame
    assert shift.std(axis=0) == pytest.approx([5, 2], rel=0.05) and abs(shift.mean(axis=0)).max() < 0.2
    angle = np.arctan2(linear[:, 1, 0] - linear[:, 0, 1], linear[:, 0, 0] + linear[:, 1, 1])  # the sum of both
    assert np.histogram(angle, 8, (-math.pi, math.pi))[0] / n == pytest.approx(np.full(8, 1 / 8), abs=0.02)

    p = 0.6
    linear = drawn("geom", n, size, p)
    off = (linear[:, 0, 1] == 0) & (linear[:, 1, 0] == 0)
    assert off.mean() == pytest.approx(1 - p, abs=0.02)  # neither rotation
    area = linear[off, 0, 0] * linear[off, 1, 1]
    assert (abs(area - 1) > 1e-6).mean() == pytest.approx(p, abs=0.03)  # of a scale; a stretch keeps the area
    assert (abs(linear[off, 0, 0] - linear[off, 1, 1]) > 1e-6).mean() == pytest.approx(p, abs=0.03)
    assert (linear[:, :, 2] != 0).any(axis=1).mean() == pytest.approx(p, abs=0.02)
