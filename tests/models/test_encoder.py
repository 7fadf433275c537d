"""The encoder: shapes, which map a style is read from, the published size, and what it refuses."""

import pytest
import torch

from pumpgan.models.encoder import Encoder, levels_of_styles
from pumpgan.models.generator import Generator, Widths


def small(size=(32, 32), channels=3, styles=8) -> Encoder:
    return Encoder(size, channels, styles, 5, backbone="resnet18", width=8)


@pytest.mark.parametrize("size, channels, styles", [((16, 16), 1, 6), ((32, 32), 3, 8), ((48, 32), 3, 8)])
def test_an_encoder_gives_every_layer_a_style(size, channels, styles):
    assert small(size, channels, styles)(torch.randn(2, channels, *size)).shape == (2, styles, 5)


def test_grey_images_read_like_their_colour_copies():
    grey, colour = small((16, 16), 1, 6), small((16, 16), 3, 6)
    colour.load_state_dict(grey.state_dict())
    images = torch.randn(2, 1, 16, 16)
    torch.testing.assert_close(grey(images), colour(images.repeat(1, 3, 1, 1)))


@pytest.mark.parametrize(
    "styles, coarse, medium, fine",
    [(2, 2, 0, 0), (4, 3, 1, 0), (6, 3, 2, 1), (8, 3, 3, 2), (10, 3, 4, 3), (12, 3, 4, 5), (14, 3, 4, 7)],
)
def test_styles_are_read_from_the_map_of_their_scale(styles, coarse, medium, fine):
    assert levels_of_styles(styles) == [2] * coarse + [1] * medium + [0] * fine


def test_a_head_halves_its_map_to_one_place():
    heads = small((64, 64), 3, 10).heads
    convolutions = [sum(isinstance(layer, torch.nn.Conv2d) for layer in head) for head in heads]
    assert convolutions == [2] * 3 + [3] * 4 + [4] * 3


def test_the_published_size_is_met():
    # Li et al. at 256 px: 211 M parameters.
    with torch.device("meta"):
        encoder = Encoder((256, 256), 3, 14, 512)
    assert sum(p.numel() for p in encoder.parameters()) / 1e6 == pytest.approx(211, abs=0.5)


def test_every_weight_learns():
    encoder = small()
    encoder(torch.randn(4, 3, 32, 32)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in encoder.parameters())


def test_normalisation_follows_the_batch_while_training_and_the_run_when_used():
    encoder, images = small(), torch.randn(4, 3, 32, 32)
    together = encoder(images)
    assert not torch.allclose(encoder(images[:2]), together[:2], atol=1e-3)
    encoder.eval()
    torch.testing.assert_close(encoder(images)[:2], encoder(images[:2]))


def test_an_untrained_encoder_of_a_generator_is_near_its_mean_style():
    generator = Generator((16, 16), 1, 2, widths=Widths(128, 16), latent_size=8, style_size=8, depth=2)
    generator.mapping.average.fill_(30.0)
    encoder = Encoder.of(generator, backbone="resnet18", width=8)
    styles = encoder(torch.randn(3, 1, 16, 16))
    assert styles.shape == (3, generator.styles, 8)
    assert (styles - 30).abs().max() < 10
    assert generator(styles).images.shape == (3, 1, 16, 16)


def test_images_of_another_shape_are_refused():
    for shape in [(2, 3, 64, 64), (2, 1, 32, 32), (3, 32, 32)]:
        with pytest.raises(ValueError, match=r"must be \[B, 3, 32, 32\]"):
            small()(torch.randn(shape))


@pytest.mark.parametrize("wrong", [dict(backbone="resnet99"), dict(size=(2, 32)), dict(channels=2), dict(width=0)])
def test_what_makes_no_network_is_refused(wrong):
    with pytest.raises(ValueError, match="Encoder: "):
        Encoder(**{**dict(size=(32, 32), channels=3, styles=8, style_size=5, width=8), **wrong})
