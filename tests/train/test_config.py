"""What a run can be told, and what is refused."""

import math

import pytest
import torch

from pumpgan.losses.distribution import ShareTarget
from pumpgan.train.config import SemganConfig, config_from_json, preset_named, semgan_config
from pumpgan.train.distribution import ShareControl, chosen_classes, memory_size, skipped_classes
from pumpgan.train.precision import resolve

NAMES = ["background", "hat", "earring"]


def target(*presence: float) -> ShareTarget:
    p = torch.tensor(presence)
    return ShareTarget(p / 10, p / 10, p, 1024)


@pytest.mark.parametrize(
    "bad, why",
    [
        (dict(batch=0), "--batch: must be at least 1"),
        (dict(resolution=48), "--resolution: must be a power of two"),
        (dict(mixing=1.5), "--mixing: must be a probability"),
        (dict(dist_start="soon"), "--dist-start: must be auto or"),
        (dict(dist_target="mean=x"), "--dist-target: must read like"),
        (dict(dist_target="median=2"), "--dist-target: must read like"),
        (dict(dist_temperature=0.0), "--dist-temperature: must be above 0"),
        (dict(precision="fp8"), "--precision: must be one of"),
        (dict(generator_rate=math.nan), "--generator-rate: must be above 0"),
    ],
)
def test_what_cannot_work_is_refused_with_its_option(bad, why):
    with pytest.raises(ValueError, match=why):
        SemganConfig(**bad)


def test_what_the_user_states_replaces_the_preset():
    assert semgan_config("tiny", {}).resolution == 32
    assert semgan_config("tiny", {"resolution": 64}).resolution == 64


def test_auto_is_tiny_without_a_gpu():
    assert preset_named("auto", on_gpu=False) == "tiny" and preset_named("auto", on_gpu=True) == "full"


def test_the_thesis_averages_by_a_constant_an_iteration():
    for batch in (8, 16):
        config = semgan_config("thesis", {"batch": batch})
        assert 0.5 ** (batch / config.ema_images) == pytest.approx(0.997784, abs=1e-6)


def test_a_stored_field_of_another_version_is_named():
    with pytest.raises(ValueError, match="unknown field 'bach'; did you mean 'batch'"):
        config_from_json({"bach": 3})


def test_target_factors_are_read():
    assert SemganConfig(dist_target="mean=2,var=3").target_factors() == {"mean": 2.0, "variance": 3.0}


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


def test_stated_precision_is_kept():
    assert resolve("fp32", torch.device("cpu")) == "fp32" and resolve("bf16", torch.device("cpu")) == "bf16"


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
    feed(320, 500, with_hat)
    assert control.started and int(control.state["started"]) >= 320 * 16


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
    assert "dist/weight" in scalars
    control.state["loss_norm"] /= 100  # a step whose gradient is far above its running mean
    pull, _ = control.gradient(leaf, adversarial, step=1, images=4)
    assert pull.norm().item() == pytest.approx(2 * 0.5 * adversarial.norm().item(), rel=1e-3)


def test_decay_halves_the_pull_every_so_many_images():
    config = SemganConfig(dist_loss="hat", dist_start="0", dist_lambda=3.0, dist_decay=1.0, dist_memory=0)
    control = ShareControl(config, target(1, 0.6, 0.3), NAMES, torch.device("cpu"))
    leaf = torch.randn(4, 3, 4, 4, requires_grad=True)
    pulls = [control.gradient(leaf, torch.ones_like(leaf), step=0, images=i)[0].norm() for i in (0, 1000)]
    assert (pulls[1] / pulls[0]).item() == pytest.approx(0.5, rel=1e-5)
