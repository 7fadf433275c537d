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
    assert found == pytest.approx(shift, abs=320 / 256)


def test_brightness_and_colour_do_not_matter():
    moved = (scene(8, -6) // 2 + 100).astype(np.uint8)
    assert Reference(scene(0, 0)).shift(np.stack([moved] * 3, -1)) == pytest.approx((8, -6), abs=320 / 256)


def test_another_size_is_refused():
    with pytest.raises(ValueError, match="one size, 320x200"):
        Reference(scene(0, 0)).shift(scene(0, 0)[:, :300])


def test_real_transistors_lie_closer_once_moved(test_data):
    files = sorted((test_data / "mvtec-transistor" / "train" / "good").glob("*.jpg"))[:25]
    grey = [np.asarray(Image.open(path).convert("L")) for path in files]
    reference, inner = Reference(grey[0]), np.s_[100:-100, 100:-100]
    before, after = [], []
    for pixels in grey[1:]:
        down, right = (round(v) for v in reference.shift(pixels))
        aligned = np.roll(pixels, (-down, -right), (0, 1))
        before.append(np.abs(pixels[inner].astype(float) - grey[0][inner]).mean())
        after.append(np.abs(aligned[inner].astype(float) - grey[0][inner]).mean())
    assert np.mean(after) < 0.9 * np.mean(before)
