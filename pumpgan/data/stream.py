"""Endless batches of a set without state: batch `step` depends on the seed and `step` alone, so a resumed run sees what
the unbroken one would have."""

import functools
import hashlib
import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pumpgan.data.dataset import FLIPS

RESIDENT_SHARE = 0.5  # of the free device memory that a set may take to live there


@dataclass(frozen=True)
class Batch:
    """images: float32 [B, C, H, W] in [-1, 1]. labels: class ids, int64 [B, H, W], or None for an unlabelled stream.
    conditions: int64 [B], what each image's own label says, or None where the stream has none."""

    images: Tensor
    labels: Tensor | None
    conditions: Tensor | None = None


class Stream:
    """`stream(step)` is the batch of that step.

    The images are walked in a fresh order every epoch; a set smaller than the batch simply comes round within it. With
    weights there are no epochs: every sample is drawn anew from all images. With several ranks each gets its `batch`
    consecutive samples of a step, so R ranks together see what one with a batch R times as large would.

    images: uint8 [N, C, H, W]. labels: uint8 [N, H, W] or None. conditions: int64 [N] or None. weights: float [N], not
    negative, in proportion to which images are drawn, or None. flips: "none", "h" (left-right) or "hv" (both axes, each
    with probability 1/2, images and labels alike). seed: not negative. name: tells streams of one run apart. A set that
    fits moves to `device` once and batches are gathered there; a larger one is sent batch by batch.

    Raises ValueError where these do not fit together.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor | None = None,
        *,
        batch: int,
        conditions: Tensor | None = None,
        weights: Tensor | None = None,
        flips: str = "none",
        seed: int = 0,
        name: str = "train",
        device: torch.device | str = "cpu",
        rank: int = 0,
        ranks: int = 1,
    ):
        if images.dtype != torch.uint8 or images.ndim != 4 or not len(images):
            raise ValueError(
                f"stream: images must be uint8 [N, C, H, W], N > 0, got {images.dtype} {list(images.shape)}"
            )
        if labels is not None and (labels.dtype != torch.uint8 or labels.shape != images[:, 0].shape):
            raise ValueError(f"stream: labels must be uint8 [N, H, W] as the images, got {list(labels.shape)}")
        if conditions is not None and conditions.shape != images.shape[:1]:
            raise ValueError(f"stream: conditions must be int64 [N] as the images, got {list(conditions.shape)}")
        if weights is not None and weights.shape != images.shape[:1]:
            raise ValueError(f"stream: weights must be float [N] as the images, got {list(weights.shape)}")
        if weights is not None and not (bool((weights >= 0).all()) and 0 < float(weights.sum()) < math.inf):
            raise ValueError(
                f"stream: weights must not be negative and have a sum, got {weights.min():g} to {weights.max():g}"
            )
        if batch < 1:
            raise ValueError(f"batch: must be at least 1, got {batch}")
        if flips not in FLIPS:
            raise ValueError(f"flips: must be none, h or hv, got {flips!r}")
        if seed < 0:
            raise ValueError(f"seed: must not be negative, got {seed}")
        if not 0 <= rank < ranks:
            raise ValueError(f"rank: must be 0 to {ranks - 1}, got {rank}")
        self.device = torch.device(device)
        self.batch, self.flips, self.rank, self.ranks = batch, flips, rank, ranks
        self.key = [seed, int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")]
        self.resident = self.device.type == "cpu" or (
            images.nbytes + (0 if labels is None else labels.nbytes)
            < RESIDENT_SHARE * torch.cuda.mem_get_info(self.device)[0]
        )
        self.images = images.to(self.device) if self.resident else images
        self.labels = labels.to(self.device) if self.resident and labels is not None else labels
        self.conditions = None if conditions is None else conditions.to(self.images.device)
        self.up_to = None if weights is None else weights.double().cumsum(0).cpu().numpy()
        self._order = functools.lru_cache(maxsize=2)(self._draw_order)

    def __len__(self) -> int:
        return len(self.images)

    def indices(self, step: int) -> NDArray[np.int64]:
        """Which images batch `step` of this rank holds, int64 [B]."""
        if self.up_to is not None:
            return self._draw_by_weight(step, self.up_to)
        first = (step * self.ranks + self.rank) * self.batch
        epochs, places = np.divmod(np.arange(first, first + self.batch), len(self))
        return np.array([self._order(epoch)[place] for epoch, place in zip(epochs.tolist(), places, strict=True)])

    def __call__(self, step: int) -> Batch:
        chosen = torch.from_numpy(self.indices(step)).to(self.images.device)
        images = self.images[chosen].to(self.device).float().div_(127.5).sub_(1)
        labels = None if self.labels is None else self.labels[chosen].to(self.device).long()
        if self.flips != "none":
            mirrored = torch.from_numpy(self._draw(1, step, len(self.flips)) < 0.5).to(self.device)
            for axis, of_axis in zip((-1, -2), mirrored.unbind(1), strict=False):
                images = torch.where(of_axis[:, None, None, None], images.flip(axis), images)
                if labels is not None:
                    labels = torch.where(of_axis[:, None, None], labels.flip(axis), labels)
        conditions = None if self.conditions is None else self.conditions[chosen].to(self.device)
        return Batch(images, labels, conditions)

    def _draw(self, purpose: int, step: int, numbers: int) -> NDArray[np.float64]:
        """[B, numbers] in [0, 1): this rank's rows of what is drawn for all samples of a step."""
        drawn = self._generator(purpose, step).random((self.ranks * self.batch, numbers))
        return drawn[self.rank * self.batch : (self.rank + 1) * self.batch]

    def _draw_by_weight(self, step: int, up_to: NDArray[np.float64]) -> NDArray[np.int64]:
        """up_to: of each image, the weight of it and all before it."""
        drawn = up_to[-1] * self._draw(2, step, 1)[:, 0]
        drawn = np.minimum(drawn, np.nextafter(up_to[-1], 0))  # the product may round up to the total itself
        return np.searchsorted(up_to, drawn, side="right")  # from the right, an image of weight 0 is never met

    def _generator(self, purpose: int, number: int) -> np.random.Generator:
        return np.random.Generator(np.random.PCG64([*self.key, purpose, number]))

    def _draw_order(self, epoch: int) -> NDArray[np.int64]:
        return self._generator(0, epoch).permutation(len(self))


def oversampling_weights(targets: Tensor, extra: int) -> Tensor:
    """Weights for a Stream, float64 [N] of sum 1, that draw defects as often as if `extra` more images of them stood
    in the set: (defects + extra) / (N + extra) of the samples, all defects alike, all good images alike.

    targets: int64 [N], 1 for a defect, 0 for none. ValueError for others, for a negative `extra`, or where there is no
    defect to draw more often.
    """
    if targets.ndim != 1 or not len(targets) or not bool(((targets == 0) | (targets == 1)).all()):
        raise ValueError(f"oversampling: targets must be [N] of 0 and 1, got {targets.unique().tolist()}")
    defects = int(targets.sum())
    if extra < 0 or (extra and not defects):
        raise ValueError(f"oversampling: wants extra of at least 0 and a defect, got {extra} and {defects} defects")
    total = len(targets) + extra
    weights = torch.full(targets.shape, 1 / total, dtype=torch.float64)
    weights[targets == 1] = (defects + extra) / (total * max(defects, 1))
    return weights
