"""What decides where a defect goes: brightness without it, and its place between the edges."""

import numpy as np
import pytest
from miniatures import noise

from pumpgan.augment.defects import Sums, between_edges, cut_defects, mean_without, suitable
from pumpgan.data.dataset import Entry
from pumpgan.data.importers.crops import cut
from pumpgan.data.importers.photograph import Photograph

BOXES = [(0, 0, 50, 40), (3, 5, 20, 40), (49, 0, 50, 1), (10, 10, 10, 30)]


@pytest.mark.parametrize("channels", [(), (3,)])
@pytest.mark.parametrize("box", BOXES)
def test_the_sum_over_a_box_is_that_of_its_pixels(channels, box):
    pixels = noise(0, 40, 50, *channels)
    assert Sums(pixels).within(box) == cut(pixels, box).sum()


@pytest.mark.parametrize("channels", [(), (3,)])
def test_brightness_leaves_the_defect_out(channels):
    pixels, window, spot = noise(0, 40, 50, *channels), (5, 5, 45, 35), (10, 20, 22, 30)
    mask = noise(1, 10, 12) > 128
    outside = np.ones((40, 50), bool)
    cut(outside, spot)[mask] = False
    expected = cut(pixels, window)[cut(outside, window)].mean()
    assert mean_without(pixels, window, Sums(pixels).within(window), spot, mask) == pytest.approx(expected)


def test_a_defect_that_is_everything_counts_itself():
    pixels, box = noise(0, 40, 50), (0, 0, 50, 40)
    everything = np.ones((40, 50), bool)
    assert mean_without(pixels, box, Sums(pixels).within(box), box, everything) == pytest.approx(pixels.mean())


def striped(name: str, left: int, defect: bool = False, light: int = 0) -> Photograph:
    """A ground of 100 with a bright stripe 20 pixels wide, and perhaps a defect at column 30."""
    image, label = np.full((60, 80), 100 + light, np.uint8), np.zeros((60, 80), np.uint8)
    image[:, left : left + 20] += 60
    label[28:32, 28:32] = defect
    return Photograph(name, lambda: (image, label), "defect" if defect else "good", name)


def test_a_place_is_as_bright_all_over_and_around_the_defect():
    (defect,) = cut_defects(
        striped("donor", 20, defect=True), [Entry("donor", "train", ("donor",), box=(0, 0, 80, 60))]
    )
    shifts = dict.fromkeys(("donor", "same", "lit", "elsewhere", "defective"), (0.0, 0.0))

    def suits(photograph: Photograph) -> bool:
        return suitable(photograph, [defect], shifts, 10)[0]

    assert suits(striped("same", 20)) and suits(striped("lit", 20, light=9))
    assert not suits(striped("lit", 20, light=11))
    assert not suits(striped("elsewhere", 50))
    assert not suits(striped("defective", 20, defect=True))


@pytest.mark.parametrize(
    ("kept", "there", "right"),
    [
        ((0, 0, 10, 5), (0, 0, 200, 80), 0),  # at the left edge it stays there
        ((90, 0, 100, 5), (0, 0, 200, 80), 100),  # and at the right edge
        ((45, 0, 55, 5), (0, 0, 40, 80), -30),  # in the middle it stays in the middle
        ((45, 0, 55, 5), (20, 0, 120, 80), 20),  # of what may be used
        ((0, 0, 100, 5), (0, 0, 60, 80), -20),  # from edge to edge: as much beyond both
    ],
)
def test_distances_to_the_edges_keep_their_proportion(kept, there, right):
    assert between_edges(kept, (0, 0, 100, 80), there, 0) == right
