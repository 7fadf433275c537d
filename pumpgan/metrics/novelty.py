"""Whether generated images are training images over again.

A distance in a feature space means little by itself: some images have near neighbours, some have none. So how far a
generated image is from the training image nearest to it is measured in that one's own distance to the nearest training
image which shows something else. About 1: as new as one more photograph; near 0: a copy.
"""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pumpgan.data.packed import Packed
from pumpgan.metrics.distances import ROWS_AT_ONCE, squared_distances
from pumpgan.metrics.extractors import Extractor
from pumpgan.metrics.images import Advance, real_statistics

MIRRORINGS: dict[str, tuple[tuple[int, ...], ...]] = {  # by dataset.json's flips: axes of [N, C, H, W]
    "none": ((),),
    "h": ((), (3,)),
    "hv": ((), (3,), (2,), (2, 3)),
}


@dataclass(frozen=True)
class Nearest:
    """The training image nearest to a generated one, mirrored or not: its place among them. novelty: the distance
    between the two over that image's distance to the nearest which shows something else."""

    index: int
    novelty: float


class TrainingImages:
    """The features of training images and of their mirrored copies, to look for neighbours in.

    features: float32 [copies, N, D]. shows: for each of the N images what it shows, as photographs and their groups;
    images that share anything are one and the same to each other (exposures of one part, crops of one photograph,
    pasted defects), and so are images without any distance between them.

    Raises ValueError where these do not fit together, or where an image has none that shows something else.
    """

    def __init__(self, features: Tensor, shows: Sequence[frozenset[Hashable]]):
        if features.ndim != 3 or features.shape[1] != len(shows) or not features.numel():
            expected = f"[copies, {len(shows)}, D]"
            raise ValueError(f"TrainingImages: features must be {expected}, got {list(features.shape)}")
        self.count, self.shows = len(shows), shows
        self.centre = features.mean(dim=(0, 1)).double()
        self.features = features.flatten(0, 1)
        self.showing: dict[Hashable, list[int]] = defaultdict(list)
        for index, shown in enumerate(shows):
            for what in shown:
                self.showing[what].append(index)
        alone = sum(len(self._same(index)) == self.count for index in range(self.count))
        if alone:
            raise ValueError(
                f"novelty: {alone} of {self.count} training images have none beside them that shows something else; "
                f"it takes several photographs, or groups of them"
            )

    def nearest(self, features: Tensor) -> list[Nearest]:
        """Of each of the generated images' features [M, D]."""
        distances = self._distances(features)
        copies = distances.argmin(dim=1)
        own = self._distances(self.features[copies]).unflatten(1, (-1, self.count))  # [M, copies, N]
        found = copies.remainder(self.count).tolist()
        for row, index in enumerate(found):
            own[row, :, self._same(index)] = torch.inf
        own = own.where(own > 0, torch.inf).amin(dim=(1, 2))
        novelty = (distances.amin(dim=1) / own).sqrt().tolist()
        return [Nearest(index, ratio) for index, ratio in zip(found, novelty, strict=True)]

    def _distances(self, features: Tensor) -> Tensor:
        """Squares of them, float64 [M, copies * N]."""
        x = features.double() - self.centre  # differences of large numbers would cost digits
        parts = [squared_distances(x, rows.double() - self.centre) for rows in self.features.split(ROWS_AT_ONCE)]
        return torch.cat(parts, dim=1)

    def _same(self, index: int) -> list[int]:
        """All images that share something with this one."""
        return sorted({index}.union(*(self.showing[what] for what in self.shows[index])))


def features_of(packed: Packed, extractor: Extractor, *, advance: Advance = lambda images: None) -> Tensor:
    """float32 [copies, N, D] of a set's images and of the copies that its flips allow, kept in the user's cache folder.

    advance: told of every few images that were looked at. Raises OSError where the cache folder cannot be written.
    """
    copies = [
        real_statistics(
            packed.images, packed.digest, extractor, keep=len(packed), mirrored=mirrored, advance=advance
        ).kept
        for mirrored in MIRRORINGS[packed.flips]
    ]
    return torch.stack(copies).to(extractor.device)
