"""Adversarial losses against hand-made cases."""

import math

import pytest
import torch

from pumpgan.losses.adversarial import (
    discriminator_hinge,
    discriminator_logistic,
    feature_matching,
    generator_hinge,
    generator_nonsaturating,
    path_lengths,
    r1_penalty,
)


def test_logistic_losses_at_no_opinion_are_logarithms_of_two():
    zero = torch.zeros(3)
    assert discriminator_logistic(zero, zero).item() == pytest.approx(2 * math.log(2))
    assert generator_nonsaturating(zero).item() == pytest.approx(math.log(2))


def test_hinge_weighs_scales_alike_whatever_their_size():
    real, fake = [torch.full((2, 1, 4, 4), 0.5), torch.full((2, 1, 1, 1), 2.0)], [torch.zeros(2, 1, 4, 4)] * 2
    assert discriminator_hinge(real, fake).item() == pytest.approx(((0.5 + 0) / 2 + 1) / 2)
    assert generator_hinge(real).item() == pytest.approx(-1.25)


def test_feature_matching_sums_layers_and_averages_scales():
    zero, one = torch.zeros(2, 3), torch.ones(2, 3)
    assert feature_matching([[one, one], [one, zero]], [[zero, zero], [zero, zero]]).item() == pytest.approx(1.5)


def test_r1_is_the_squared_norm_of_each_samples_gradient():
    x, weight = torch.randn(3, 2, 4, 4, requires_grad=True), torch.randn(2, 4, 4)
    penalty = r1_penalty((x * weight).sum(dim=(1, 2, 3)), [x])
    torch.testing.assert_close(penalty, weight.square().sum())


def test_r1_sums_over_all_inputs():
    x, y = torch.randn(3, 2, requires_grad=True), torch.randn(3, 5, requires_grad=True)
    penalty = r1_penalty(2 * x.sum(dim=1) + y.sum(dim=1), [x, y])
    torch.testing.assert_close(penalty, torch.tensor(4.0 * 2 + 5))


def test_a_linear_generator_has_the_path_length_of_its_matrix():
    torch.manual_seed(0)
    styles = torch.randn(20_000, 1, 1, requires_grad=True)
    images = (3 * styles[:, :, :, None]).expand(-1, 1, 2, 2)  # J is 3 four times; E of its squared length is 9
    assert path_lengths(images, styles).square().mean().item() == pytest.approx(9.0, rel=0.05)
