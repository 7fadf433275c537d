"""The recipe's figures: rates, lazy factors, penalties and presets, against values worked out by hand."""

import copy

import pytest
import torch
from small_gan import small_gan
from torch import Tensor, nn

from pumpgan.train import gan as gan_module
from pumpgan.train import semgan
from pumpgan.train.gan import lazy_adam
from pumpgan.train.presets import configured
from pumpgan.train.semgan import PHASES, Semgan, image_r1_phase, label_r1_phase, path_length_phase

TRAINED = ("generator", "image_discriminator", "label_discriminator")


def settings(optimizer: torch.optim.Optimizer) -> tuple[float, float, float]:
    (group,) = optimizer.param_groups
    return group["lr"], *group["betas"]


def left_gradients(network: nn.Module) -> dict[str, Tensor]:
    return {name: p.grad for name, p in network.named_parameters() if p.grad is not None}


def keep_weights(gan: Semgan) -> None:
    """Optimisers take no step any more: what a phase left as gradient can be looked at."""
    for name in gan.OPTIMIZERS:
        getattr(gan, name).step = lambda: None


def assert_gradients(network: nn.Module, loss: Tensor, original: nn.Module) -> None:
    """The gradient left on `network` is that of `loss`, which was computed with the copy `original`."""
    parameters = dict(original.named_parameters())
    expected = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    left = left_gradients(network)
    assert left.keys() == {name for name, g in zip(parameters, expected, strict=True) if g is not None}
    for name, gradient in zip(parameters, expected, strict=True):
        if gradient is not None:
            torch.testing.assert_close(left[name], gradient, rtol=1e-4, atol=1e-6 * float(gradient.abs().max()))


def mean_squared_norm(score: Tensor, *inputs: Tensor) -> Tensor:
    """Of the summed score's gradient, over samples: minibatch statistics let one sample's score see the others."""
    gradients = torch.autograd.grad(score.sum(), inputs, create_graph=True)
    return sum(g.pow(2).sum() for g in gradients) / len(score)


# Adam under lazy regularisation -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "every, rate, beta2",
    [(4, 0.0016, 0.991992), (16, 0.0018824, 0.990585), (1, 0.001, 0.994987), (0, 0.002, 0.99)],
)
def test_lazy_adam_shares_its_pace_with_the_regulariser(every, rate, beta2):
    lr, first, second = settings(lazy_adam(nn.Linear(2, 2), 0.002, 0.99, every))
    assert (lr, first, second) == (pytest.approx(rate, rel=1e-4), 0.0, pytest.approx(beta2, abs=1e-6))


def test_each_network_is_paced_by_its_own_regulariser():
    gan, _ = small_gan()
    assert settings(gan.generator_optimizer) == (pytest.approx(0.0016), 0.0, pytest.approx(0.99**0.8))
    for optimizer in (gan.image_optimizer, gan.label_optimizer):
        assert settings(optimizer) == (pytest.approx(0.002 * 16 / 17), 0.0, pytest.approx(0.99 ** (16 / 17)))
    alone, _ = small_gan(path_length_weight=0.0)
    assert settings(alone.generator_optimizer) == (0.002, 0.0, 0.99)


# Regularisers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("every", [1, 16])
def test_image_r1_weighs_half_its_gamma_times_the_steps_between_two(every):
    gan, step = small_gan(r1_gamma=3.0, r1_every=every)
    keep_weights(gan)
    scalars = image_r1_phase(gan, step)
    network = copy.deepcopy(gan.image_discriminator)
    images = step.images.clone().requires_grad_(True)
    penalty = mean_squared_norm(network(images), images)
    torch.testing.assert_close(scalars["loss/image_r1"].detach(), penalty.detach())  # logged without its weight
    assert_gradients(gan.image_discriminator, penalty * 1.5 * every, network)


@pytest.mark.parametrize("form, part", [("sample", 1), ("batch", 1 / 16)])
@pytest.mark.parametrize("every", [1, 16])
def test_label_r1_weighs_likewise_and_a_sixteenth_of_it_for_the_mean_of_four(every, form, part):
    gan, step = small_gan(label_gamma=3.0, r1_every=every, label_r1=form)
    keep_weights(gan)
    network = copy.deepcopy(gan.label_discriminator)  # before the phase: each pass refines the spectral norms
    scalars = label_r1_phase(gan, step)
    inputs = [t.clone().requires_grad_(True) for t in (step.labelled_images, step.labels)]
    score = sum(s.mean(dim=(1, 2, 3)) for s in network(*inputs).scores)
    penalty = mean_squared_norm(score, *inputs) * part
    torch.testing.assert_close(scalars["loss/label_r1"].detach(), penalty.detach())
    assert_gradients(gan.label_discriminator, penalty * 1.5 * every, network)


@pytest.mark.parametrize("every", [1, 4])
def test_path_length_weighs_its_weight_times_the_steps_between_two(every):
    gan, step = small_gan(path_length_weight=3.0, path_length_every=every)
    gan.path_length_mean.fill_(0.25)
    keep_weights(gan)
    torch.manual_seed(7)
    scalars = path_length_phase(gan, step)
    torch.manual_seed(7)  # the same latents and noise
    original, gan.generator = gan.generator, copy.deepcopy(gan.generator)
    styles = gan.styles(2)  # half the batch
    images = gan.generator(styles).images
    noise = torch.randn_like(images) / 16  # of 16 x 16 pixels
    (jacobian,) = torch.autograd.grad((images * noise).sum(), styles, create_graph=True)
    lengths = jacobian.pow(2).sum(dim=2).mean(dim=1).sqrt()
    mean = 0.99 * 0.25 + 0.01 * lengths.mean().detach()
    torch.testing.assert_close(gan.path_length_mean, mean)
    penalty = (lengths - mean).pow(2).mean()
    torch.testing.assert_close(scalars["loss/path_length"].detach(), penalty.detach())
    assert_gradients(original, penalty * 3.0 * every, gan.generator)


def test_the_mean_path_length_starts_at_0_moves_by_a_hundredth_and_is_stored(monkeypatch):
    gan, step = small_gan()
    assert gan.path_length_mean == 0
    monkeypatch.setattr(gan_module, "path_lengths", lambda images, styles: images.mean() * 0 + torch.tensor([3.0, 5.0]))
    for expected in (0.04, 0.0796):
        path_length_phase(gan, step)
        assert gan.path_length_mean.item() == pytest.approx(expected, rel=1e-6)
    networks, rest = gan.tensors()
    assert rest["path_length_mean"].item() == pytest.approx(0.0796, rel=1e-6)
    other, _ = small_gan()
    other.load_tensors(networks, rest, 2)
    assert other.path_length_mean.item() == pytest.approx(0.0796, rel=1e-6)


# What may be trained ----------------------------------------------------------------------------------------


def frozen_parameters(gan: Semgan) -> list[str]:
    named = ((f"{n}.{k}", p) for n in TRAINED for k, p in getattr(gan, n).named_parameters())
    return [name for name, p in named if not p.requires_grad]


@pytest.mark.parametrize("phase", [phase for phase, _ in PHASES], ids=lambda p: p.__name__)
def test_a_phase_leaves_every_weight_trainable(phase):
    gan, step = small_gan()
    phase(gan, step)
    assert frozen_parameters(gan) == []
    assert not any(p.requires_grad for p in gan.averaged.parameters())


@pytest.mark.parametrize("broken", ["generator_nonsaturating", "feature_matching", "finish"])
def test_a_phase_that_fails_leaves_every_weight_trainable_too(monkeypatch, broken):
    def fail(*arguments):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(semgan, broken, fail)
    gan, step = small_gan()
    with pytest.raises(RuntimeError, match="out of memory"):
        semgan.generator_phase(gan, step)
    assert frozen_parameters(gan) == []


def test_the_discriminators_weights_are_frozen_while_the_generator_learns(monkeypatch):
    seen = {}

    def look(features, real):
        seen["frozen"] = frozen_parameters(gan)
        return torch.zeros([])

    gan, step = small_gan()
    monkeypatch.setattr(semgan, "feature_matching", look)
    semgan.generator_phase(gan, step)
    assert {name.split(".")[0] for name in seen["frozen"]} == {"image_discriminator", "label_discriminator"}
    assert not left_gradients(gan.image_discriminator) and not left_gradients(gan.label_discriminator)


# Style mixing and the thesis's preset -----------------------------------------------------------------------


@pytest.mark.parametrize("mixing, least, most", [(0.0, 0, 0), (0.9, 160, 198), (1.0, 200, 200)])
def test_styles_are_mixed_as_often_as_stated(mixing, least, most):
    gan, _ = small_gan(mixing=mixing)
    cutoffs = []
    for _ in range(200):
        styles = gan.styles(3).detach()
        differs = (styles != styles[:, :1]).any(dim=2)  # [3, styles] from the first one
        assert torch.equal(differs, differs[:1].expand_as(differs))  # the whole batch is cut at one index
        cutoffs.append(int(differs[0].sum()))
    mixed = [c for c in cutoffs if c]
    assert least <= len(mixed) <= most
    if mixed:
        assert set(mixed) == set(range(1, gan.generator.styles))  # at least one style of each of the two


def test_the_thesis_presets_figures():
    config = configured("semgan", "thesis", {})
    expected = dict(
        batch=8,
        generator_rate=0.002,
        discriminator_rate=0.002,
        beta2=0.99,
        r1_gamma=10.0,
        label_gamma=10.0,
        label_r1="batch",
        r1_every=16,
        feature_matching=2.0,
        path_length_weight=2.0,
        path_length_every=4,
        mixing=0.9,
        shared_fakes=False,
        semantic_gradients=True,
        ema_ramp=0.0,
        latent_size=512,
        style_size=512,
        mapping_depth=8,
        channel_base=32768,
        channel_most=512,
        patch_base=64,
    )
    assert {name: getattr(config, name) for name in expected} == expected
    assert 0.5 ** (config.batch / config.ema_images) == pytest.approx(0.997784, abs=1e-6)
