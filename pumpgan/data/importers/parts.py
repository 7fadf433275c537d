"""What the sources of photographed parts share: classes by kind, and masks that are bright where a defect is."""

import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from pumpgan.data.dataset import PART_CLASSES, LabelClass, open_image
from pumpgan.data.importers.photograph import Pixels

PART_RESOLUTION = 128
GREY_MODES = ("1", "L", "I", "I;16", "I;16B")
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
    label_classes = coloured([PART_CLASSES[0].name, *kinds])
    return label_classes, {c.name: c.id for c in label_classes[1:]}


def named_classes(names: str) -> tuple[LabelClass, ...]:
    """Classes called as in `names`, joined by commas, in the order of their ids."""
    listed = [name.strip() for name in names.split(",")]
    if len(listed) < 2 or not all(listed) or len(set(listed)) < len(listed):
        raise ValueError(f"class_names: must be two or more names, as good,scratch,dent, got {names!r}")
    return coloured(listed)


def coloured(names: Sequence[str]) -> tuple[LabelClass, ...]:
    """Classes of these names, the first in the colour of what is good, the others each in their own."""
    colours = [PART_CLASSES[0].colour, *(KIND_COLOURS[i % len(KIND_COLOURS)] for i in range(len(names) - 1))]
    return tuple(LabelClass(i, name, colour) for i, (name, colour) in enumerate(zip(names, colours, strict=True)))


def read_mask(path: Path, threshold: int) -> Pixels:
    """1 where a grey mask is brighter than `threshold`, else 0. Raises ValueError for a mask of another mode."""
    mask = open_image(path)
    if mask.mode == "1":
        mask = mask.convert("L")
    if mask.mode != "L":
        raise ValueError(f"{path}: must be an 8-bit grey mask (mode L), got mode {mask.mode}")
    return (np.asarray(mask) > threshold).view(np.uint8)


class FoldedMask:
    """A mask of zeros and ones in a few kilobytes, so that those of all photographs can be kept once decoded."""

    def __init__(self, mask: Pixels):
        """mask: uint8 [H, W], 0 or 1."""
        self.shape = mask.shape
        self.bits = zlib.compress(np.packbits(mask).tobytes(), level=1)

    def unfold(self) -> Pixels:
        flat = np.unpackbits(np.frombuffer(zlib.decompress(self.bits), np.uint8), count=self.shape[0] * self.shape[1])
        return flat.reshape(self.shape)


def channels_of(paths: Sequence[Path]) -> int:
    """1 if every file is grey, else 3; files that cannot be opened do not count (reading them names the fault)."""
    for path in paths:
        try:
            with Image.open(path) as image:
                if image.mode not in GREY_MODES:
                    return 3
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
            continue
    return 1
