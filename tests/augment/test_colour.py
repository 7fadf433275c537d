"""Jitter: each image its own draw, the same for the same seed, and nothing outside of what images may be."""

import pytest
import torch

from pumpgan.augment.colour import BRIGHTNESS, CONTRAST, jitter


def seeded(seed):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("channels", [1, 3])
def test_images_stay_images(channels):
    images = torch.rand(16, channels, 6, 5) * 2 - 1
    changed = jitter(images, 5.0)
    assert changed.shape == images.shape and changed.dtype == images.dtype
    assert changed.min() >= -1 and changed.max() <= 1 and not torch.equal(changed, images)


def test_a_caller_s_images_are_not_touched():
    images = torch.rand(3, 3, 4, 4) * 2 - 1
    before = images.clone()
    jitter(images)
    assert torch.equal(images, before)


def test_each_image_is_changed_in_its_own_way_and_all_its_pixels_alike():
    images = torch.linspace(-0.5, 0.5, 20).view(1, 1, 4, 5).repeat(8, 1, 1, 1)
    changed = jitter(images)
    slopes = (changed[:, 0, 3, 4] - changed[:, 0, 0, 0]).double()
    assert len(slopes.unique()) == 8
    offsets = changed.mean(dim=(1, 2, 3)).double()
    for image, slope, offset in zip(changed, slopes, offsets, strict=True):
        torch.testing.assert_close(image[0].double(), slope * images[0, 0].double() + offset, atol=1e-6, rtol=0)


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_brightness_and_contrast_fill_their_ranges(strength):
    middle = torch.tensor([0.0, 0.25]).view(1, 1, 1, 2).repeat(4000, 1, 1, 1)
    changed = jitter(middle, strength, generator=seeded(0))[:, 0, 0]
    contrast = ((changed[:, 1] - changed[:, 0]) / 0.25).log2()
    brightness = changed[:, 0] / contrast.exp2()
    for drawn, most in ((brightness, BRIGHTNESS * strength), (contrast, CONTRAST * strength)):
        assert 0.98 * most < drawn.max() < 1.001 * most and -1.001 * most < drawn.min() < -0.98 * most
        assert abs(drawn.mean()) < 5 * most / (3 * 4000) ** 0.5


def test_grey_stays_grey_in_three_channels_and_colours_turn():
    grey = torch.rand(4, 1, 3, 3).expand(-1, 3, -1, -1) - 0.5
    changed = jitter(grey)
    torch.testing.assert_close(changed, changed[:, :1].expand_as(changed), atol=1e-6, rtol=0)
    red = torch.zeros(200, 3, 1, 1)
    red[:, 0] = 0.3
    changed = jitter(red)[:, :, 0, 0]
    assert (changed[:, 1] - changed[:, 2]).abs().max() > 0.02  # hue parts what were equal
    assert (changed.argmax(1) == 0).all()  # and a red stays one


def test_a_seed_gives_the_same_changes_and_another_others():
    images = torch.rand(4, 3, 4, 4)
    assert torch.equal(jitter(images, generator=seeded(7)), jitter(images, generator=seeded(7)))
    assert not torch.equal(jitter(images, generator=seeded(7)), jitter(images, generator=seeded(8)))
    torch.manual_seed(3)
    first = jitter(images)
    torch.manual_seed(3)
    assert torch.equal(first, jitter(images))


def test_at_strength_zero_nothing_is_drawn_nor_changed():
    images, before = torch.rand(2, 3, 4, 4), torch.get_rng_state()
    assert jitter(images, 0.0) is images and torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("strength", [-0.1, float("inf"), float("nan")])
def test_a_strength_without_sense_is_refused(strength):
    with pytest.raises(ValueError, match="strength must be at least 0"):
        jitter(torch.zeros(1, 1, 2, 2), strength)


@pytest.mark.parametrize("images", [torch.zeros(1, 2, 3, 3), torch.zeros(3, 3, 3), torch.zeros(1, 1, 3, 3).byte()])
def test_what_are_no_images_is_refused(images):
    with pytest.raises(ValueError, match="images must be float"):
        jitter(images)
