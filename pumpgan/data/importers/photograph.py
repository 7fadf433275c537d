"""What an importer hands over: the photographs it found, how to read each, and what the set is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pumpgan.data.dataset import LabelClass, size_text

IMAGE_SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"))
Pixels = NDArray[np.uint8]
Box = tuple[int, int, int, int]  # left, top, right, bottom


@dataclass(frozen=True)
class Photograph:
    """One photograph of a source.

    read: gives its pixels, uint8 [H, W] or [H, W, 3], and its class ids, uint8, of the same size or of one that differs
        by a whole factor (None: unlabelled). Raises OSError or ValueError, with the path, where a file is not right.
    kind: the source's class of the whole photograph. group: photographs of one object share it.
    image_label: what the source says of the whole photograph, one of the plan's image labels, or None.
    area: (left, top, right, bottom) of what may be used of it, in its pixels; None: everything.
    template: the name of the photograph that shows the same object without its defects, pixel for pixel.
    """

    name: str
    read: Callable[[], tuple[Pixels, Pixels | None]]
    kind: str
    group: str
    image_label: str | None = None
    area: Box | None = None
    template: str | None = None


@dataclass(frozen=True)
class Plan:
    """What an importer found in a folder; nothing is decoded yet.

    faults: what is wrong already, one line each; the photographs are then the sound ones, so that the faults that
        only decoding shows can be listed with them.
    resolution, patches: pixels a side of the images to make, and random crops a photograph (0: the whole of it), unless
        the user says otherwise.
    reference: reads the photograph that the others are registered against, where they show one part in one place.
    whole_part: the kinds whose masks cover the part as a whole, so that there is no defect to paste elsewhere.
    """

    classes: Sequence[LabelClass]
    channels: int
    flips: str
    resolution: int
    photographs: list[Photograph]
    image_labels: Sequence[str] = ()
    faults: list[str] = field(default_factory=list)
    patches: int = 0
    reference: Callable[[], Pixels] | None = None
    whole_part: frozenset[str] = frozenset()


def files_by_stem(folder: Path, suffixes: frozenset[str], faults: list[str]) -> dict[str, Path]:
    """The folder's image files by name without suffix, in order; two files of one stem are a fault, hidden files are
    passed over."""
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in suffixes or path.name.startswith("."):
            continue
        if path.stem in files:
            faults.append(f"{path}: has the same name as {files[path.stem].name}")
        files.setdefault(path.stem, path)
    return files


def image_size(path: Path) -> tuple[int, int]:
    """(height, width) of an image file as it is seen upright, from its header alone."""
    try:
        with Image.open(path) as image:
            turned = image.getexif().get(0x0112, 1) >= 5  # EXIF orientation: 5 to 8 lie on their side
            return image.size if turned else (image.height, image.width)
    except (OSError, SyntaxError, ValueError) as error:
        raise OSError(f"{path}: cannot be read as an image; copy it again from where it came") from error


def factor_between(image: Sequence[int], label: Sequence[int]) -> int:
    """How many times larger an image is than its mask along each side; negative where the mask is the larger one.

    Raises ValueError unless it is the same whole number for both sides.
    """
    for large, small, sign in ((image, label, 1), (label, image, -1)):
        factor = large[0] // small[0]
        if factor >= 1 and (small[0] * factor, small[1] * factor) == (large[0], large[1]):
            return sign * factor
    raise ValueError(
        f"the mask is {size_text(label)} and its image {size_text(image)}; they must be alike up to a whole factor"
    )


def fit_label(label: Pixels, size: tuple[int, int]) -> Pixels:
    """A mask at its image's size [H, W]: pixels repeated, or the middle one of each block taken."""
    factor = factor_between(size, label.shape)
    if factor > 0:
        return label.repeat(factor, 0).repeat(factor, 1)
    return label[-factor // 2 :: -factor, -factor // 2 :: -factor]
