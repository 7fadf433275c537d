"""What a generated sample must be to be kept. Knows no torch, so the command line answers at once; `filters` judges."""

import math
from dataclasses import dataclass
from pathlib import Path

from pumpgan.train.config import flag, option

NEEDS = {
    "min_fraction": "with_class",
    "agreement": "segmenter",
    "segmenter": "agreement",
    "data": "novelty",
    "inception": "novelty",
}


@dataclass(frozen=True)
class Wanted:
    """A field is an option of `pumpgan generate`; what is left out is not asked for. ValueError for what cannot be."""

    with_class: str | None = option(None, "Keep only images whose labels hold this class.")
    min_fraction: float = option(0.0, "In more than this part of the pixels.")
    realism: float | None = option(
        None, "Keep only this share of the samples: those that the run's own image discriminator finds most real."
    )
    agreement: float | None = option(
        None,
        "Keep only images in which a segmenter sees what the labels say: least intersection over union, of defects "
        "for two classes, else the mean over the classes of an image.",
    )
    segmenter: Path | None = option(None, "Of --agreement: run of a segmenter or an encoder, trained on real data.")
    novelty: float | None = option(
        None,
        "Keep only images at least so many times as far from the nearest training image as that one is from the "
        "nearest which shows something else.",
    )
    data: tuple[Path, ...] = option(
        (), "Of --novelty: the training images, may be repeated; without one all that the run says it was trained on."
    )
    inception: Path | None = option(
        None, "Of --novelty: file of an Inception network, for its features; without one a stand-in's."
    )

    def __post_init__(self):
        for name in ("min_fraction", "realism", "agreement"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ValueError(f"{flag(name)}: must be from 0 to 1, got {value}")
        if self.realism == 0:
            raise ValueError("--realism: must be a share over 0, got 0")
        if self.novelty is not None and not 0 <= self.novelty < math.inf:
            raise ValueError(f"--novelty: must be at least 0, got {self.novelty}")
        for name, needed in NEEDS.items():
            if getattr(self, name) not in (None, (), 0.0) and getattr(self, needed) is None:
                raise ValueError(f"{flag(name)}: needs {flag(needed)}")
