"""Losses against hand-made cases, and which answer the distribution loss prefers."""

import math

import numpy as np
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
from pumpgan.losses.distribution import ShareTarget, gaussian_distance, hard_shares

PIXELS = 64 * 64


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


# What the loss prefers ------------------------------------------------------------------------------------


def real_shares(count: int, rng: np.random.Generator) -> np.ndarray:
    """Shares like an earring's: in 24 % of the images, a few pixels, sometimes many."""
    present = rng.random(count) < 0.24
    return np.where(present, np.minimum(rng.lognormal(3.0, 0.8, count), 400) / PIXELS, 0.0)


def target_of(shares: np.ndarray) -> ShareTarget:
    both = np.stack([1 - shares, shares], axis=1)
    return ShareTarget(torch.tensor(both.mean(0)), torch.tensor(both.std(0)), torch.tensor((both > 0).mean(0)), PIXELS)


ANSWERS = {
    "none": lambda s, rng: np.zeros_like(s),
    "a third as many": lambda s, rng: np.where(rng.random(len(s)) < 1 / 3, s, 0),
    "twice as many": lambda s, rng: np.where(s > 0, s, rng.permutation(s)),
    "thrice as many at a third of the size": lambda s, rng: (
        np.maximum.reduce([s, rng.permutation(s), rng.permutation(s)]) / 3
    ),
}


@pytest.mark.parametrize("wrong", ANSWERS)
def test_the_truth_is_preferred_at_256_vectors(wrong):
    rng = np.random.default_rng(0)
    everyone = real_shares(20_000, rng)
    target = target_of(everyone)
    scores = {"truth": [], wrong: []}
    for _ in range(200):
        truth = rng.choice(everyone, 256)
        for name, shares in (("truth", truth), (wrong, ANSWERS[wrong](truth, rng))):
            both = torch.tensor(np.stack([1 - shares, shares], axis=1))
            scores[name].append(float(gaussian_distance(both, target, [1])))
    assert np.mean(scores["truth"]) < np.mean(scores[wrong])


def test_without_a_memory_eight_vectors_mislead():
    # Why a memory exists: at a batch of 8 the loss prefers twice as many earrings to the truth.
    rng = np.random.default_rng(0)
    everyone = real_shares(20_000, rng)
    target = target_of(everyone)
    means = []
    for answer in (lambda s, rng: s, ANSWERS["twice as many"]):
        losses = []
        for _ in range(2_000):
            shares = answer(rng.choice(everyone, 8), rng)
            losses.append(float(gaussian_distance(torch.tensor(np.stack([1 - shares, shares], 1)), target, [1])))
        means.append(np.mean(losses))
    assert means[1] < means[0]


def test_a_memory_scales_the_gradient_back_to_that_of_the_whole():
    rng = torch.Generator().manual_seed(0)
    shares = torch.rand(20, 2, generator=rng, dtype=torch.float64) / 10
    target = target_of(np.full(4, 0.02) + np.arange(4) / 100)
    everything = shares.clone().requires_grad_(True)
    gaussian_distance(everything, target, [1]).backward()
    batch = shares[:5].clone().requires_grad_(True)
    gaussian_distance(batch, target, [1], shares[5:]).backward()
    torch.testing.assert_close(batch.grad, everything.grad[:5] * 20 / 5)


def test_a_batch_without_the_class_still_has_a_finite_gradient():
    target = target_of(real_shares(2_000, np.random.default_rng(0)))
    shares = torch.zeros(8, 2, requires_grad=True)
    gaussian_distance(shares, target, [1]).backward()
    assert torch.isfinite(shares.grad).all() and shares.grad[:, 1].max() < 0  # more of it is better


def test_target_scaling_doubles_mean_and_variance():
    target = target_of(real_shares(1_000, np.random.default_rng(0)))
    scaled = target.scaled(mean=2.0, variance=2.0)
    torch.testing.assert_close(scaled.mean, target.mean * 2)
    torch.testing.assert_close(scaled.std.square(), target.std.square() * 2)


def test_hard_shares_add_up_to_one():
    shares = hard_shares(torch.tensor([[[0, 1], [1, 2]], [[0, 0], [0, 0]]], dtype=torch.uint8), 3)
    assert shares.tolist() == [[0.25, 0.5, 0.25], [1.0, 0.0, 0.0]]
