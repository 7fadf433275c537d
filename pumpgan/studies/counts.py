"""What an image counts for in the scores of its test set: numbers that add up, so that any choice of images is scored.

Every score here is made of sums over images: outcomes, pixels, shares. A measure says what an image adds, and makes the
scores of the sums.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pumpgan.metrics.segmentation import Areas

Image = Mapping[str, Any]  # a line of an evaluation's images.jsonl
Numbers = NDArray[np.float64]
Scores = dict[str, Numbers]


class Measure(Protocol):
    """kind: of the model that is scored. names: of the scores, in the order of tables."""

    kind: str
    names: tuple[str, ...]

    def counts(self, images: Sequence[Image]) -> Numbers:
        """What each image adds, [N, K]."""
        ...

    def scores(self, sums: Numbers) -> Scores:
        """Scores of sums over images, [..., K] -> [...] each; NaN where a score of nothing is no score."""
        ...

    def positive(self, score: str, images: Sequence[Image]) -> NDArray[np.bool_]:
        """Which images hold what this score is about, [N]."""
        ...


class ImageMeasure:
    """A classifier's accuracy, precision, recall and f1, each 0 to 1, as `metrics.classification.confusion_figures`."""

    kind = "classification"
    names: tuple[str, ...] = ("accuracy", "precision", "recall", "f1")

    def __init__(self, threshold: float = 0.5) -> None:
        """`threshold`: a probability above it is a prediction of "defect"."""
        self.threshold = threshold

    def counts(self, images: Sequence[Image]) -> Numbers:
        predicted = np.array([image["probability"] > self.threshold for image in images], bool)
        return outcomes(predicted, predicted, self.positive("f1", images))

    def scores(self, sums: Numbers) -> Scores:
        return dict(zip(self.names, outcome_scores(sums), strict=True))

    def positive(self, score: str, images: Sequence[Image]) -> NDArray[np.bool_]:
        return np.array([image["target"] == 1 for image in images], bool)


class PixelMeasure:
    """A segmenter's scores, each 0 to 1; those of images for two classes only.

    iou.NAME, mean_iou      sum of intersections over sum of unions, and its mean over the classes that occur
    images.accuracy, .precision, .recall, .f1, .iou_where_defects
                            `metrics.segmentation.thesis_image_level`
    """

    kind = "segmentation"

    def __init__(self, classes: Sequence[str]) -> None:
        """`classes`: names, the ground first."""
        self.classes = tuple(classes)
        self.names = (*(f"iou.{name}" for name in self.classes), "mean_iou")
        if len(self.classes) == 2:
            self.names += tuple(f"images.{name}" for name in (*ImageMeasure.names, "iou_where_defects"))

    def counts(self, images: Sequence[Image]) -> Numbers:
        areas = Areas.from_images(images, self.classes)
        pixels = np.concatenate([areas.intersection, areas.union], axis=1).astype(np.float64)
        if len(self.classes) != 2:
            return pixels
        overlapping, predicted, target = (found[:, 1] > 0 for found in areas)
        overlap = np.where(target, areas.intersection[:, 1] / np.maximum(areas.union[:, 1], 1), 0.0)
        return np.concatenate([pixels, outcomes(predicted, overlapping, target), np.stack([overlap, target], 1)], 1)

    def scores(self, sums: Numbers) -> Scores:
        count = len(self.classes)
        iou = quotient(sums[..., :count], sums[..., count : 2 * count])
        found = np.isfinite(iou)
        mean = quotient(np.where(found, iou, 0.0).sum(axis=-1), found.sum(axis=-1))
        values = [*np.moveaxis(iou, -1, 0), mean]
        if count == 2:
            values += [*outcome_scores(sums[..., 4:8]), quotient(sums[..., 8], sums[..., 9])]
        return dict(zip(self.names, values, strict=True))

    def positive(self, score: str, images: Sequence[Image]) -> NDArray[np.bool_]:
        """Images that show the class of iou.NAME; for the ground and for scores of all classes, any foreground."""
        name = score.removeprefix("iou.")
        wanted = (name,) if name in self.classes[1:] else self.classes[1:]
        return np.array([any(image["target"][name] for name in wanted) for image in images], bool)


def measure_of(images: Sequence[Image], threshold: float = 0.5) -> Measure:
    """The measure that fits an evaluation's images. `threshold`: of a classifier; a segmenter's stood at its labels.

    Raises ValueError where the first image is neither a classifier's nor a segmenter's.
    """
    first = images[0] if images else {}
    if "probability" in first:
        return ImageMeasure(threshold)
    if isinstance(first.get("intersection"), Mapping):
        return PixelMeasure(list(first["intersection"]))
    raise ValueError(f"measure_of: an image must hold a probability or pixels of classes, got {', '.join(first)}")


def read_images(folder: Path) -> list[dict[str, Any]]:
    """The lines of an evaluation folder's images.jsonl. ValueError, OSError with the path where there are none."""
    path = folder / "images.jsonl"
    lines = path.read_text().splitlines()
    try:
        images = [json.loads(line) for line in lines]
    except ValueError as error:
        raise ValueError(f"{path}: is cut short ({error}); evaluate again") from error
    if not images:
        raise ValueError(f"{path}: holds no image; evaluate again")
    return images


def outcomes(predicted: NDArray[np.bool_], right: NDArray[np.bool_], target: NDArray[np.bool_]) -> Numbers:
    """True positive, false positive, true negative, false negative: one of four is 1, [N, 4].

    right: what makes a prediction a true positive beside a target; for a segmenter an overlap.
    """
    hit = predicted & right & target
    return np.stack([hit, predicted & ~hit, ~predicted & ~target, ~predicted & target], axis=1).astype(np.float64)


def outcome_scores(sums: Numbers) -> list[Numbers]:
    """Accuracy, precision, recall, F1 of sums of `outcomes`; a share of nothing is 0."""
    hit, alarm, passed, missed = np.moveaxis(sums, -1, 0)
    parts = (hit + passed, hit, hit, 2 * hit)
    wholes = (hit + alarm + passed + missed, hit + alarm, hit + missed, 2 * hit + alarm + missed)
    return [quotient(part, whole, of_nothing=0.0) for part, whole in zip(parts, wholes, strict=True)]


def quotient(part: Numbers, whole: Numbers, of_nothing: float = np.nan) -> Numbers:
    return np.divide(part, whole, out=np.full(np.shape(part), of_nothing), where=np.asarray(whole) > 0)
