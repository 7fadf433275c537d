"""The filter against scipy's convolution and the wavelet it comes from; noise and cutout against their statistics."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from pumpgan.augment import adaptive, adaptive_signal
from pumpgan.augment.adaptive_signal import balanced_gains, band_taps, filtered


def drawn(pipe, n, size, p, channels=1):
    return adaptive.draw(pipe, n, size, channels, torch.tensor(p), device="cpu")


def test_bands_are_the_octaves_of_the_wavelet_sym2():
    r = math.sqrt(3)
    low = np.array([1 + r, 3 + r, 3 - r, 1 - r]) / (4 * math.sqrt(2))
    high = low[::-1] * [1, -1, 1, -1]
    frequency = np.linspace(0, np.pi, 50)

    def power(taps, spread):  # once forward, once backward, of unit power in all
        return abs(np.exp(-1j * np.outer(frequency * spread, np.arange(4))) @ taps) ** 2 / 2

    expected = [
        power(low, 4) * power(low, 2) * power(low, 1),
        power(high, 4) * power(low, 2) * power(low, 1),
        power(high, 2) * power(low, 1),
        power(high, 1),
    ]
    response = np.cos(np.outer(frequency, np.arange(-21, 22))) @ band_taps().T
    np.testing.assert_allclose(response.T, expected, atol=1e-12)
    np.testing.assert_allclose(band_taps(), band_taps()[:, ::-1], atol=1e-15)
    np.testing.assert_allclose(band_taps().sum(axis=0), np.eye(43)[21], atol=1e-15)


@pytest.mark.parametrize("size", [(24, 30), (5, 64), (1, 2)])
def test_filters_rows_and_columns_as_scipy_does(size):
    x, gains = torch.randn(3, 2, *size, dtype=torch.float64), torch.rand(3, 4, dtype=torch.float64) * 2
    expected = np.stack(
        [
            ndimage.convolve1d(ndimage.convolve1d(image, taps, axis=1, mode="reflect"), taps, axis=2, mode="reflect")
            for image, taps in zip(x.numpy(), gains.numpy() @ band_taps(), strict=True)
        ]
    )
    np.testing.assert_allclose(filtered(x, gains).numpy(), expected, atol=1e-12)


def test_gains_keep_the_power_of_an_ordinary_image_band_after_band():
    octaves = torch.randn(6, 4, dtype=torch.float64)
    power = np.array([10, 1, 1, 1]) / 13
    expected = np.ones((6, 4))
    for band in range(4):
        step = np.ones((6, 4))
        step[:, band] = 2 ** octaves[:, band].numpy()
        expected *= step / np.sqrt((power * step**2).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(balanced_gains(octaves).numpy(), expected)


def test_each_band_is_on_by_itself_by_a_doubling_or_so():
    n, p = 8000, 0.6
    gains = drawn("filter", n, (8, 8), p).gains.double().numpy()
    assert (abs(gains - 1) < 1e-6).all(axis=1).mean() == pytest.approx((1 - p) ** 4, abs=0.01)
    gains = np.log2(drawn("filter", n, (8, 8), 1.0).gains.double().numpy())
    assert (gains[:, 2] - gains[:, 3]).std() == pytest.approx(math.sqrt(2), rel=0.05)  # of two unit Gaussians


def test_noise_comes_as_often_and_as_strongly_as_it_should():
    n, p = 8000, 0.6
    noise = drawn("noise", n, (10, 10), p).noise.double().numpy()[:, 0]
    on = noise.any(axis=(1, 2))
    assert on.mean() == pytest.approx(p, abs=0.02)
    assert (noise[on] ** 2).mean() == pytest.approx(0.01, rel=0.1)  # the square of a Gaussian of 0.1
    std = noise[on].std(axis=(1, 2))
    assert np.median(std) == pytest.approx(0.0674, rel=0.1)
    assert abs(np.corrcoef(noise[on][:, 0, 0], noise[on][:, 0, 1])[0, 1]) < 0.06  # pixels of their own


def test_cuts_out_half_of_each_side_around_any_pixel():
    n, p, height, width = 8000, 0.6, 16, 24
    cut = drawn("cutout", n, (height, width), p).kept.numpy()[:, 0] == 0
    on = cut.any(axis=(1, 2))
    assert on.mean() == pytest.approx(p, abs=0.02)
    rows, columns = cut[on].any(axis=2), cut[on].any(axis=1)
    assert (cut[on] == rows[:, :, None] & columns[:, None, :]).all()  # a rectangle
    for line, side in ((rows, height), (columns, width)):
        assert (abs(np.diff(line.astype(int), axis=1)).sum(axis=1) <= 2).all()  # in one piece
        inner = line[~line[:, 0] & ~line[:, -1]].sum(axis=1)
        assert set(inner) == {side // 2} and line.sum(axis=1).min() >= side // 4
        # A pixel is hidden where the centre falls within a quarter of it: half of the time, at the border a quarter.
        assert line[:, side // 2].mean() == pytest.approx(0.5, abs=0.03)
        assert line[:, 0].mean() == pytest.approx(0.25 + 0.5 / side, abs=0.03)


def test_a_hidden_pixel_is_grey_whatever_it_was():
    transforms = drawn("cutout", 4, (8, 8), 1.0)
    y = adaptive.apply(transforms, torch.ones(4, 1, 8, 8))
    assert set(y.unique().tolist()) == {0.0, 1.0}
    assert adaptive_signal.HOLE == 0.5
