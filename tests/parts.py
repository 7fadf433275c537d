"""Parts: photographs with dark spots as defects, two images of each; and networks that learn within a test."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from pumpgan.data.dataset import PART_CLASSES, PART_IMAGE_LABELS, Entry
from pumpgan.data.writer import DatasetWriter


def draw_part(rng: np.random.Generator, defect: bool, size: int = 16) -> tuple[np.ndarray, np.ndarray]:
    image = 170 + rng.normal(0, 6, (size, size))
    label = np.zeros((size, size), np.uint8)
    if defect:
        y, x = np.mgrid[:size, :size]
        cy, cx = rng.uniform(0.3, 0.7, 2) * size
        label[np.hypot(y - cy, x - cx) < 0.2 * size] = 1
        image[label == 1] -= 110
    return image.clip(0, 255).astype(np.uint8), label


def write_parts(
    out: Path, photographs: int = 40, *, defective: float = 0.4, labelled: bool = True, first: int = 0, **about
) -> Path:
    """Two images a photograph, the first `defective` of every ten photographs with a defect each; a quarter is test."""
    rng = np.random.default_rng(first)
    about = dict(name="parts", classes=PART_CLASSES, image_labels=PART_IMAGE_LABELS, flips="hv") | about
    with DatasetWriter(out, size=(16, 16), channels=1, **about) as writer:
        for i in range(first, first + photographs):
            defect, split = i % 10 < 10 * defective, "test" if i % 4 == 3 else "train"
            for crop in range(2):
                image, label = draw_part(rng, defect)
                entry = Entry(
                    f"part_{i}_{crop}",
                    split,
                    photographs=(f"part_{i}",),
                    kind="spot" if defect else "good",
                    image_label=PART_IMAGE_LABELS[defect],
                )
                writer.add(entry, image, label if labelled else None)
    return out


class SmallClassifier(nn.Sequential):
    def __init__(self, classes: int = 2):
        features = (nn.Conv2d(1, 8, 5, stride=2, padding=2), nn.BatchNorm2d(8), nn.ReLU())
        super().__init__(*features, nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(8, classes))


class SmallSegmenter(nn.Sequential):
    def __init__(self, classes: int):
        super().__init__(nn.Conv2d(1, 8, 5, padding=2), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, classes, 1))

    def forward(self, images):
        return super().forward(images[:, :1])  # as the network that it stands for, of grey images and of others


def use_small_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trains and loads small networks in place of ResNet-18 and FPN."""
    for module in ("pumpgan.train.downstream", "pumpgan.inference.predictor"):
        monkeypatch.setattr(f"{module}.Classifier", SmallClassifier)
        monkeypatch.setattr(f"{module}.Segmenter", SmallSegmenter)


def names_of(entries: Sequence[Entry]) -> set[str]:
    return {name for entry in entries for name in entry.photographs}
