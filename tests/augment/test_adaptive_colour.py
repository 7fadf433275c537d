"""Each colour transform against its definition in homogeneous colour space, and how often each comes."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from pumpgan.augment import adaptive
from pumpgan.augment.adaptive_colour import colour_maps, recolour

AXIS = np.ones(3) / math.sqrt(3)
LUMA = np.outer(AXIS, AXIS)


def homogeneous(linear=None, constant=0.0) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = np.eye(3) if linear is None else linear
    matrix[:3, 3] = constant
    return matrix


DEFINITIONS = {  # in the published order
    "brightness": lambda b: homogeneous(constant=b),
    "contrast": lambda octaves: homogeneous(np.eye(3) * 2.0**octaves),
    "flip": lambda on: homogeneous(np.eye(3) - 2 * on * LUMA),  # Householder
    "hue": lambda angle: homogeneous(Rotation.from_rotvec(AXIS * angle).as_matrix()),
    "saturation": lambda octaves: homogeneous(LUMA + (np.eye(3) - LUMA) * 2.0**octaves),
}
VALUES = {"brightness": 0.3, "contrast": -0.7, "flip": 1.0, "hue": 2.2, "saturation": 1.3}


def maps(channels=3, **values):
    return colour_maps(*(torch.tensor([values.get(name, 0.0)]) for name in DEFINITIONS), channels)


@pytest.mark.parametrize("name", DEFINITIONS)
def test_each_transform_is_what_its_definition_says(name):
    np.testing.assert_allclose(maps(**{name: VALUES[name]})[0].numpy(), DEFINITIONS[name](VALUES[name])[:3], atol=1e-6)


def test_all_together_are_their_product_in_the_published_order():
    product = np.eye(4)
    for name, definition in DEFINITIONS.items():
        product = definition(VALUES[name]) @ product
    np.testing.assert_allclose(maps(**VALUES)[0].numpy(), product[:3], atol=1e-6)


def test_a_grey_image_of_one_channel_changes_as_one_of_three_does():
    grey = torch.rand(1, 1, 4, 5) * 2 - 1
    coloured = recolour(grey.expand(1, 3, 4, 5), maps(**VALUES))
    torch.testing.assert_close(coloured, recolour(grey, maps(1, **VALUES)).expand(1, 3, 4, 5))


def test_every_pixel_goes_through_its_own_image_s_map():
    x, colours = torch.rand(3, 3, 2, 5), torch.randn(3, 3, 4)
    expected = np.einsum("nij,njhw->nihw", colours[:, :, :3], x) + colours[:, :, 3, None, None].numpy()
    np.testing.assert_allclose(recolour(x, colours).numpy(), expected, atol=1e-5)


def test_each_comes_as_often_and_as_strongly_as_it_should():
    n, p = 8000, 0.6
    colours = adaptive.draw("color", n, (1, 1), 3, torch.tensor(p), device="cpu").colours.double().numpy()
    linear, constant = colours[:, :, :3], colours[:, :, 3]
    luma = linear.sum(axis=2)[:, 0]  # contrast and flip
    contrast = np.log2(abs(luma))
    chroma = (
        np.einsum("nij,ji->n", linear, np.eye(3) - LUMA) / 2,
        (linear[:, 2, 1] - linear[:, 1, 2]) * math.sqrt(3) / 2,
    )
    saturation = np.log2(np.hypot(*chroma)) - contrast
    hue = np.arctan2(chroma[1], chroma[0])
    brightness = constant[:, 0] / luma
    assert np.ptp(constant, axis=1).max() == 0
    assert (luma < 0).mean() == pytest.approx(p / 2, abs=0.02)
    for values, std in ((brightness, 0.2), (contrast, 0.5), (saturation, 1.0), (hue, math.pi / math.sqrt(3))):
        on = abs(values) > 1e-5
        assert on.mean() == pytest.approx(p, abs=0.02)
        assert values[on].std() == pytest.approx(std, rel=0.05) and abs(values[on].mean()) < 0.05 * std
