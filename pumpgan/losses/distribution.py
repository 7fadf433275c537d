"""Distribution losses: generated label maps should cover each class as the real ones do.

A share is the fraction of an image's pixels that a class holds. `label_stats` gives soft shares with a gradient; the
functions here compare a set of share vectors [N, C] with what the real labels hold. To add a kind: write its function,
add it to KINDS and to the choices of `--dist-kind`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.functional import pad

from pumpgan.ops import gaussian_kl

RARE = 0.5  # a class in fewer of the real images is scaled by its frequency, a commoner one by its size
BINS = 8  # of a histogram, over the shares above 0
BLUR = 0.05  # part of the real histogram in the generated one, which bounds the loss and its gradient


@dataclass(frozen=True)
class ShareTarget:
    """What the real labels hold, one entry a class; all in fractions of the pixels of an image."""

    mean: Tensor  # [C]
    std: Tensor  # [C], over images
    presence: Tensor  # [C], fraction of images with at least one pixel
    shares: Tensor  # [C, R] of R images, ascending
    pixels: int  # pixels of an image

    @classmethod
    def of(cls, labels: Tensor, classes: int) -> "ShareTarget":
        """labels: [N, H, W] class ids of all real training labels."""
        return cls.of_shares(hard_shares(labels, classes), labels[0].numel())

    @classmethod
    def of_shares(cls, shares: Tensor, pixels: int) -> "ShareTarget":
        """shares: [N, C] of N images."""
        present = (shares > 0).double().mean(dim=0)
        return cls(
            shares.mean(dim=0),
            shares.std(dim=0, unbiased=False),
            present,
            shares.t().contiguous().sort().values,
            pixels,
        )

    def scaled(self, *, mean: float = 1.0, variance: float = 1.0) -> "ShareTarget":
        """The target with its moments multiplied, and shares that have them as far as shares of 0 to 1 can.

        A class in under half of the images is drawn in more or fewer of them (presence) at another size; of a commoner
        one the shares above 0 are stretched and moved. So twice the mean and the variance of an earring is about twice
        as many earrings, and of hair is more hair.
        """
        if mean == variance == 1:
            return self
        moments = self.mean * mean, self.std * variance**0.5
        rows = [scaled_shares(row, m, s) for row, m, s in zip(self.shares, *moments, strict=True)]
        shares = torch.stack(rows).sort().values
        return replace(self, mean=moments[0], std=moments[1], presence=(shares > 0).double().mean(dim=1), shares=shares)

    def only(self, classes: list[int]) -> "ShareTarget":
        tensors = {name: getattr(self, name)[classes] for name in ("mean", "std", "presence", "shares")}
        return replace(self, **tensors)

    def to(self, device: torch.device, dtype: torch.dtype) -> "ShareTarget":
        if self.shares.device == device and self.shares.dtype == dtype:
            return self  # with all that it has worked out
        tensors = {name: getattr(self, name).to(device, dtype) for name in ("mean", "std", "presence", "shares")}
        return replace(self, **tensors)

    @cached_property
    def floor(self) -> Tensor:
        """[C]; keeps a batch without spread from an infinite loss: max(1 pixel, std / 8)."""
        return torch.clamp(self.std / 8, min=1 / self.pixels)

    @cached_property
    def unit(self) -> Tensor:
        """[C]; the deviation with its floor: what distances between shares are measured in, so that classes compare."""
        return (self.std.square() + self.floor.square()).sqrt()

    @cached_property
    def sums(self) -> Tensor:
        """[C, R + 1] float64; the sum of the k smallest shares at k, divided by R. Differences of it are small."""
        return pad(self.shares.double().cumsum(dim=1), (1, 0)) / self.shares.shape[1]

    @cached_property
    def spread(self) -> Tensor:
        """[C]; the mean of |r - r'| over all pairs of real shares."""
        return pair_distance(self.shares) * (1 - 1 / self.shares.shape[1])

    @cached_property
    def centres(self) -> Tensor:
        """[C, BINS + 2]; peaks of a histogram's bins: 0, quantiles of the shares above 0, one above 1.

        Neighbours stand at least a pixel apart, and the largest quantile is the largest share. None reaches the last
        peak, so every share lies between two, and one larger than any real one is the worse the larger it is.
        """
        rows = []
        for row in self.shares:
            above = row[row > 0] if bool(row[-1] > 0) else row[-1:] + 1 / self.pixels
            rows.append(above[[-(-(i + 1) * len(above) // BINS) - 1 for i in range(BINS)]])
        quantiles = torch.stack(rows)
        apart = torch.arange(1, BINS + 1).to(quantiles) / self.pixels
        quantiles = (quantiles - apart).clamp(min=0).cummax(dim=1).values + apart
        return torch.cat([torch.zeros_like(quantiles[:, :1]), quantiles, quantiles[:, -1:] + 1], dim=1)

    @cached_property
    def histogram(self) -> Tensor:
        """[C, BINS + 2]; the real images by bin, adding up to 1."""
        return soft_histogram(self.shares, self.centres)


def scaled_shares(row: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Real shares [R] of one class, ascending, made to have another mean and deviation where 0 to 1 allows it."""
    above = row[row > 0]
    if not len(above):
        return row
    count, square = len(row), std.square() + mean.square()
    if len(above) < RARE * count:
        # Presence scales mean and mean square alike, so their ratio says by how much the shares themselves must grow.
        size = square / mean * (above.mean() / above.square().mean())
        wanted = min(count, max(1, round(count * float(mean / (size * above.mean())))))
        picked = above[((2 * torch.arange(wanted) + 1) * len(above)) // (2 * wanted)]
        picked = picked * (mean * count / picked.sum())
    else:
        part = len(above) / count
        centre, variance = mean / part, (square / part - (mean / part).square()).clamp(min=0)
        around = above.std(unbiased=False)
        picked = centre + (above - above.mean()) * (variance.sqrt() / around if around > 0 else 0.0)
    return pad(picked.clamp(0, 1), (count - len(picked), 0))


def hard_shares(labels: Tensor, classes: int) -> Tensor:
    """[N, H, W] class ids -> [N, classes] float64 shares."""
    flat = labels.reshape(len(labels), -1)
    return torch.stack([(flat == c).sum(dim=1) for c in range(classes)], dim=1).double() / flat.shape[1]


# Kinds ----------------------------------------------------------------------------------------------------
# A kind takes generated shares [C, N] with gradient and the target, on one device in one dtype, and returns a distance
# for each class [C] that has no unit: a class of few pixels weighs as much as one of many.


def gaussian(shares: Tensor, target: ShareTarget) -> Tensor:
    """KL(N(real) || N(generated)) of the two normal distributions with the moments of the shares."""
    return gaussian_kl(shares.t(), target.mean, target.std, target.floor)


def wasserstein(shares: Tensor, target: ShareTarget) -> Tensor:
    """Mean |sorted share - real share at the same rank|, in deviations.

    The real share at rank i of N is the mean between the quantiles i / N and (i + 1) / N, so that their mean is the
    real one however few ranks there are.
    """
    count, real = shares.shape[1], target.shares.shape[1]
    at = torch.linspace(0, real, count + 1, dtype=torch.float64, device=shares.device)
    below = at.floor().long().clamp(max=real - 1)
    sums = target.sums[:, below] + (at - below) * target.shares[:, below] / real
    wanted = (sums.diff(dim=1) * count).to(shares)
    return (shares.sort(dim=1).values - wanted).abs().mean(dim=1) / target.unit


def energy(shares: Tensor, target: ShareTarget) -> Tensor:
    """2 E|f - r| - E|f - f'| - E|r - r'|, in deviations: Székely and Rizzo 2013, doi:10.1016/j.jspi.2013.03.018.

    f, f' are pairs of two different generated images (a U-statistic), r, r' all real ones: over draws from the real
    shares its mean is 0 however few are drawn, and above 0 over any others. One image has no pair, and E|f - f'| is 0.
    Without a matrix of pairs: |f - r| summed over r is f (below - above) + what is above - what is below.
    """
    real = target.shares.shape[1]
    below, up_to = ranks(target.shares, shares)
    beside = target.sums[:, -1:] - target.sums.gather(1, below) - target.sums.gather(1, up_to)
    to_real = shares * ((below + up_to).to(shares) / real - 1) + beside.to(shares)
    return (2 * to_real.mean(dim=1) - pair_distance(shares) - target.spread) / target.unit


def histogram(shares: Tensor, target: ShareTarget) -> Tensor:
    """KL(real || BLUR * real + (1 - BLUR) * generated) of histograms in which a share is divided between two peaks.

    A little of the real histogram keeps an empty bin from an infinite loss, and the smallest one where both are equal:
    the skew divergence of Lee 1999, doi:10.3115/1034678.1034693. A share is pulled by the two bins beside it alone.
    """
    real, generated = target.histogram, soft_histogram(shares, target.centres)
    ratio = (BLUR + (1 - BLUR) * generated / real.clamp(min=torch.finfo(real.dtype).tiny)).where(real > 0, 1.0)
    return -(real * ratio.log()).sum(dim=1)


KINDS: dict[str, Callable[[Tensor, ShareTarget], Tensor]] = {
    "gaussian": gaussian,
    "wasserstein": wasserstein,
    "energy": energy,
    "histogram": histogram,
}


def share_distance(kind: str, shares: Tensor, target: ShareTarget, memory: Tensor | None = None) -> Tensor:
    """[C]; the distance that `kind` names of each class, taken over batch and memory.

    shares: [B, C] with gradient. memory: [M, C] of earlier batches, without. A batch of B of M + B vectors moves the
    distance by B / (M + B) of what it would alone, so its gradient is scaled back by (M + B) / B. That holds for every
    kind: each is a mean over the vectors (energy: plus one over pairs, of which a vector is in two), whose slope at a
    vector is 1 / (M + B) times what the vector's place in the whole says.
    """
    if memory is not None and len(memory):
        gain = (len(memory) + len(shares)) / len(shares)
        shares = shares + (gain - 1) * (shares - shares.detach())  # the value stays, the gradient grows
        shares = torch.cat([shares, memory.to(shares.dtype)])
    return KINDS[kind](shares.t().contiguous(), target.to(shares.device, shares.dtype))


def ranks(ascending: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """How many of `ascending` [C, R] are below each of `values` [C, N], and how many are below or equal."""
    at = values.detach().contiguous()
    return torch.searchsorted(ascending, at), torch.searchsorted(ascending, at, right=True)


def pair_distance(shares: Tensor) -> Tensor:
    """[C, N] -> [C]: mean |f - f'| over pairs of two different ones, 0 for N = 1. Its slope at a tie is 0."""
    count = shares.shape[1]
    below, up_to = ranks(shares.detach().sort(dim=1).values, shares)
    return 2 * (shares * (below + up_to - count)).sum(dim=1) / (count * max(count - 1, 1))


def soft_histogram(shares: Tensor, centres: Tensor) -> Tensor:
    """[C, N] and ascending peaks [C, K] -> [C, K]: the shares by bin, each divided linearly between two peaks."""
    left = ranks(centres, shares)[1].clamp(1, centres.shape[1] - 1) - 1
    low, high = centres.gather(1, left), centres.gather(1, left + 1)
    right_part = (shares - low) / (high - low)
    bins = torch.zeros_like(centres).scatter_add(1, left, 1 - right_part).scatter_add(1, left + 1, right_part)
    return bins / shares.shape[1]
