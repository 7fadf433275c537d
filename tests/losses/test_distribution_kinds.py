"""Distribution losses: each kind against its definition, which answer it prefers, and what a target holds."""

from itertools import product

import numpy as np
import pytest
import torch
from scipy import stats

from pumpgan.losses.distribution import BLUR, KINDS, ShareTarget, hard_shares, scaled_shares, share_distance
from pumpgan.train.config import SemganConfig

PIXELS = 64 * 64
everyone = pytest.mark.parametrize("kind", KINDS)


def earrings(count: int, rng: np.random.Generator) -> np.ndarray:
    """Shares like an earring's: in 24 % of the images, a few pixels, sometimes many."""
    present = rng.random(count) < 0.24
    return np.where(present, np.minimum(rng.lognormal(3.0, 0.8, count), 400) / PIXELS, 0.0)


def target_of(*columns: np.ndarray) -> ShareTarget:
    return ShareTarget.of_shares(torch.tensor(np.stack(columns, axis=1)), PIXELS)


def column(shares) -> torch.Tensor:
    return torch.as_tensor(shares, dtype=torch.float64)[:, None]


def test_the_command_line_offers_every_kind():
    assert SemganConfig.__dataclass_fields__["dist_kind"].metadata["choices"] == tuple(KINDS)


# Definitions ------------------------------------------------------------------------------------------------


def test_wasserstein_is_scipys_distance_over_the_deviation_where_sides_are_alike_in_number():
    rng = np.random.default_rng(0)
    real, drawn = earrings(300, rng), earrings(300, rng)
    expected = stats.wasserstein_distance(real, drawn) / target_of(real).unit.item()
    assert share_distance("wasserstein", column(drawn), target_of(real)).item() == pytest.approx(expected)


def test_ranks_of_a_small_batch_keep_the_real_mean():
    # No shares at all are off by the mean of the targets at their ranks, which is the real mean: 7 does not divide 100.
    real = earrings(100, np.random.default_rng(0))
    target = target_of(real)
    loss = share_distance("wasserstein", torch.zeros(7, 1, dtype=torch.float64), target)
    torch.testing.assert_close(loss, target.mean / target.unit)


def test_energy_is_what_all_pairs_say():
    rng = np.random.default_rng(0)
    real, drawn = earrings(90, rng), np.r_[earrings(20, rng), 0.01, 0.01]  # with ties
    drawn[3] = real.max()
    pairs = [abs(a - b) for i, a in enumerate(drawn) for j, b in enumerate(drawn) if i != j]
    across, within = np.abs(drawn[:, None] - real).mean(), np.abs(real[:, None] - real).mean()
    expected = (2 * across - np.mean(pairs) - within) / target_of(real).unit.item()
    assert share_distance("energy", column(drawn), target_of(real)).item() == pytest.approx(expected)


def test_energy_averages_to_nothing_over_small_draws_of_the_real_shares():
    rng = np.random.default_rng(0)
    real = earrings(2_000, rng)
    target = target_of(real)
    losses = [float(share_distance("energy", column(rng.choice(real, 4)), target)) for _ in range(4_000)]
    assert abs(np.mean(losses)) < 3 * np.std(losses) / 4_000**0.5


def test_a_histogram_divides_a_share_between_two_bins_and_loses_none():
    real = earrings(500, np.random.default_rng(0))
    target = target_of(real)
    bins = target.histogram[0]
    assert bins.sum().item() == pytest.approx(1) and bins[0].item() == pytest.approx((real == 0).mean(), abs=0.02)
    (centres,) = target.centres
    middle = 0.25 * centres[2] + 0.75 * centres[3]
    both = torch.zeros_like(bins)
    both[2:4] = torch.tensor([0.25, 0.75])
    held = bins > 0
    expected = (bins * (bins / (BLUR * bins + (1 - BLUR) * both)).log())[held].sum()[None]
    assert not held.all()  # no real share comes near the last peak
    torch.testing.assert_close(share_distance("histogram", column([float(middle)]), target), expected)


def test_a_histogram_of_equal_shares_does_not_jump_at_them():
    target = target_of(np.full(40, 0.02))  # all quantiles are one: its peaks are set a pixel apart
    assert target.centres.diff().min().item() > 0.99 / PIXELS
    at, below = (share_distance("histogram", column([f] * 8), target) for f in (0.02, 0.02 - 1e-7))
    assert (at - below).abs().item() < 0.01


@everyone
def test_the_real_shares_themselves_are_at_no_distance(kind):
    real = earrings(400, np.random.default_rng(0))
    assert share_distance(kind, column(real), target_of(real)).item() == pytest.approx(0, abs=2e-3)


@everyone
def test_a_class_weighs_the_same_whatever_its_size(kind):
    rng = np.random.default_rng(0)
    real, drawn = earrings(400, rng), 2 * earrings(100, rng)
    small, large = target_of(real), target_of(5 * real)
    ours = share_distance(kind, column(drawn), small).item()
    assert share_distance(kind, column(5 * drawn), large).item() == pytest.approx(
        ours, rel=0.1
    )  # a histogram's peaks are a pixel apart
    assert share_distance(kind, column(drawn).repeat(1, 2), target_of(real, real)).tolist() == [pytest.approx(ours)] * 2


# Which answer is preferred ------------------------------------------------------------------------------------

ANSWERS = {
    "none": lambda s, rng: np.zeros_like(s),
    "a third as many": lambda s, rng: np.where(rng.random(len(s)) < 1 / 3, s, 0),
    "twice as many": lambda s, rng: np.where(s > 0, s, rng.permutation(s)),
    "thrice as many at a third of the size": lambda s, rng: (
        np.maximum.reduce([s, rng.permutation(s), rng.permutation(s)]) / 3
    ),
}


def mean_losses(kind: str, vectors: int, draws: int) -> dict[str, float]:
    """The mean loss of the truth and of each wrong answer, over the same draws of real shares."""
    rng = np.random.default_rng(0)
    real = earrings(20_000, rng)
    target = target_of(real)
    losses = {name: [] for name in ("truth", *ANSWERS)}
    for _ in range(draws):
        truth = rng.choice(real, vectors)
        for name in losses:
            shares = truth if name == "truth" else ANSWERS[name](truth, rng)
            losses[name].append(float(share_distance(kind, column(shares), target)))
    return {name: float(np.mean(values)) for name, values in losses.items()}


@pytest.mark.parametrize(
    ("kind", "vectors", "draws"),
    [("gaussian", 256, 200), ("wasserstein", 256, 200), ("histogram", 256, 200), ("energy", 8, 4_000)],
)
def test_the_truth_is_preferred_to_every_wrong_answer(kind, vectors, draws):
    means = mean_losses(kind, vectors, draws)
    assert means["truth"] < min(means[wrong] for wrong in ANSWERS), means


def test_without_a_memory_eight_vectors_mislead_the_gaussian():
    means = mean_losses("gaussian", 8, 1_000)  # why a memory exists: at a batch of 8 it likes twice as many earrings
    assert means["twice as many"] < means["truth"]


# Gradients ----------------------------------------------------------------------------------------------------


@everyone
def test_a_memory_scales_the_gradient_back_to_that_of_the_whole(kind):
    shares = torch.rand(20, 2, dtype=torch.float64) / 10
    target = target_of(*np.random.default_rng(0).random((2, 50)) / 8)
    everything = shares.clone().requires_grad_(True)
    share_distance(kind, everything, target).sum().backward()
    batch = shares[:5].clone().requires_grad_(True)
    loss = share_distance(kind, batch, target, shares[5:])
    loss.sum().backward()
    torch.testing.assert_close(loss, share_distance(kind, shares, target))
    torch.testing.assert_close(batch.grad, everything.grad[:5] * 20 / 5)


@everyone
@pytest.mark.parametrize("remembered", [0, 7])
def test_the_gradient_is_that_of_the_value(kind, remembered):
    target = target_of(*np.random.default_rng(0).random((2, 50)) / 8)
    memory = torch.rand(remembered, 2, dtype=torch.float64) / 10
    shares = (torch.rand(6, 2, dtype=torch.float64) / 10).requires_grad_(True)
    (grad,) = torch.autograd.grad(share_distance(kind, shares, target, memory).sum(), shares)
    step = torch.zeros(6, 2, dtype=torch.float64)
    for i, c in np.ndindex(6, 2):  # the gradient is that of the value times (M + B) / B, so gradcheck cannot say it
        step.zero_()[i, c] = 1e-7
        up, down = (share_distance(kind, (shares + s).detach(), target, memory)[c] for s in (step, -step))
        slope = (up - down) / 2e-7 * (6 + remembered) / 6
        torch.testing.assert_close(grad[i, c], slope, rtol=1e-5, atol=1e-6)


@everyone
@pytest.mark.parametrize(
    "real",
    [np.full(40, 0.02), np.r_[np.zeros(39), 1 / PIXELS], np.ones(40), np.full(1, 0.5), np.linspace(0, 1, 40)],
    ids=["no spread", "one pixel", "the whole image", "one image", "anything"],
)
def test_values_and_gradients_are_finite_whatever_is_drawn(kind, real):
    for drawn, count, dtype in product((0.0, 1e-12, 0.02, 1.0), (1, 8), (torch.float32, torch.float64)):
        shares = torch.full((count, 1), drawn, dtype=dtype, requires_grad=True)
        loss = share_distance(kind, shares, target_of(real))
        loss.backward()
        assert loss.dtype == dtype and torch.isfinite(loss) and torch.isfinite(shares.grad).all(), (drawn, count)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "wasserstein"])  # it tells equal ones apart by rank
def test_images_that_draw_alike_are_pulled_alike(kind):
    target = target_of(earrings(2_000, np.random.default_rng(0)))
    shares = torch.zeros(8, 1, dtype=torch.float64, requires_grad=True)
    share_distance(kind, shares, target).backward()
    assert shares.grad.std() == 0


@everyone
def test_where_the_class_is_missing_more_of_it_is_better(kind):
    target = target_of(earrings(2_000, np.random.default_rng(0)))
    shares = torch.zeros(8, 1, requires_grad=True)
    share_distance(kind, shares, target).backward()
    assert shares.grad.sum() < 0 and shares.grad.max() <= 0


@everyone
def test_where_every_image_is_full_of_the_class_less_of_it_is_better(kind):
    target = target_of(earrings(2_000, np.random.default_rng(0)))
    shares = torch.linspace(0.3, 0.9, 8)[:, None].requires_grad_(True)
    share_distance(kind, shares, target).backward()
    assert shares.grad.sum() > 0


# Targets ------------------------------------------------------------------------------------------------------


def test_twice_the_mean_and_variance_of_a_rare_class_is_about_twice_as_many_images():
    target = target_of(earrings(5_000, np.random.default_rng(0)))
    scaled = target.scaled(mean=2.0, variance=2.0)
    torch.testing.assert_close(scaled.shares.mean(dim=1), 2 * target.mean)
    torch.testing.assert_close(scaled.shares.var(dim=1, unbiased=False), 2 * target.std.square(), rtol=0.01, atol=0)
    assert 1.7 < (scaled.presence / target.presence).item() < 2
    torch.testing.assert_close((scaled.mean, scaled.std.square()), (2 * target.mean, 2 * target.std.square()))


@pytest.mark.parametrize(("mean", "variance"), [(1.2, 1.0), (0.8, 1.5), (1.0, 0.5)])
def test_a_common_class_gets_its_moments_by_size(mean, variance):
    target = target_of(np.r_[np.zeros(10), np.random.default_rng(0).normal(0.3, 0.05, 990).clip(0.2, 0.4)])
    scaled = target.scaled(mean=mean, variance=variance)
    torch.testing.assert_close(scaled.shares.mean(dim=1), mean * target.mean)
    torch.testing.assert_close(scaled.shares.var(dim=1, unbiased=False), variance * target.std.square())
    torch.testing.assert_close(scaled.presence, target.presence)


def test_scaled_shares_stay_shares():
    for row in (torch.zeros(9), torch.ones(9), torch.linspace(0, 1, 9), torch.tensor([0.0] * 8 + [0.9])):
        for mean, variance in ((0.01, 0.01), (5.0, 0.1), (0.1, 5.0), (2.0, 100.0)):
            shares = scaled_shares(row.double(), row.double().mean() * mean, row.double().std() * variance**0.5)
            assert shares.shape == row.shape and bool(((shares >= 0) & (shares <= 1)).all())


def test_a_target_knows_the_labels_it_was_made_of():
    labels = torch.tensor([[[0, 1], [1, 2]], [[0, 0], [0, 0]]], dtype=torch.uint8)
    target = ShareTarget.of(labels, 3)
    assert hard_shares(labels, 3).tolist() == [[0.25, 0.5, 0.25], [1.0, 0.0, 0.0]]
    assert target.shares.tolist() == [[0.25, 1.0], [0.0, 0.5], [0.0, 0.25]] and target.pixels == 4
    assert target.mean.tolist() == [0.625, 0.25, 0.125] and target.presence.tolist() == [1.0, 0.5, 0.5]
    assert target.only([2, 0]).shares.tolist() == [[0.0, 0.25], [0.25, 1.0]]
