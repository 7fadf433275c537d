"""The networks: shapes, what depends on what, and the sizes of the published models."""

import pytest
import torch

from pumpgan.models.discriminators import ImageDiscriminator, LabelDiscriminator, signed_one_hot
from pumpgan.models.generator import Generator, Widths
from pumpgan.models.layers import MinibatchStd

SMALL = dict(widths=Widths(128, 16, 8), latent_size=8, style_size=8, depth=2)


def millions(network) -> float:
    return sum(p.numel() for p in network.parameters()) / 1e6


@pytest.mark.parametrize("resolution, channels, classes", [(8, 1, 2), (16, 3, 5), (32, 3, 11)])
def test_a_generator_draws_images_and_logits_of_its_size(resolution, channels, classes):
    generator = Generator((resolution, resolution), channels, classes, **SMALL)
    drawn = generator(generator.mixed_styles(torch.randn(2, 8)))
    assert drawn.images.shape == (2, channels, resolution, resolution)
    assert drawn.labels.shape == (2, classes, resolution, resolution)


def test_a_generator_refuses_a_size_it_cannot_double_to():
    with pytest.raises(ValueError, match="power of two"):
        Generator((50, 50), 3, 2, **SMALL)


def test_fresh_images_have_unit_scale():
    generator = Generator((32, 32), 3, 2, **SMALL)
    drawn = generator(generator.mixed_styles(torch.randn(16, 8)))
    assert 0.3 < drawn.images.std() < 6


def test_images_and_labels_share_their_trunk_but_not_their_heads():
    generator = Generator((16, 16), 3, 4, **SMALL)
    styles = generator.mixed_styles(torch.randn(2, 8))
    generator(styles).labels.square().sum().backward()
    assert all(c.weight.grad is not None and c.weight.grad.abs().sum() > 0 for c in generator.convs)
    image_head, label_head = generator.heads[-1].weights
    assert image_head.grad.abs().sum() == 0 and label_head.grad.abs().sum() > 0


def test_style_mixing_takes_the_second_latent_from_the_cutoff_on():
    generator = Generator((16, 16), 1, 2, **SMALL)
    z, other = torch.randn(2, 1, 8)
    mixed = generator.mixed_styles(z, other, 3)
    assert torch.equal(mixed[:, :3], generator.mixed_styles(z)[:, :3])
    assert torch.equal(mixed[:, 3:], generator.mixed_styles(other)[:, 3:])


def test_the_published_sizes_are_met():
    # Li et al. at 64 px, 8 classes: generator 28.4 M, image discriminator 26.5 M; label discriminator 8.32 M.
    widths = Widths(32768, 512)
    generator = Generator((64, 64), 3, 8, widths=widths, latent_size=512, style_size=512, depth=8)
    assert generator.styles == 10
    assert millions(generator) == pytest.approx(28.4, abs=0.1)
    assert millions(ImageDiscriminator((64, 64), 3, widths=widths)) == pytest.approx(26.5, abs=0.1)
    assert millions(LabelDiscriminator(3, 8, base=64)) == pytest.approx(8.32, abs=0.05)


def test_patches_have_the_published_maps():
    judged = LabelDiscriminator(3, 2, base=4)(torch.randn(1, 3, 64, 64), torch.randn(1, 2, 64, 64))
    assert [s.shape[-1] for s in judged.scores] == [11, 7, 5]
    assert [len(f) for f in judged.features] == [4, 4, 4]


def test_an_image_discriminator_gives_one_score_an_image():
    network = ImageDiscriminator((16, 16), 3, widths=Widths(128, 16))
    assert network(torch.randn(6, 3, 16, 16)).shape == (6,)


def test_sets_judged_together_do_not_see_each_other():
    network, a, b = ImageDiscriminator((16, 16), 3, widths=Widths(128, 16)), *torch.randn(2, 6, 3, 16, 16)
    together = network(torch.cat([a, b]), sets=2)
    torch.testing.assert_close(together, torch.cat([network(a), network(b)]))


def test_minibatch_deviation_is_that_of_each_group():
    x = torch.randn(8, 3, 4, 4)
    y = MinibatchStd(4)(x)
    for first in (0, 4):
        group = x[first : first + 4]
        expected = (group.var(dim=0, unbiased=False) + 1e-8).sqrt().mean()
        torch.testing.assert_close(y[first : first + 4, 3], expected.expand(4, 4, 4))


def test_one_hot_labels_are_signed():
    hot = signed_one_hot(torch.tensor([[[0, 2]]]), 3)
    assert hot.tolist() == [[[[1.0, -1.0]], [[-1.0, -1.0]], [[-1.0, 1.0]]]]
