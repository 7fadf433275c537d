"""The phases of a step: which weights each may change, and that the regularisers reach them."""

import pytest
import torch
from small_gan import small_gan

from pumpgan.train import semgan
from pumpgan.train.adaptive import AugmentControl
from pumpgan.train.gan import Step
from pumpgan.train.learner import take_step
from pumpgan.train.semgan import (
    PHASES,
    Semgan,
    generator_phase,
    image_discriminator_phase,
    image_r1_phase,
    label_discriminator_phase,
    label_r1_phase,
    path_length_phase,
)

NETWORKS = {
    image_discriminator_phase: "image_discriminator",
    image_r1_phase: "image_discriminator",
    label_discriminator_phase: "label_discriminator",
    label_r1_phase: "label_discriminator",
    generator_phase: "generator",
    path_length_phase: "generator",
}


def weights(gan: Semgan) -> dict[str, torch.Tensor]:
    return {
        f"{n}.{k}": v.detach().clone()
        for n in ("generator", "image_discriminator", "label_discriminator")
        for k, v in getattr(gan, n).named_parameters()
    }


def changed(gan: Semgan, before: dict[str, torch.Tensor]) -> set[str]:
    return {name for name, value in weights(gan).items() if not torch.equal(value, before[name])}


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("phase", NETWORKS, ids=lambda p: p.__name__)
def test_a_phase_changes_its_network_and_no_other(phase, shared):
    gan, step = small_gan(shared_fakes=shared)
    before = weights(gan)
    phase(gan, step)
    names = changed(gan, before)
    assert names and {n.split(".")[0] for n in names} == {NETWORKS[phase]}


@pytest.mark.parametrize("phase", [image_r1_phase, label_r1_phase], ids=lambda p: p.__name__)
def test_r1_alone_moves_the_convolutions_of_its_discriminator(phase):
    # The published code froze the image discriminator before its R1, which then reached no weight at all.
    gan, step = small_gan()
    image_discriminator_phase(gan, step)
    label_discriminator_phase(gan, step)
    before = weights(gan)
    phase(gan, step)
    moved = {n for n in changed(gan, before) if before[n].ndim == 4}
    expected = {n for n, v in before.items() if n.startswith(NETWORKS[phase]) and v.ndim == 4}
    assert moved == expected


def test_r1s_gradient_is_that_of_finite_differences():
    gan, step = small_gan(r1_gamma=2.0, r1_every=1)  # gamma / 2 * r1_every is 1: the gradient is the penalty's own
    network = gan.image_discriminator.double()
    network.dtype = torch.float64
    gan.image_optimizer.step = lambda: None  # the weights stay, their gradient is looked at
    images = step.images.double()
    image_r1_phase(gan, Step(images, images, step.labels))
    weight = network.blocks[0].first.weight
    direction = torch.randn(weight.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3))

    def penalty(distance: float) -> float:
        with torch.no_grad():
            weight.add_(direction, alpha=distance)
        leaf = images.clone().requires_grad_(True)
        (gradient,) = torch.autograd.grad(network(leaf).sum(), leaf)
        with torch.no_grad():
            weight.sub_(direction, alpha=distance)
        return gradient.square().sum().item() / len(images)

    h = 1e-6
    difference = (penalty(h) - penalty(-h)) / (2 * h)
    assert (weight.grad * direction).sum().item() == pytest.approx(difference, rel=1e-4)


def test_without_semantic_gradients_the_label_judge_leaves_the_image_head_alone():
    moved = {}
    for let in (True, False):
        gan, step = small_gan(semantic_gradients=let)
        for p in gan.image_discriminator.score.parameters():  # an image discriminator without an opinion
            p.data.zero_()
        gan.image_discriminator.hidden.weight.data.zero_()
        generator_phase(gan, step)
        moved[let] = gan.generator.heads[-1].weights[0].grad.abs().sum().item()
    assert moved[True] > 0 and moved[False] == 0


def test_the_averaged_generator_follows_by_its_half_life():
    gan, step = small_gan(ema_images=4.0, ema_ramp=0.0)  # a batch of 4: half of the way each step
    before = gan.averaged.start.clone()
    take_step(gan, step)
    torch.testing.assert_close(gan.averaged.start, (before + gan.generator.start) / 2)


def test_the_averaged_generator_forgets_its_first_weights_at_once():
    gan, step = small_gan(ema_images=1e6, ema_ramp=1.0)  # half-life: all images so far
    before = gan.averaged.start.clone()
    take_step(gan, step)
    torch.testing.assert_close(gan.averaged.start, (before + gan.generator.start) / 2)


def test_a_state_loaded_into_a_fresh_run_goes_on_alike():
    gan, step = small_gan(dist_loss="all", dist_start="0", path_length_weight=2.0)
    for _ in range(5):
        step._fakes = None
        take_step(gan, step)
    networks, rest = ({k: v.clone() for k, v in part.items()} for part in gan.tensors())
    other, _ = small_gan(dist_loss="all", dist_start="0", path_length_weight=2.0)
    other.load_tensors(networks, rest, 5)
    for run in (gan, other):
        for _ in range(3):
            torch.manual_seed(run.step)
            step._fakes = None
            take_step(run, step)
    for mine, theirs in zip(gan.tensors(), other.tensors(), strict=True):
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[k], theirs[k]) for k in mine)


def test_every_phase_can_be_told_apart():
    assert len({phase.__name__ for phase, _ in PHASES}) == len(PHASES)


# Augmentation -----------------------------------------------------------------------------------------------


def test_images_and_their_labels_are_augmented_together_wherever_they_are_judged(monkeypatch):
    gan, step = small_gan(augment="fixed", augment_p=0.5)
    seen = []
    apply = AugmentControl.__call__

    def spy(self, images, labels=None):
        seen.append((len(images), labels is not None))
        return apply(self, images, labels)

    monkeypatch.setattr(AugmentControl, "__call__", spy)
    take_step(gan, step)
    alone = [(8, False), (4, False)]  # the image discriminator: real and drawn; R1
    together = [(8, True), (4, True), (4, True), (4, True)]  # the label discriminator's; R1; drawn; real, for features
    assert seen == alone + together


def test_without_semantic_gradients_images_learn_nothing_from_labels_through_the_warp_either(monkeypatch):
    """What reaches the drawn images of the label discriminator's judgement: all of it, or nothing."""
    reached = {}
    for semantic in (True, False):
        gan, step = small_gan(augment="fixed", augment_p=0.8, semantic_gradients=semantic, feature_matching=0.0)
        gan.image_discriminator.forward = lambda images, **_: images.flatten(1).sum(dim=1) * 0
        with monkeypatch.context() as patched:
            patched.setattr(torch.autograd, "backward", lambda drawn, g, key=semantic: reached.update({key: g}))
            patched.setattr(semgan, "finish", lambda *_: None)
            generator_phase(gan, step)
    of_images = {semantic: float(gradients[0].abs().sum()) for semantic, gradients in reached.items()}
    assert of_images[True] > 0 and of_images[False] == 0


def test_an_augmented_run_in_two_parts_ends_in_the_same_state_as_one_in_one():
    options = dict(augment="ada", augment_kimg=0.02, augment_target=-0.9)  # p rises fast

    def steps(gan, step, count):
        for _ in range(count):
            torch.manual_seed(gan.step)
            take_step(gan, Step(step.images, step.labelled_images, step.labels))

    whole, step = small_gan(**options)
    steps(whole, step, 10)
    first, step = small_gan(**options)
    steps(first, step, 5)
    second, step = small_gan(**options)
    second.load_tensors(*first.tensors(), step=5)
    steps(second, step, 5)
    assert float(whole.augment.state["p"]) > 0.1
    for one, other in zip(whole.tensors(), second.tensors(), strict=True):
        assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
