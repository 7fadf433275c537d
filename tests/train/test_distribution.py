"""Steering of label shares: which classes, from when on, how strongly, and that it gets there."""

import pytest
import torch

from pumpgan.losses.distribution import ShareTarget
from pumpgan.ops import label_stats
from pumpgan.train.config import SemganConfig
from pumpgan.train.distribution import (
    SETTLED_IMAGES,
    ShareControl,
    chosen_classes,
    memory_size,
    skipped_classes,
)

NAMES = ["background", "hat", "earring"]


def target(*presence: float) -> ShareTarget:
    """Each class in so many of 100 images, a tenth of each; the means are a tenth of the presences."""
    shares = (torch.arange(100)[:, None] < 100 * torch.tensor(presence, dtype=torch.float64)).double() / 10
    return ShareTarget.of_shares(shares, 1024)


def test_a_class_that_does_not_exist_gets_its_nearest_name():
    with pytest.raises(ValueError, match="did you mean 'earring'"):
        chosen_classes("earing", NAMES, target(1, 0.1, 0.3))


def test_a_named_class_that_no_label_holds_is_refused_but_all_leaves_it_out():
    real = target(1, 0, 0.3)
    with pytest.raises(ValueError, match="no training label has a pixel of 'hat'"):
        chosen_classes("hat,earring", NAMES, real)
    assert chosen_classes("all", NAMES, real) == [2] and skipped_classes("all", NAMES, real) == ["hat"]


def test_the_memory_holds_four_batches_and_fifteen_occurrences():
    assert memory_size(SemganConfig(batch=16), target(1, 0.05, 0.5), [2]) == 64
    assert memory_size(SemganConfig(batch=16), target(1, 0.05, 0.5), [1, 2]) == 300
    assert memory_size(SemganConfig(dist_memory=0), target(1, 0.05, 0.5), [1]) == 0


def test_steering_begins_only_after_common_classes_were_drawn_for_a_while():
    config = SemganConfig(batch=16, dist_loss="earring")
    control = ShareControl(config, target(1, 0.6, 0.3), NAMES, torch.device("cpu"))
    logits = torch.zeros(16, 3, 4, 4)
    logits[:, 0] = 1
    with_hat = logits.clone()
    with_hat[::2, 1, 0, 0] = 2  # in every second image: at least half as many as the real 60 %

    def feed(first: int, last: int, drawn: torch.Tensor) -> None:
        for step in range(first, last):
            leaf = drawn.clone().requires_grad_(True)
            control.gradient(leaf, torch.ones_like(leaf), step=step, images=16 * step)

    feed(0, 200, logits)
    assert not control.started
    feed(200, 300, with_hat)  # 1,600 images
    feed(300, 310, logits)
    feed(310, 320, with_hat)
    assert not control.started
    assert not control.established
    feed(320, 500, with_hat)
    assert control.established and not control.started  # images are still too rough to bend
    feed(SETTLED_IMAGES // 16, SETTLED_IMAGES // 16 + 1, logits)
    assert int(control.state["started"]) == SETTLED_IMAGES


def test_a_stated_start_is_kept():
    control = ShareControl(
        SemganConfig(dist_loss="hat", dist_start="2"), target(1, 0.6, 0.3), NAMES, torch.device("cpu")
    )
    leaf = torch.zeros(4, 3, 4, 4, requires_grad=True)
    assert control.gradient(leaf, torch.ones_like(leaf), step=1, images=1999)[0] is None
    assert control.gradient(leaf, torch.ones_like(leaf), step=2, images=2000)[0] is not None


def test_the_pull_is_balanced_against_the_adversarial_gradient_and_capped():
    config = SemganConfig(dist_loss="hat", dist_start="0", dist_balance=0.5)
    control = ShareControl(config, target(1, 0.6, 0.3), NAMES, torch.device("cpu"))
    leaf = torch.randn(4, 3, 4, 4, requires_grad=True)
    adversarial = torch.randn_like(leaf)
    pull, scalars = control.gradient(leaf, adversarial, step=0, images=0)
    assert pull.norm().item() == pytest.approx(0.5 * adversarial.norm().item(), rel=1e-4)
    assert scalars["dist/hat/weight"] > 0 and scalars["dist/hat/loss"] > 0
    control.state["loss_norm"] /= 100  # a step whose gradient is far above its running mean
    pull, _ = control.gradient(leaf, adversarial, step=1, images=4)
    assert pull.norm().item() == pytest.approx(2 * 0.5 * adversarial.norm().item(), rel=1e-3)


def test_a_target_that_no_image_can_hold_is_refused():
    real = target(1, 1, 0.3)
    ShareControl(SemganConfig(dist_loss="earring", dist_target="mean=11"), real, NAMES, torch.device("cpu"))
    with pytest.raises(ValueError, match="mean=11 asks hat to hold 110 % of the pixels"):
        ShareControl(SemganConfig(dist_loss="hat", dist_target="mean=11"), real, NAMES, torch.device("cpu"))


def test_each_class_pulls_alike_however_many_pixels_it_has():
    # A hat of a third of the image and an earring of a hundredth: pixels alone would leave the hat nearly all the pull.
    real = ShareTarget.of_shares(torch.tensor([[0.55, 0.4, 0.05], [0.75, 0.25, 0.0]], dtype=torch.float64), 1024)
    logits = torch.randn(4, 3, 32, 32) / 5 + torch.tensor([1.0, 0.5, 0.0])[:, None, None]
    adversarial = torch.randn_like(logits)

    def pull(classes: str) -> torch.Tensor:
        config = SemganConfig(dist_loss=classes, dist_start="0", dist_balance=0.5)
        control = ShareControl(config, real, NAMES, torch.device("cpu"))
        return control.gradient(logits.clone().requires_grad_(True), adversarial, step=0, images=0)[0]

    hat, earring, both = pull("hat"), pull("earring"), pull("hat,earring")
    for one in (hat, earring):
        assert one.norm().item() == pytest.approx(0.5 * adversarial.norm().item(), rel=1e-4)
    torch.testing.assert_close(both, (hat + earring) / 2**0.5)


def test_decay_halves_the_pull_every_so_many_images():
    config = SemganConfig(dist_loss="hat", dist_start="0", dist_lambda=3.0, dist_decay=1.0, dist_memory=0)
    control = ShareControl(config, target(1, 0.6, 0.3), NAMES, torch.device("cpu"))
    leaf = torch.randn(4, 3, 4, 4, requires_grad=True)
    pulls = [control.gradient(leaf, torch.ones_like(leaf), step=0, images=i)[0].norm() for i in (0, 1000)]
    assert (pulls[1] / pulls[0]).item() == pytest.approx(0.5, rel=1e-5)


@pytest.mark.parametrize("counts", ["soft", "straight-through"])
@pytest.mark.parametrize("kind", ["gaussian", "wasserstein", "energy"])  # a histogram sees only the bins beside
def test_following_the_pull_alone_leads_to_the_real_share(kind, counts):
    deviates = torch.linspace(-1.7, 1.7, 200, dtype=torch.float64)
    shares = torch.stack([0.7 + deviates * 0, 0.25 + 0.1 * deviates, 0.05 + 0.02 * deviates.flip(0)], dim=1)
    real = ShareTarget.of_shares(shares, 1024)
    stated = dict(dist_loss="hat,earring", dist_start="0", dist_lambda=1.0, dist_memory=0)
    config = SemganConfig(**stated, dist_kind=kind, dist_counts=counts)
    control = ShareControl(config, real, NAMES, torch.device("cpu"))
    logits = torch.randn(16, 3, 32, 32) / 10
    for step in range(400):
        leaf = logits.clone().requires_grad_(True)
        pull, _ = control.gradient(leaf, torch.ones_like(leaf), step=step, images=step)
        logits = logits - 2.0 * 0.99**step * pull / pull.norm() if pull.norm() > 0 else logits
    soft, hard = label_stats(logits, temperature=config.dist_temperature)
    shares = soft if counts == "soft" else hard.float() / 1024
    # Not the mean: 16 vectors that are never drawn afresh leave the largest of them where energy does not see it.
    torch.testing.assert_close(shares.median(dim=0).values.double(), real.mean, rtol=0.25, atol=0.0)
