"""Registration finds how far a part was moved."""

import numpy as np
import pytest
from miniatures import noise
from PIL import Image

from pumpgan.data.registration import Reference


def scene(down, right, height=200, width=320):
    """A smooth random scene seen through a window that is moved up and left, so what it shows moves down and right."""
    large = np.asarray(Image.fromarray(noise(0, 30, 40)).resize((480, 360), Image.Resampling.BICUBIC))
    return large[80 - down : 80 - down + height, 80 - right : 80 - right + width]


@pytest.mark.parametrize("shift", [(0, 0), (10, 0), (0, -15), (-12, 20)])
def test_a_moved_part_is_found(shift):
    found = Reference(scene(0, 0)).shift(scene(*shift))
    assert found == pytest.approx(shift, abs=0.05)


def test_brightness_and_colour_do_not_matter():
    moved = (scene(8, -6) // 2 + 100).astype(np.uint8)
    assert Reference(scene(0, 0)).shift(np.stack([moved] * 3, -1)) == pytest.approx((8, -6), abs=0.1)


def test_fractions_of_a_pixel_are_found_in_large_photographs():
    large = np.asarray(Image.fromarray(scene(0, 0)).resize((3200, 2000), Image.Resampling.BICUBIC))
    inner = (slice(100, -100), slice(100, -100))
    for down, right in ((3, -5), (-14, 7), (41, 60)):
        moved = np.roll(large, (down, right), (0, 1))[inner]
        assert Reference(large[inner]).shift(moved) == pytest.approx((down, right), abs=0.5)


def test_a_gradient_of_light_moves_nothing():
    light = np.linspace(0.6, 1, 320)
    lit = (scene(5, 9) * light).astype(np.uint8)
    assert Reference((scene(0, 0) * light[::-1]).astype(np.uint8)).shift(lit) == pytest.approx((5, 9), abs=0.2)


@pytest.mark.parametrize("grey", [0, 80, 255])
def test_a_photograph_without_detail_lies_nowhere(grey):
    blank = np.full((200, 320), grey, np.uint8)
    assert Reference(scene(0, 0)).shift(blank) is None and Reference(blank).shift(scene(0, 0)) is None


def test_a_part_that_was_moved_too_far_lies_nowhere():
    assert Reference(scene(0, 0)).shift(scene(0, -40)) is None  # 32 is a tenth


def test_another_size_is_refused():
    with pytest.raises(ValueError, match="one size, 320x200"):
        Reference(scene(0, 0)).shift(scene(0, 0)[:, :300])


def test_real_transistors_agree_on_where_they_lie(test_data):
    """Moving from a to b and from b to c is moving from a to c, though the holes of the board around them repeat."""
    files = sorted((test_data / "mvtec-transistor" / "train" / "good").glob("*.jpg"))[:8]
    pictures = [np.asarray(Image.open(path)) for path in files]
    to = np.array([[reference.shift(p) for p in pictures] for reference in map(Reference, pictures)])
    gaps = np.linalg.norm(to[:, :, None] + to[None] - to[:, None], axis=-1)
    assert np.median(gaps) < 1.2 and gaps.max() < 20


def test_real_transistors_lie_closer_once_moved(test_data):
    files = sorted((test_data / "mvtec-transistor" / "train" / "good").glob("*.jpg"))[:13]
    grey = [np.asarray(Image.open(path).convert("L")) for path in files]
    reference, inner = Reference(grey[0]), np.s_[100:-100, 100:-100]
    before, after = [], []
    for pixels in grey[1:]:
        down, right = (round(v) for v in reference.shift(pixels))
        aligned = np.roll(pixels, (-down, -right), (0, 1))
        before.append(np.abs(pixels[inner].astype(float) - grey[0][inner]).mean())
        after.append(np.abs(aligned[inner].astype(float) - grey[0][inner]).mean())
    assert np.mean(after) < 0.9 * np.mean(before)
