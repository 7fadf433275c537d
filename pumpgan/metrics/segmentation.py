"""How well predicted label maps agree with the true ones: overlap of pixels, of regions, and image by image."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pumpgan.metrics.classification import Values, checked_probabilities, confusion, confusion_figures
from pumpgan.metrics.label_maps import ClassIndex, PixelClass
from pumpgan.metrics.regions import RegionCurves


class Areas(NamedTuple):
    """Pixels of each class in each image, int64 [N, C]; an index into N of each gives other images' areas.

    intersection: predicted and true alike. predicted, target: of the one and of the other map.
    """

    intersection: NDArray[np.int64]
    predicted: NDArray[np.int64]
    target: NDArray[np.int64]

    @property
    def union(self) -> NDArray[np.int64]:
        return self.predicted + self.target - self.intersection

    def of(self, images: NDArray[Any]) -> "Areas":
        """The areas of these images, by index (repeats allowed, for a bootstrap) or by mask."""
        return Areas(*(pixels[images] for pixels in self))

    @staticmethod
    def from_images(images: Sequence[Mapping[str, Mapping[str, int]]], names: Sequence[str]) -> "Areas":
        """What `SegmentationScores.per_image` wrote down, read back; `names` are the classes, in order."""
        table = [[[image[kind][name] for name in names] for image in images] for kind in Areas._fields]
        return Areas(*np.array(table, np.int64).reshape(len(Areas._fields), len(images), len(names)))


class SegmentationScores:
    """Gathers figures over any number of label maps, of any sizes; keeps three numbers an image and class, no map."""

    def __init__(self, classes: Sequence[PixelClass]) -> None:
        """`classes`: distinct ids of 0 to 255; the first is the ground ("good", "background"), the rest foreground."""
        self._index = ClassIndex(classes, "SegmentationScores")
        self.names = self._index.names
        self._areas: list[NDArray[np.int64]] = []  # each [3, n, C]
        self._curves: RegionCurves | None = None

    def update(self, predictions: Values, targets: Values, probabilities: Values | None = None) -> None:
        """Adds images.

        Args:
            predictions, targets: class ids, integers [N, H, W]; tensors (any device) or arrays.
            probabilities: of a pixel being foreground, 0 to 1, floating point [N, H, W]; for all images or for none.

        Raises:
            ValueError: other shapes or types, an id of no class, NaN, a probability out of range, probabilities for
                some images only; then nothing was added.
        """
        predicted, target = self._index.places(predictions), self._index.places(targets)
        if predicted.shape != target.shape:
            raise ValueError(
                "SegmentationScores: predictions and targets must be of one shape, "
                f"got {list(predicted.shape)} and {list(target.shape)}"
            )
        if self._areas and (probabilities is None) != (self._curves is None):
            raise ValueError("SegmentationScores: probabilities must be given for all images or for none")
        if probabilities is not None:
            chances = checked_probabilities(probabilities, "SegmentationScores")
            if chances.shape != target.shape:
                raise ValueError(
                    "SegmentationScores: probabilities must be of the targets' shape, "
                    f"got {list(chances.shape)} and {list(target.shape)}"
                )
            self._curves = self._curves or RegionCurves()
            self._curves.update(chances, target > 0)
        self._areas.append(areas(predicted, target, len(self.names)))

    @property
    def areas(self) -> Areas:
        """Of all images, in the order they were added."""
        count = len(self.names)
        return Areas(*np.concatenate([np.zeros((3, 0, count), np.int64), *self._areas], axis=1))

    def result(self) -> dict[str, Any]:
        """JSON-ready: images, the keys of `overlaps`, those of `RegionCurves.result`, and for sets of two classes

            image_level         standard: an image is positive where its target has a foreground pixel, and predicted
                                positive where its prediction has one; the keys of `confusion_figures`
            image_level_thesis  the keys of `thesis_image_level`

        Raises:
            ValueError: no images were added.
        """
        found = self.areas
        if not len(found.target):
            raise ValueError("SegmentationScores: no images were added")
        figures = {"images": len(found.target), **overlaps(found, self.names)}
        figures |= self._curves.result() if self._curves else {"pro": None, "pixel_average_precision": None}
        if len(self.names) == 2:
            predicted, target = found.predicted[:, 1] > 0, found.target[:, 1] > 0
            figures["image_level"] = confusion_figures(confusion(predicted, target))
            figures["image_level_thesis"] = thesis_image_level(found)
        return figures

    def curve(self) -> dict[str, list[float]] | None:
        """Precision and recall of foreground pixels by threshold; None without probabilities, or without foreground."""
        return self._curves.curve() if self._curves else None

    def per_image(self) -> list[dict[str, dict[str, int]]]:
        """A dict an image, in the order they were added: intersection, union, predicted, target, each NAME -> pixels.

        Sums over images of these give every global figure of `overlaps` again.
        """
        found = self.areas
        kinds = {**found._asdict(), "union": found.union}
        return [
            {kind: dict(zip(self.names, map(int, pixels[n]), strict=True)) for kind, pixels in kinds.items()}
            for n in range(len(found.target))
        ]


# Figures of areas, for whoever draws images afresh ----------------------------------------------------------------


def areas(predicted: NDArray[np.int16], target: NDArray[np.int16], count: int) -> NDArray[np.int64]:
    """Intersection, predicted and target pixels of maps [n, H, W] of places below `count`: int64 [3, n, count]."""
    images = np.arange(len(target))[:, None, None]
    cells = (images * count + target) * count + predicted
    pairs = np.bincount(cells.ravel(), minlength=len(target) * count * count).reshape(-1, count, count)
    return np.stack([pairs.diagonal(axis1=1, axis2=2), pairs.sum(axis=1), pairs.sum(axis=2)])


def overlaps(found: Areas, names: Sequence[str]) -> dict[str, Any]:
    """Figures of overlap, each 0 to 1.

        iou.NAME                sum over images of intersections over sum of unions: the global one, of validation
        dice.NAME               twice the sum of intersections over the sum of predicted and true pixels
        iou_per_image.NAME      mean, over images where the class is predicted or true, of intersection over union
        mean_iou                mean of iou over all classes; for two, of healthy and defects
        mean_foreground_iou     mean of iou over all classes but the first

    None for a class that is neither predicted nor true anywhere; means leave it out, and are None of nothing.
    """
    intersection, union = found.intersection.sum(axis=0), found.union.sum(axis=0)
    iou = [quotient(i, u) for i, u in zip(intersection, union, strict=True)]
    dice = [quotient(2 * i, u + i) for i, u in zip(intersection, union, strict=True)]
    return {
        "iou": dict(zip(names, iou, strict=True)),
        "dice": dict(zip(names, dice, strict=True)),
        "iou_per_image": {name: mean(iou_by_image(found, c)) for c, name in enumerate(names)},
        "mean_iou": mean([value for value in iou if value is not None]),
        "mean_foreground_iou": mean([value for value in iou[1:] if value is not None]),
    }


def thesis_image_level(found: Areas) -> dict[str, Any]:
    """Image-level scores of two-class maps as the source thesis counts them in its table 4.4.

    Positive is an image in which the model predicts defect pixels: a true positive if prediction and target share at
    least a pixel, else a false positive. Where nothing is predicted: a true negative if the target is empty, else a
    false negative. (The thesis's wording ties them to the target instead; its figures fit this reading, not that.)

    Returns:
        the keys of `confusion_figures`, and iou_where_defects: mean over images whose target has defects of their
        IoU, None without any; the table's "mIoU".
    """
    overlapping, predicted, target = (pixels[:, 1] > 0 for pixels in found)
    counts = {
        "true_positive": int(overlapping.sum()),
        "false_positive": int((predicted & ~overlapping).sum()),
        "true_negative": int((~predicted & ~target).sum()),
        "false_negative": int((~predicted & target).sum()),
    }
    return {**confusion_figures(counts), "iou_where_defects": mean(iou_by_image(found.of(target), 1))}


def iou_by_image(found: Areas, at: int) -> NDArray[np.float64]:
    """Intersection over union of the class at this place, of the images where the union is not empty."""
    union = found.union[:, at]
    return found.intersection[union > 0, at] / union[union > 0]


def quotient(part: int, whole: int) -> float | None:
    return float(part / whole) if whole else None


def mean(values: Sequence[float] | NDArray[np.float64]) -> float | None:
    return float(np.mean(values)) if len(values) else None
