"""Photographs of one part with masks of its defects: images/NAME.* and masks/NAME.*, the layout to bring one's own in.

A mask may also be called NAME_mask or NAME_label; it is bright where a defect is. Photographs may be 16-bit: one range
of brightness, over the whole set, becomes 0 to 255, so that exposures stay comparable.
"""

from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from pumpgan.data.dataset import PART_IMAGE_LABELS, open_image, read_image
from pumpgan.data.importers.crops import centre, cut
from pumpgan.data.importers.parts import PART_RESOLUTION, channels_of, part_classes, read_mask
from pumpgan.data.importers.photograph import (
    IMAGE_SUFFIXES,
    Photograph,
    Pixels,
    Plan,
    factor_between,
    files_by_stem,
    fit_label,
    image_size,
)

CENTRE = 1920  # pixels each way that are used of a photograph; the part fills them
PATCHES = 64
MASK_ENDINGS = ("", "_mask", "_label")
SIXTEEN_BIT = ("I;16", "I;16B", "I")


def plan_pump(folder: Path, *, mask_threshold: int = 127, no_mask: str | None = None) -> Plan:
    """The photographs of images/ with their masks; defective is what has a bright pixel in its mask."""
    for needed in (folder / "images", folder / "masks"):
        if not needed.is_dir() and (needed.name == "images" or no_mask is None):
            raise FileNotFoundError(f"{needed}: no such folder; --from must hold images/ and masks/")
    faults: list[str] = []
    masks = files_by_stem(folder / "masks", IMAGE_SUFFIXES, faults) if (folder / "masks").is_dir() else {}
    found: dict[str, tuple[tuple[int, int], Path, Path | None]] = {}
    for stem, image in files_by_stem(folder / "images", IMAGE_SUFFIXES, faults).items():
        mask = next((masks.pop(stem + ending) for ending in MASK_ENDINGS if stem + ending in masks), None)
        if mask is None and no_mask is None:
            faults.append(f"{image}: has no mask; --no-mask good or unlabelled takes it nevertheless")
            continue
        try:
            found[stem] = (image_size(image), image, mask)
            if mask is not None:
                factor_between(found[stem][0], image_size(mask))
        except OSError as error:
            faults.append(str(error))
        except ValueError as error:
            faults.append(f"{mask}: {error}")
    faults += [f"{mask}: has no photograph of its name in {folder / 'images'}" for mask in masks.values()]
    channels = channels_of([image for _, image, _ in found.values()])
    mode, levels = "L" if channels == 1 else "RGB", levels_of([image for _, image, _ in found.values()])
    photographs = []
    for name, (size, image, mask) in found.items():
        area = centre(size, CENTRE)
        read = partial(read_photograph, image, mask, mode, levels, mask_threshold, no_mask)
        try:
            kind = "defect" if mask and cut(fit_label(read_mask(mask, mask_threshold), size), area).any() else "good"
        except (OSError, ValueError) as error:
            faults.append(str(error))
            continue
        known = mask is not None or no_mask == "good"
        photographs.append(
            Photograph(name, read, kind if known else "unknown", name, kind if known else None, area=area)
        )
    reference = next((p for p in photographs if p.kind == "good"), None)
    one_size = len({size for size, _, _ in found.values()}) == 1
    return Plan(
        part_classes((), "merged")[0],
        channels,
        "hv",
        PART_RESOLUTION,
        photographs,
        PART_IMAGE_LABELS,
        faults,
        patches=PATCHES,
        reference=(lambda: reference.read()[0]) if reference and one_size else None,
    )


def levels_of(paths: list[Path]) -> tuple[int, int]:
    """Smallest and largest value over all 16-bit files; (0, 255) where there are none. Broken files are passed over
    (reading them names the fault)."""
    low, high = 65535, 0
    for path in paths:
        try:
            with Image.open(path) as image:
                if image.mode in SIXTEEN_BIT:
                    values = np.asarray(image)
                    low, high = min(low, int(values.min())), max(high, int(values.max()))
        except (OSError, SyntaxError, ValueError):
            continue
    return (low, high) if high > low else (0, 255)


def read_photograph(
    path: Path, mask: Path | None, mode: str, levels: tuple[int, int], threshold: int, no_mask: str | None
) -> tuple[Pixels, Pixels | None]:
    """The photograph in 8 bits, and its defects as 1."""
    picture = open_image(path)
    if picture.mode in SIXTEEN_BIT:
        low, high = levels
        scaled = (np.asarray(picture, np.float64) - low) * (255 / (high - low))
        image = np.asarray(Image.fromarray(np.round(scaled).astype(np.uint8)).convert(mode))
    else:
        image = read_image(path, mode)
    if mask is not None:
        return image, read_mask(mask, threshold)
    return image, np.zeros(image.shape[:2], np.uint8) if no_mask == "good" else None
