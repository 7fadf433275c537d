"""What an importer hands over: the photographs it found, how to read each, and what the set is."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.ExifTags import Base
from PIL.PngImagePlugin import PngImageFile

from pumpgan.data.dataset import LabelClass, open_image, read_image, size_text, unreadable

IMAGE_SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"))
SIXTEEN_BIT = ("I;16", "I;16B", "I")  # Pillow's modes of grey images with more than 8 bits
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
    resolution, patches: pixels a side of the images to make (0: whole photographs keep their size), and random crops a
        photograph (0: the whole of it), unless the user says otherwise.
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


@contextmanager
def noted(faults: list[str]) -> Iterator[None]:
    """Appends what the block calls wrong with a file to `faults`, and goes on after the block."""
    try:
        yield
    except (OSError, ValueError) as error:
        faults.append(str(error))


def image_size(path: Path) -> tuple[int, int]:
    """(height, width) of an image file as it is seen upright, from its header alone."""
    try:
        with Image.open(path) as image:
            if isinstance(image, PngImageFile) and metadata_follows_pixels(path):
                image.load()
            turned = Image.Image.getexif(image).get(Base.Orientation, 1) >= 5  # 5 to 8 lie on their side
            return image.size if turned else (image.height, image.width)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise unreadable(path, error) from error


def metadata_follows_pixels(path: Path) -> bool:
    """Whether a PNG says something of itself after its pixels, which only decoding them shows to Pillow."""
    with open(path, "rb") as file:
        file.seek(8)  # the signature
        pixels = False
        while len(head := file.read(8)) == 8:
            if pixels and head[4:] in (b"eXIf", b"iTXt", b"tEXt", b"zTXt"):
                return True
            pixels |= head[4:] == b"IDAT"
            file.seek(int.from_bytes(head[:4]) + 4, os.SEEK_CUR)  # content and checksum
    return False


def size_with_masks(image: Path, *masks: Path) -> tuple[int, int]:
    """(height, width) of an image, upright, whose masks all have its size up to a whole factor; from headers alone.

    Raises OSError or ValueError, with the path of the faulty file.
    """
    size = image_size(image)
    for mask in masks:
        try:
            factor_between(size, image_size(mask))
        except ValueError as error:
            raise ValueError(f"{mask}: {error}") from None
    return size


def read_grey(path: Path) -> Pixels:
    """The brightness of an 8-bit image file, grey or in colour, uint8 [H, W]. Raises OSError or ValueError, with the
    path, for another file."""
    image = open_image(path)
    if image.mode not in ("1", "L", "RGB"):
        raise ValueError(f"{path}: must be an 8-bit image, grey or RGB, got mode {image.mode}")
    return np.asarray(image.convert("L"))


def common_levels(levels: Iterable[tuple[int, int] | None]) -> tuple[int, int]:
    """The one range of brightness, darkest and brightest, that holds those of all 16-bit photographs (None: of 8)."""
    deep = [pair for pair in levels if pair is not None]
    darkest, brightest = min((low for low, _ in deep), default=0), max((high for _, high in deep), default=0)
    return darkest, max(brightest, darkest + 1)


def in_8_bits(values: NDArray[np.integer], levels: tuple[int, int]) -> Pixels:
    """Brightness of more than 8 bits, the darkest of `levels` as 0, the brightest as 255; beyond them clipped."""
    darkest, brightest = levels
    scaled = (values.astype(np.float32) - darkest) * (255 / (brightest - darkest))
    return np.round(scaled).clip(0, 255).astype(np.uint8)


def read_pair(
    path: Path, mode: str, read_ids: Callable[[], Pixels] | None, no_mask: str | None
) -> tuple[Pixels, Pixels | None]:
    """An image and what `read_ids` gives; where there is no mask to read, ids of 0 if that means good, else None."""
    image = read_image(path, mode)
    if read_ids is not None:
        return image, read_ids()
    return image, np.zeros(image.shape[:2], np.uint8) if no_mask == "good" else None


def factor_between(image: Sequence[int], label: Sequence[int]) -> int:
    """How many times larger an image is than its mask along each side; negative where the mask is the larger one.

    Raises ValueError unless it is the same whole number for both sides.
    """
    for large, small, sign in ((image, label, 1), (label, image, -1)):
        factor = large[0] // small[0]
        if factor >= 1 and (small[0] * factor, small[1] * factor) == (large[0], large[1]):
            return sign * factor
    raise ValueError(
        f"the mask is {size_text(label)} and its image {size_text(image)}, each turned as its EXIF says; they must be "
        "alike up to a whole factor"
    )


def fit_label(label: Pixels, size: tuple[int, int]) -> Pixels:
    """A mask at its image's size [H, W]: pixels repeated, or the middle one of each block taken."""
    factor = factor_between(size, label.shape)
    if factor == 1:
        return label
    if factor > 0:
        return label.repeat(factor, 0).repeat(factor, 1)
    return label[-factor // 2 :: -factor, -factor // 2 :: -factor]
