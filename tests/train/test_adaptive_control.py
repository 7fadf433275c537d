"""How the probability of augmentation moves, where it stops, and what is told about it."""

import pytest
import torch
from small_gan import small_gan

from pumpgan.augment.adaptive import PIPES as KNOWN_PIPES
from pumpgan.train.adaptive import AugmentControl
from pumpgan.train.config import PIPES, SemganConfig, Stylegan2AdaConfig
from pumpgan.train.gan import Step
from pumpgan.train.learner import take_step

CPU = torch.device("cpu")
SURE, UNSURE = torch.ones(32), torch.tensor([1.0, -1.0] * 16)


def control(**options) -> AugmentControl:
    return AugmentControl(Stylegan2AdaConfig(batch=32, **options), CPU)


def test_the_probability_moves_by_batch_times_steps_over_its_thousand_images():
    augment = control()
    augment.note(SURE, -SURE)
    augment.adjust(32)
    assert float(augment.state["p"]) == pytest.approx(32 * 4 / 500_000)  # 2.56e-4, as published


def test_it_rises_where_real_images_are_told_too_surely_and_falls_otherwise():
    augment = control(augment_p=0.5)
    for logits, direction in ((SURE, 1), (UNSURE, -1)):
        before = float(augment.state["p"])
        augment.note(logits, -SURE)
        augment.adjust(32)
        assert (float(augment.state["p"]) - before) * direction > 0


def test_the_mean_is_taken_over_all_images_since_it_last_moved():
    augment = control(augment_p=0.5)
    for logits in (SURE, UNSURE, UNSURE):  # 0.33, below 0.6; the last alone would do as well, the first would not
        augment.note(logits, -SURE)
    augment.adjust(32)
    assert float(augment.state["p"]) < 0.5
    augment.note(SURE, -SURE)
    augment.adjust(32)  # what was noted before no longer counts
    assert float(augment.state["p"]) == pytest.approx(0.5)


def test_it_stays_between_0_and_its_highest():
    augment = control(augment_kimg=0.128, augment_most=0.7)
    for logits, end in ((SURE, 0.7), (UNSURE, 0.0)):
        for _ in range(3):
            augment.note(logits, -SURE)
            augment.adjust(32)
        assert float(augment.state["p"]) == pytest.approx(end)


def test_a_fixed_probability_does_not_move():
    augment = control(augment="fixed", augment_p=0.3)
    augment.note(SURE, -SURE)
    augment.adjust(32)
    assert float(augment.state["p"]) == pytest.approx(0.3)


def test_without_augmentation_images_pass_untouched():
    images, labels = torch.randn(2, 3, 8, 8), torch.randn(2, 4, 8, 8)
    same, same_labels = control(augment="none")(images, labels)
    assert same is images and same_labels is labels


def test_images_and_labels_are_changed_together():
    torch.manual_seed(0)
    images = torch.linspace(-1, 1, 64).reshape(1, 1, 8, 8).expand(4, 1, 8, 8)
    seen, labels = control(augment="fixed", augment_p=0.8, augment_pipe="bg")(images, images.repeat(1, 2, 1, 1))
    assert not torch.allclose(seen, images)
    torch.testing.assert_close(labels, seen.repeat(1, 2, 1, 1))


def alarms_after(real: torch.Tensor, drawn: torch.Tensor) -> list[str]:
    augment = AugmentControl(SemganConfig(), CPU)
    for _ in range(600):
        augment.note(real, drawn)
    return augment.alarms()


def test_a_discriminator_that_wins_is_told_and_one_that_does_not_is_left_alone():
    assert alarms_after(UNSURE, -SURE) == []
    (line,) = alarms_after(SURE, -SURE)
    assert "sure of 99.9 % of the real images" in line and "--augment ada would help" in line


def test_a_discriminator_that_gave_up_is_told():
    (line,) = alarms_after(0.001 * UNSURE, -0.001 * UNSURE)
    assert "tells real from drawn images no longer" in line and "their logits differ by 0.0" in line


def test_a_probability_that_stays_at_its_highest_is_told():
    augment = control(augment_p=0.8)
    almost = torch.tensor([1.0] * 28 + [-1.0] * 4)  # 0.75, above 0.6 and below what counts as won
    for _ in range(400):
        augment.note(almost, -SURE)
        augment.adjust(32)
    (line,) = augment.alarms()
    assert "at its highest p, 0.8" in line


def test_the_command_line_knows_the_pipes_that_there_are():
    assert set(PIPES) == set(KNOWN_PIPES)


def test_adjustments_come_every_four_steps(monkeypatch):
    gan, step = small_gan()
    at = []
    monkeypatch.setattr(gan.augment, "adjust", lambda batch: at.append(gan.step))
    for _ in range(9):
        take_step(gan, Step(step.images, step.labelled_images, step.labels))
    assert at == [0, 4, 8]
