"""Distances between feature sets, each against another way to compute it."""

import numpy as np
import pytest
import torch
from scipy import linalg

from pumpgan.metrics.distances import frechet_distance, kernel_distance, precision_recall, squared_distances


def gaussian(seed: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    root = random.standard_normal((size, size))
    return random.standard_normal(size), root @ root.T / size


@pytest.mark.parametrize("size", [1, 2, 7, 40])
def test_frechet_distance_is_that_of_scipys_matrix_root(size):
    (m, c), (n, d) = gaussian(0, size), gaussian(1, size)
    root = linalg.sqrtm(c @ d).real
    expected = (m - n) @ (m - n) + np.trace(c + d - 2 * root)
    assert frechet_distance(m, c, n, d) == pytest.approx(expected, rel=1e-8)
    assert frechet_distance(n, d, m, c) == pytest.approx(expected, rel=1e-8)


def test_frechet_distance_of_commuting_covariances_has_a_closed_form():
    mean, other = np.array([1.0, 2.0, 3.0]), np.array([1.0, 0.0, 3.5])
    c, d = np.array([1.0, 4.0, 0.0]), np.array([9.0, 4.0, 25.0])
    expected = 0 + 4 + 0.25 + ((c**0.5 - d**0.5) ** 2).sum()
    assert frechet_distance(mean, np.diag(c), other, np.diag(d)) == pytest.approx(expected, rel=1e-12)


def test_frechet_distance_to_itself_is_zero_even_with_fewer_images_than_features():
    features = np.random.default_rng(0).standard_normal((20, 300)) * np.logspace(-6, 2, 300)
    mean, covariance = features.mean(0), np.cov(features, rowvar=False)
    assert abs(frechet_distance(mean, covariance, mean, covariance)) < 1e-10 * np.trace(covariance)


def test_frechet_distance_adds_eps_under_the_root_alone():
    (m, c), (n, d) = gaussian(0, 5), gaussian(1, 5)
    root = linalg.sqrtm((c + 0.1 * np.eye(5)) @ (d + 0.1 * np.eye(5))).real
    expected = (m - n) @ (m - n) + np.trace(c + d - 2 * root)
    assert frechet_distance(m, c, n, d, eps=0.1) == pytest.approx(expected, rel=1e-8)


def test_frechet_distance_agrees_with_torch_fidelity():
    fidelity = pytest.importorskip("torch_fidelity.metric_fid")
    (m, c), (n, d) = gaussian(0, 30), gaussian(1, 30)
    stats = {"mu": m, "sigma": c}, {"mu": n, "sigma": d}
    expected = fidelity.fid_statistics_to_metric(*stats, verbose=False)["frechet_inception_distance"]
    assert frechet_distance(m, c, n, d) == pytest.approx(expected, rel=1e-8)


def test_kernel_distance_is_the_sum_over_all_pairs():
    random = np.random.default_rng(0)
    x, y = random.standard_normal((9, 4)), random.standard_normal((9, 4)) + 0.5
    k = lambda a, b: (a @ b / 4 + 1) ** 3  # noqa: E731
    same = sum(k(s[i], s[j]) for s in (x, y) for i in range(9) for j in range(9) if i != j) / (9 * 8)
    across = sum(k(a, b) for a in x for b in y) / 81
    mean, deviation = kernel_distance(torch.from_numpy(x), torch.from_numpy(y))
    assert mean == pytest.approx(same - 2 * across, rel=1e-12)
    assert deviation == 0


def test_kernel_distance_agrees_with_torch_fidelity():
    fidelity = pytest.importorskip("torch_fidelity.metric_kid")
    source = torch.Generator().manual_seed(0)
    x, y = torch.randn(300, 16, generator=source), torch.randn(250, 16, generator=source) + 0.3
    how = dict(kid_kernel="poly", kid_kernel_poly_degree=3, kid_kernel_poly_gamma=None, kid_kernel_poly_coef0=1)
    theirs = fidelity.kid_features_to_metric(
        x, y, kid_subsets=200, kid_subset_size=200, rng_seed=2020, verbose=False, **how
    )
    ours = kernel_distance(x, y, subsets=200, size=200)
    spread = theirs["kernel_inception_distance_std"] / 200**0.5  # other subsets were drawn
    assert ours[0] == pytest.approx(theirs["kernel_inception_distance_mean"], abs=6 * spread)
    assert ours[1] == pytest.approx(theirs["kernel_inception_distance_std"], rel=0.3)


def test_kernel_distance_has_no_bias_where_there_is_no_difference():
    source = torch.Generator().manual_seed(0)
    values = [kernel_distance(*torch.randn(2, 40, 8, generator=source), subsets=1)[0] for _ in range(300)]
    assert abs(np.mean(values)) < 4 * np.std(values) / len(values) ** 0.5


def brute_force(points: np.ndarray, manifold: np.ndarray, k: int) -> float:
    hits = 0
    for p in points:
        for i, centre in enumerate(manifold):
            others = sorted(np.linalg.norm(centre - o) for j, o in enumerate(manifold) if j != i)
            if np.linalg.norm(p - centre) <= others[k - 1]:
                hits += 1
                break
    return hits / len(points)


@pytest.mark.parametrize("k", [1, 3])
def test_precision_and_recall_are_those_of_brute_force(k):
    random = np.random.default_rng(0)
    real, generated = random.standard_normal((40, 3)), 0.6 * random.standard_normal((33, 3)) + 0.5
    found = precision_recall(torch.from_numpy(real), torch.from_numpy(generated), neighbours=k)
    assert found == (brute_force(generated, real, k), brute_force(real, generated, k))
    assert 0 < found[1] < found[0] <= 1


def test_precision_and_recall_are_the_same_in_blocks(monkeypatch):
    source = torch.Generator().manual_seed(0)
    real, generated = torch.randn(70, 5, generator=source), torch.randn(64, 5, generator=source) + 0.4
    whole = precision_recall(real, generated)
    monkeypatch.setattr("pumpgan.metrics.distances.ROWS_AT_ONCE", 9)
    assert precision_recall(real, generated) == whole


def test_copies_are_wholly_precise_however_far_from_the_origin():
    real = torch.randn(50, 300, generator=torch.Generator().manual_seed(0)) + 1e4
    assert precision_recall(real, real.clone()) == (1, 1)
    few = real[:1].expand(30, -1)
    assert precision_recall(real, few) == (1, 1 / 50)  # a collapsed generator: precise, of no variety
    five_each = real.repeat(5, 1)  # balls of radius 0
    assert precision_recall(five_each, five_each.flip(0)) == (1, 1)
    assert not squared_distances(real.double(), real.double()).diagonal().any()


def test_too_few_features_and_unlike_ones_are_refused():
    with pytest.raises(ValueError, match=r"precision_recall: needs at least 4 features of each set, got 3 and 9"):
        precision_recall(torch.randn(3, 2), torch.randn(9, 2))
    with pytest.raises(ValueError, match=r"kernel_distance: features must be \[N, D\] and \[M, D\]"):
        kernel_distance(torch.randn(9, 2), torch.randn(9, 3))
