"""What a network said of images: a segmenter's sheets as figure 3.9 of the source thesis, a classifier's by outcome."""

from collections.abc import Sequence
from typing import NamedTuple

from PIL import Image
from torch import Tensor

from pumpgan.data.picture import (
    SMALLEST_CELL,
    Group,
    PixelClass,
    as_array,
    as_rgb,
    caption,
    colour_labels,
    legend,
    outline,
    samples,
    stacked,
)

VIEWS = "image with the target outlined, target, prediction"


def by_outcome(images: Tensor, probabilities: Tensor, targets: Tensor, threshold: float, most: int) -> list[Group]:
    """A classifier's images for `sample_sheet`, those of each outcome apart, the ones it is surest of first.

    images: uint8 [N, C, H, W]. probabilities: of a defect, [N]; one is predicted above `threshold`. targets: 0 or 1,
    [N]. most: images of an outcome. Outcomes that do not occur are left out.
    """
    predicted = probabilities > threshold
    groups: list[Group] = []
    for title, of, sign in (
        ("defects found", predicted & (targets == 1), -1),
        ("defects missed", ~predicted & (targets == 1), 1),
        ("false alarms", predicted & (targets == 0), -1),
        ("good ones passed", ~predicted & (targets == 0), 1),
    ):
        chosen = of.nonzero().flatten()
        surest = chosen[(sign * probabilities[chosen]).argsort(stable=True)][:most]
        if len(surest):
            groups.append((f"{title}: {len(chosen)}, surest first", images[surest], None))
    return groups


class Predictions(NamedTuple):
    """One group of a sheet, N samples.

    title: stands above the group.
    images: tensors or arrays as `picture.sample_sheet` takes them, float in [-1, 1] or uint8, [N, 1 or 3, H, W].
    targets, predictions: class ids, integers [N, H, W].
    notes: a short text for each sample, as a score; None without.
    """

    title: str
    images: object
    targets: object
    predictions: object
    notes: Sequence[str] | None = None


def prediction_sheet(
    groups: Sequence[Predictions],
    classes: Sequence[PixelClass],
    *,
    columns: int | None = None,
    scale: int | None = None,
) -> Image.Image:
    """A sheet: per group its title and its samples, each as image with the target outlined, target and prediction.

    Args:
        groups: a plain tuple of the same fields will do.
        classes: in the order of the legend; class 0 is the ground, and gets no outline.
        columns: samples a row; None: as many as fit into 1,600 pixels.
        scale: whole number by which pixels are enlarged; None: as much as makes a side at least 96 pixels.

    Raises:
        ValueError: no groups, shapes or numbers that do not agree, unknown ids, a column count or scale below 1.
    """
    if not groups or (columns is not None and columns < 1) or (scale is not None and scale < 1):
        raise ValueError(
            "prediction_sheet: needs groups, columns and scale of at least 1, "
            f"got {len(groups)} groups, {columns}, {scale}"
        )
    blocks = [caption(VIEWS)]
    for title, images, targets, predictions, notes in (Predictions(*group) for group in groups):
        pixels, shapes = as_rgb(images), [as_array(labels).shape for labels in (targets, predictions)]
        if any(shape != pixels.shape[:3] for shape in shapes) or (notes is not None and len(notes) != len(pixels)):
            raise ValueError(
                f"prediction_sheet: {title}: images, targets, predictions and notes must agree, "
                f"got {list(pixels.shape[:3])}, {list(shapes[0])}, {list(shapes[1])}"
                f"{'' if notes is None else f', {len(notes)} notes'}"
            )
        views = [
            outline(pixels, targets, classes),
            colour_labels(targets, classes),
            colour_labels(predictions, classes),
        ]
        blocks += [caption(title), samples(views, columns, scale, notes)]
    blocks.append(legend(classes, max(2 * SMALLEST_CELL, *(block.width for block in blocks))))
    return stacked(blocks)
