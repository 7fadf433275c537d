"""Photographs of any size as images of one, and what is said of these back at the photographs' own pixels."""

from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pumpgan.inference import patchwork
from pumpgan.inference.patchwork import as_images, brought_back, brought_to, by_tiles, places


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).integers(0, 256, shape, dtype=np.uint8)


def joined(bands) -> torch.Tensor:
    """The bands one below the other, which must be where they say."""
    parts, at = [], 0
    for top, band in bands:
        assert top == at
        parts.append(band)
        at += band.shape[1]
    return torch.cat(parts, dim=1)


def brightness(images: torch.Tensor) -> torch.Tensor:
    return images.float() / 255


@pytest.mark.parametrize("size", [(61, 83), (83, 61), (16, 16), (16, 40), (5, 40), (1, 7), (128, 17)])
@pytest.mark.parametrize("channels", [1, 3])
def test_tiles_of_the_runs_own_size_say_of_each_pixel_what_the_network_says(size, channels):
    pixels = noise(*size) if channels == 1 else noise(*size, 3)
    side = min(16, *size)
    answer = joined(by_tiles(pixels, 16, (side, side), brightness))
    assert torch.allclose(answer, as_images([pixels])[0].float() / 255, atol=1e-6)


def test_tiles_overlap_by_a_fourth_and_reach_from_end_to_end():
    for side in (1, 2, 3, 16, 17, 256):
        for length in range(side, 5 * side + 3):
            at = places(length, side)
            assert at[0] == 0 and at[-1] == length - side
            assert all(0 < b - a <= side - side // 4 for a, b in pairwise(at))
    assert places(5472, 256) == [i * 5216 // 28 for i in range(29)]


def test_what_a_network_says_of_a_tile_and_not_of_its_neighbour_leaves_no_seam():
    def towards_the_right(images):
        return torch.linspace(0, 1, 32).expand(len(images), 1, 32, 32)

    answer = joined(by_tiles(noise(70, 200), 32, (32, 32), towards_the_right))
    assert answer.shape == (1, 70, 200) and answer.diff(dim=2).abs().max() < 0.15  # averages without weights: 0.4
    assert torch.allclose(answer, answer[:, :1].expand_as(answer), atol=1e-6)


@pytest.mark.parametrize(
    ("size", "of"), [((40, 90), (16, 16)), ((9, 5), (16, 16)), ((50, 50), (16, 32)), ((7, 300), (32, 16))]
)
def test_a_whole_photograph_comes_back_as_the_interpolated_middle_of_its_canvas(size, of, monkeypatch):
    monkeypatch.setattr(patchwork, "BAND_PIXELS", 300)
    answer = torch.rand(3, *of)
    found = joined(brought_back(answer, size))
    canvas = patchwork.canvas_around(size, of)
    whole = F.interpolate(answer[None], canvas, mode="bilinear", antialias=min(canvas) < min(of))[0]
    top, left = (canvas[0] - size[0]) // 2, (canvas[1] - size[1]) // 2
    assert torch.allclose(found, whole[:, top : top + size[0], left : left + size[1]], atol=1e-5)


def test_a_whole_photograph_keeps_its_aspect_in_images_that_are_not_square():
    pixels = np.full((30, 30), 200, np.uint8)
    pixels[10:20, 10:20] = 0
    image = brought_to(pixels, (32, 64))  # the canvas is 30x60
    dark = np.argwhere(image[:, 16:48] < 100)  # between the mirror images
    assert image.shape == (32, 64) and np.ptp(dark, axis=0).tolist() == [9, 9]  # 10.7 pixels each way
    back = joined(brought_back(brightness(as_images([image]))[0], (30, 30)))[0]
    assert ((back < 0.4).numpy() == (pixels == 0)).all()


def test_a_photograph_of_the_runs_own_size_is_taken_as_it_is():
    pixels = noise(24, 40)
    assert (brought_to(pixels, (24, 40)) == pixels).all()
    answer = brightness(as_images([pixels]))[0]
    assert torch.allclose(joined(brought_back(answer, (24, 40))), answer, atol=1e-5)


def test_a_large_photograph_needs_the_memory_of_a_few_bands():
    """Ten classes of 20 megapixels would be 800 MB."""
    answer = torch.rand(10, 16, 16)
    first, band = next(brought_back(answer, (4000, 5000)))
    assert first == 0 and band[0].numel() <= patchwork.BAND_PIXELS
    rows = [b.shape[1] for _, b in by_tiles(np.zeros((300, 5000), np.uint8), 128, (16, 16), brightness)]
    assert sum(rows) == 300 and max(rows) <= 128
