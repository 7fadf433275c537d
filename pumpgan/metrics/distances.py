"""Distances between two sets of features: Fréchet's, the kernel one, and the precision and recall of manifolds."""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import linalg
from torch import Tensor

Array = NDArray[np.float64]

SUBSETS, SUBSET_SIZE = 100, 1000  # of the kernel distance, as StyleGAN2-ADA's
NEIGHBOURS = 3
ROWS_AT_ONCE = 2048


def frechet_distance(
    real_mean: Array, real_covariance: Array, mean: Array, covariance: Array, *, eps: float = 0.0
) -> float:
    """|m - m'|^2 + tr(C + C' - 2 (C C')^(1/2)) between two Gaussians. Heusel et al. 2017, arXiv:1706.08500.

    With C = L L' and C' = K K', the root's trace is the sum of the singular values of L' K: no root of a matrix that
    is not symmetric, exact for fewer images than features, and 0 for equal arguments but for rounding.

    eps: added to both diagonals under the root alone, as SemanticGAN does.
    """
    shift = real_mean - mean
    trace = np.trace(real_covariance) + np.trace(covariance)
    roots = linalg.svdvals(factor(real_covariance, eps).T @ factor(covariance, eps))
    return float(shift @ shift + trace - 2 * roots.sum())


def factor(covariance: Array, eps: float) -> Array:
    """L [D, rank] with L L' = covariance + eps. Eigenvalues below its rounding are none."""
    values, vectors = linalg.eigh(covariance)
    values = values + eps
    there = values > len(values) * np.finfo(np.float64).eps * max(values[-1], 0.0)
    return vectors[:, there] * np.sqrt(values[there])


def kernel_distance(
    real: Tensor, generated: Tensor, *, subsets: int = SUBSETS, size: int = SUBSET_SIZE, seed: int = 0
) -> tuple[float, float]:
    """(mean, standard deviation over subsets) of the squared maximum mean discrepancy under (x y / D + 1)^3, unbiased:
    slightly below 0 where there is no difference. Bińkowski et al. 2018, arXiv:1801.01401.

    real, generated: [N, D], [M, D]. Each subset has `size` of both, fewer where there are fewer; `seed` draws them.
    """
    check_features("kernel_distance", real, generated, 2)
    m = min(size, len(real), len(generated))
    random = np.random.Generator(np.random.PCG64([seed]))
    values = []
    for _ in range(1 if m == len(real) == len(generated) else subsets):  # else all of them would be the whole
        x, y = (
            side[torch.from_numpy(random.choice(len(side), m, replace=False))].double() for side in (real, generated)
        )
        same = sum(float(k.sum() - k.diagonal().sum()) for k in (kernel(x, x), kernel(y, y))) / (m * (m - 1))
        values.append(same - 2 * float(kernel(x, y).mean()))
    return float(np.mean(values)), float(np.std(values))


def kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1) ** 3


def precision_recall(real: Tensor, generated: Tensor, *, neighbours: int = NEIGHBOURS) -> tuple[float, float]:
    """(precision, recall), 0 to 1: the part of generated features within the real manifold, and the other way round.

    A manifold is the union of balls about each feature that reach to its k-th nearest neighbour in its own set.
    Kynkäänniemi et al. 2019, arXiv:1904.06991, who measure it on VGG-16's features; here on those given.

    real, generated: [N, D], [M, D], more than `neighbours` each. Distances are taken a block at a time.
    """
    check_features("precision_recall", real, generated, neighbours + 1)
    centre = real.double().mean(dim=0)  # differences of large numbers would cost digits
    real, generated = real.double() - centre, generated.double() - centre
    return within(generated, real, neighbours), within(real, generated, neighbours)


def within(points: Tensor, manifold: Tensor, neighbours: int) -> float:
    """The part of `points` inside at least one ball of `manifold`."""
    radii = torch.cat(
        [squared_distances(rows, manifold).kthvalue(neighbours + 1).values for rows in manifold.split(ROWS_AT_ONCE)]
    )  # each is its own nearest
    inside = sum(
        int((squared_distances(rows, manifold) <= radii).any(dim=1).sum()) for rows in points.split(ROWS_AT_ONCE)
    )
    return inside / len(points)


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """[N, M]; exactly 0 where rounding leaves no difference."""
    lengths = a.square().sum(dim=1)[:, None] + b.square().sum(dim=1)
    squares = lengths - 2 * a @ b.T
    return squares.where(squares > 1e-13 * lengths, 0.0)


def check_features(where: str, real: Tensor, generated: Tensor, least: int) -> None:
    if real.ndim != 2 or generated.ndim != 2 or real.shape[1] != generated.shape[1]:
        shapes = f"{list(real.shape)} and {list(generated.shape)}"
        raise ValueError(f"{where}: features must be [N, D] and [M, D], got {shapes}")
    if min(len(real), len(generated)) < least:
        counts = f"{len(real)} and {len(generated)}"
        raise ValueError(f"{where}: needs at least {least} features of each set, got {counts}")
