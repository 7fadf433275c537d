"""What the sources of photographed parts share: classes by kind, and masks that are bright where a defect is."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from pumpgan.data.dataset import PART_CLASSES, LabelClass, open_image
from pumpgan.data.importers.photograph import Pixels

PART_RESOLUTION = 128
KIND_COLOURS = (
    (255, 77, 46),
    (255, 196, 0),
    (64, 196, 255),
    (186, 104, 255),
    (80, 220, 120),
    (255, 128, 192),
    (160, 160, 64),
    (0, 150, 136),
)


def part_classes(kinds: Sequence[str], classes: str) -> tuple[tuple[LabelClass, ...], dict[str, int]]:
    """The classes of a set with these kinds of defects, and the id that each kind's pixels get.

    classes: "merged" makes one class of all defects, "kinds" one of each.
    """
    if classes == "merged":
        return PART_CLASSES, dict.fromkeys(kinds, 1)
    by_kind = [LabelClass(i, kind, KIND_COLOURS[(i - 1) % len(KIND_COLOURS)]) for i, kind in enumerate(kinds, 1)]
    return (PART_CLASSES[0], *by_kind), {c.name: c.id for c in by_kind}


def read_mask(path: Path, threshold: int) -> Pixels:
    """1 where a grey mask is brighter than `threshold`, else 0. Raises ValueError for a mask of another mode."""
    mask = open_image(path)
    if mask.mode == "1":
        mask = mask.convert("L")
    if mask.mode != "L":
        raise ValueError(f"{path}: must be an 8-bit grey mask (mode L), got mode {mask.mode}")
    return (np.asarray(mask) > threshold).astype(np.uint8)


def channels_of(paths: Sequence[Path]) -> int:
    """1 if every file is grey, else 3; files that cannot be opened do not count (reading them names the fault)."""
    for path in paths:
        try:
            with Image.open(path) as image:
                if image.mode not in ("1", "L", "I", "I;16", "I;16B"):
                    return 3
        except (OSError, SyntaxError, ValueError):
            continue
    return 1
