"""The layout of MVTec AD (Bergmann et al., CVPR 2019), for one category: train/good, test/KIND, ground_truth/KIND.

Its own split is for anomaly detection (no defects in train) and is dropped; ours is by photograph, kind by kind.
"""

from functools import partial
from pathlib import Path

import numpy as np

from pumpgan.data.dataset import PART_IMAGE_LABELS, read_image
from pumpgan.data.importers.parts import PART_RESOLUTION, channels_of, part_classes, read_mask
from pumpgan.data.importers.photograph import (
    IMAGE_SUFFIXES,
    Photograph,
    Pixels,
    Plan,
    files_by_stem,
    noted,
    size_with_masks,
)

WHOLE_PART = frozenset(("misplaced",))  # of transistor


def plan_mvtec(folder: Path, *, mask_threshold: int = 127, classes: str = "merged") -> Plan:
    """The photographs of train/good and of every folder of test; other folders beside them are not read.

    A photograph is called by its folders and number, as test_good_003: numbers repeat from folder to folder.
    """
    for needed in (folder / "train" / "good", folder / "test", folder / "ground_truth"):
        if not needed.is_dir():
            raise FileNotFoundError(f"{needed}: no such folder; --from must be the folder of one MVTec AD category")
    kinds = sorted(path.name for path in (folder / "test").iterdir() if path.is_dir() and path.name != "good")
    label_classes, ids = part_classes(kinds, classes)
    faults: list[str] = []
    found: dict[str, tuple[str, Path, Path | None]] = {}
    for place in (folder / "train" / "good", *(folder / "test" / kind for kind in ("good", *kinds))):
        if not place.is_dir():
            continue
        masks = {}
        if place.name != "good" and (folder / "ground_truth" / place.name).is_dir():
            masks = files_by_stem(folder / "ground_truth" / place.name, IMAGE_SUFFIXES, faults)
        for stem, image in files_by_stem(place, IMAGE_SUFFIXES, faults).items():
            mask = masks.pop(f"{stem}_mask", None)
            if mask is None and place.name != "good":
                faults.append(f"{image}: has no mask {folder / 'ground_truth' / place.name / stem}_mask.png")
                continue
            with noted(faults):
                size_with_masks(image, *filter(None, [mask]))
                found[f"{place.parent.name}_{place.name}_{stem}"] = (place.name, image, mask)
        faults += [f"{mask}: has no photograph of its number in {place}" for mask in masks.values()]
    channels = channels_of([image for _, image, _ in found.values()])
    photographs = [
        Photograph(
            name,
            partial(read_part, image, mask, "L" if channels == 1 else "RGB", mask_threshold, ids.get(kind, 0)),
            kind,
            group=name,
            image_label="good" if kind == "good" else "defect",
        )
        for name, (kind, image, mask) in found.items()
    ]
    reference = next((image for kind, image, _ in found.values() if kind == "good"), None)
    return Plan(
        label_classes,
        channels,
        "none",
        PART_RESOLUTION,
        photographs,
        PART_IMAGE_LABELS,
        faults,
        reference=None if reference is None else partial(read_image, reference, "L" if channels == 1 else "RGB"),
        whole_part=WHOLE_PART,
    )


def read_part(path: Path, mask: Path | None, mode: str, threshold: int, defect_id: int) -> tuple[Pixels, Pixels | None]:
    """The photograph and its label; a good one has no mask and is all zero."""
    image = read_image(path, mode)
    if mask is None:
        return image, np.zeros(image.shape[:2], np.uint8)
    label = read_mask(mask, threshold) * np.uint8(defect_id)
    if not label.any():
        raise ValueError(f"{mask}: marks nothing, yet its photograph is filed as defective")
    return image, label
