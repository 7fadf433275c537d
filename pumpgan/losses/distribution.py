"""Distribution loss: generated label maps should cover each class as the real ones do.

A share is the fraction of an image's pixels that a class holds. `label_stats` gives soft shares with a gradient; the
functions here compare a set of share vectors [N, C] with what the real labels hold.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from pumpgan.ops import gaussian_kl


@dataclass(frozen=True)
class ShareTarget:
    """What the real labels hold, one entry a class; all in fractions of the pixels of an image."""

    mean: Tensor  # [C]
    std: Tensor  # [C], over images
    presence: Tensor  # [C], fraction of images with at least one pixel
    pixels: int  # pixels of an image

    @classmethod
    def of(cls, labels: Tensor, classes: int) -> "ShareTarget":
        """labels: [N, H, W] class ids of all real training labels."""
        shares = hard_shares(labels, classes)
        return cls(
            shares.mean(dim=0), shares.std(dim=0, unbiased=False), (shares > 0).double().mean(dim=0), labels[0].numel()
        )

    def scaled(self, *, mean: float = 1.0, variance: float = 1.0) -> "ShareTarget":
        return ShareTarget(self.mean * mean, self.std * variance**0.5, self.presence, self.pixels)

    def floor(self) -> Tensor:
        """[C]; keeps a batch without spread from an infinite loss: max(1 pixel, std / 8)."""
        return torch.clamp(self.std / 8, min=1 / self.pixels)


def hard_shares(labels: Tensor, classes: int) -> Tensor:
    """[N, H, W] class ids -> [N, classes] float64 shares."""
    flat = labels.reshape(len(labels), -1)
    return torch.stack([(flat == c).sum(dim=1) for c in range(classes)], dim=1).double() / flat.shape[1]


def gaussian_distance(shares: Tensor, target: ShareTarget, chosen: list[int], memory: Tensor | None = None) -> Tensor:
    """Mean over the chosen classes of KL(N(real) || N(generated)), moments taken over batch and memory.

    shares: [B, C] with gradient. memory: [M, C] of earlier batches, without. A batch of B of M + B vectors moves the
    moments by B / (M + B) of what it would alone, so its gradient is scaled back by (M + B) / B.
    """
    shares = shares[:, chosen]
    if memory is not None and len(memory):
        gain = (len(memory) + len(shares)) / len(shares)
        shares = shares + (gain - 1) * (shares - shares.detach())  # the value stays, the gradient grows
        shares = torch.cat([shares, memory[:, chosen].to(shares.dtype)])
    mean, std, floor = (t[chosen].to(shares) for t in (target.mean, target.std, target.floor()))
    return gaussian_kl(shares, mean, std, floor).mean()
