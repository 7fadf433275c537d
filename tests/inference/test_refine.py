"""Latent refinement: it comes closer to the image, alone as in company; its schedule and its noise."""

import pytest
import torch

from pumpgan.inference.refine import Refined, autocorrelation, normalised, ramp, refine
from pumpgan.models.encoder import Encoder, fixed_noise
from pumpgan.models.generator import Generator, Widths


@pytest.fixture(scope="module")
def networks() -> tuple[Generator, Encoder]:
    """In float64, where what rounding does to company cannot grow in a few steps."""
    torch.manual_seed(0)
    generator = Generator((16, 16), 1, 3, widths=Widths(64, 8), latent_size=8, style_size=8, depth=2)
    for conv in generator.convs:
        torch.nn.init.constant_(conv.noise_strength, 0.1)
    encoder = Encoder.of(generator, backbone="resnet18", width=8).eval()
    generator.dtype = torch.float64
    return generator.double().requires_grad_(False), encoder.double().requires_grad_(False)


@pytest.fixture(scope="module")
def images(networks) -> torch.Tensor:
    """Such as the generator can draw."""
    generator, _ = networks
    styles = generator.mixed_styles(torch.randn(3, 8, generator=torch.Generator().manual_seed(1)).double())
    return generator(styles, fixed_noise(generator, 3, 5, like=styles)).images


@pytest.mark.parametrize("start", ["encoder", "mean"])
def test_refinement_comes_closer_to_every_image(networks, images, start):
    found = refine(*networks, images, steps=15, start=start, rate=0.1)
    assert found.losses.shape == (16, 3)
    assert (found.losses[-1] < 0.5 * found.losses[0]).all()
    torch.testing.assert_close(found.losses[-1], (found.drawn.images - images).square().mean(dim=(1, 2, 3)))


@pytest.mark.parametrize("start", ["encoder", "mean"])
def test_a_picture_alone_and_in_company_is_refined_alike(networks, images, start):
    together = refine(*networks, images, steps=5, start=start)
    alone = refine(*networks, images[1:2], steps=5, start=start)
    for ours, theirs in zip(flat(together), flat(alone), strict=True):
        torch.testing.assert_close(ours[1:2], theirs)


def flat(found: Refined) -> list[torch.Tensor]:
    return [found.styles, *found.noise, *found.drawn, found.losses.T]


def test_no_step_gives_what_the_start_draws(networks, images):
    generator, encoder = networks
    assert torch.equal(refine(generator, encoder, images, steps=0).styles, encoder(images))
    mean = refine(generator, encoder, images, steps=0, start="mean").styles
    assert torch.equal(mean, generator.mapping.average.expand(3, generator.styles, -1))


def test_refinement_is_repeatable_and_its_noise_depends_on_the_seed(networks, images):
    one, two, other = (refine(*networks, images, steps=3, seed=seed) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(flat(one), flat(two), strict=True))
    assert not torch.allclose(one.noise[-1], other.noise[-1], atol=0.1)


def test_noise_keeps_its_variance_and_gets_no_structure(networks, images):
    generator, encoder = networks
    found = refine(generator, encoder, images, steps=40, start="mean")
    for noise in found.noise:
        assert noise.mean(dim=(1, 2, 3)).abs().max() < 1e-6
        torch.testing.assert_close(noise.square().mean(dim=(1, 2, 3)), torch.ones(3).double())
    assert autocorrelation(found.noise[-1]).max() < 0.02


def test_perceptual_distance_takes_the_place_of_most_of_the_squared_error(networks, images):
    class Blurred:
        """Stands in for LPIPS: its features are means of four pixels."""

        def features(self, images):
            return [torch.nn.functional.avg_pool2d(images, 2)]

        def distance(self, features, others):
            return (features[0] - others[0]).square().mean(dim=(1, 2, 3))

    found = refine(*networks, images, steps=30, perceptual=Blurred(), start="mean")
    blurred, drawn = Blurred(), found.drawn.images
    expected = blurred.distance(blurred.features(drawn), blurred.features(images))
    expected = expected + 0.1 * (drawn - images).square().mean(dim=(1, 2, 3))
    torch.testing.assert_close(found.losses[-1], expected)
    assert (found.losses[-1] < found.losses[0]).all()


def test_networks_stay_as_they_are(networks, images):
    before = [p.clone() for network in networks for p in network.state_dict().values()]
    refine(*networks, images, steps=2)
    after = [p for network in networks for p in network.state_dict().values()]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert all(p.grad is None for network in networks for p in network.parameters())


def test_the_rate_rises_over_a_twentieth_of_the_steps_and_falls_over_the_last_quarter():
    assert [round(ramp(done), 6) for done in (0, 0.025, 0.05, 0.5, 0.75, 0.875, 1)] == [0, 0.5, 1, 1, 1, 0.5, 0]


def test_structure_shows_as_autocorrelation_at_its_own_scale():
    fine = torch.randn(2, 1, 32, 32)
    coarse = torch.nn.functional.interpolate(torch.randn(2, 1, 16, 16), scale_factor=2)
    assert autocorrelation(normalised(fine)).max() < 0.1
    assert (autocorrelation(normalised(coarse)) > 0.4).all()  # neighbours agree half of the time, on both axes


def test_an_encoder_in_training_is_refused(networks, images):
    generator, encoder = networks
    encoder.train()
    try:
        with pytest.raises(ValueError, match="evaluation mode"):
            refine(generator, encoder, images)
    finally:
        encoder.eval()


@pytest.mark.parametrize("wrong", [dict(start="nowhere"), dict(steps=-1), dict(rate=0.0), dict(rate=float("inf"))])
def test_what_means_nothing_is_refused(networks, images, wrong):
    with pytest.raises(ValueError, match="refine: "):
        refine(*networks, images, **wrong)
