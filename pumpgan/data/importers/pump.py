"""Photographs of one part with masks of its defects: images/NAME.* and masks/NAME.*, the layout to bring one's own in.

A mask may also be called NAME_mask or NAME_label; it is bright where a defect is. Of larger photographs only the middle
is used, 1920 pixels each way: what is beyond it is left out, defects too. Photographs may be 16-bit: one range of
brightness, over the whole set, becomes 0 to 255, so that exposures stay comparable.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from pumpgan.data.dataset import PART_IMAGE_LABELS, open_image, read_image
from pumpgan.data.importers.crops import centre, cut
from pumpgan.data.importers.parts import GREY_MODES, PART_RESOLUTION, FoldedMask, part_classes, read_mask
from pumpgan.data.importers.photograph import (
    IMAGE_SUFFIXES,
    SIXTEEN_BIT,
    Photograph,
    Pixels,
    Plan,
    common_levels,
    files_by_stem,
    fit_label,
    in_8_bits,
    noted,
    size_with_masks,
)

CENTRE = 1920  # pixels each way that are used of a photograph; the part fills them
PATCHES = 64
MASK_ENDINGS = ("", "_mask", "_label")


class Survey(NamedTuple):
    """What a look at a photograph and its mask tells before the set is read.

    size: (height, width), upright. grey: whether it has no colour. levels: its darkest and brightest value if it is
    16-bit, else None. mask: its defects, at the mask's own size; None without a mask. defective: whether any lies where
    patches are cut.
    """

    size: tuple[int, int]
    grey: bool
    levels: tuple[int, int] | None
    mask: FoldedMask | None
    defective: bool


def plan_pump(folder: Path, *, mask_threshold: int = 127, no_mask: str | None = None) -> Plan:
    """The photographs of images/ with their masks; defective is what has a bright pixel in its mask."""
    for needed in (folder / "images", folder / "masks"):
        if not needed.is_dir() and (needed.name == "images" or no_mask is None):
            raise FileNotFoundError(f"{needed}: no such folder; {folder} must hold images/ and masks/")
    faults: list[str] = []
    images = files_by_stem(folder / "images", IMAGE_SUFFIXES, faults)
    masks = files_by_stem(folder / "masks", IMAGE_SUFFIXES, faults) if (folder / "masks").is_dir() else {}
    surveys: dict[str, Survey] = {}
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1), "survey") as threads:
        pending = {}
        for name, image in images.items():
            mask = next((masks.pop(name + ending) for ending in MASK_ENDINGS if name + ending in masks), None)
            if mask is None and no_mask is None:
                faults.append(f"{image}: has no mask; --no-mask good or unlabelled takes it nevertheless")
            else:
                pending[name] = threads.submit(survey, image, mask, mask_threshold)
        for name, future in pending.items():
            with noted(faults):
                surveys[name] = future.result()
    faults += [f"{mask}: has no photograph of its name in {folder / 'images'}" for mask in masks.values()]
    levels = common_levels(s.levels for s in surveys.values())
    mode = "L" if all(s.grey for s in surveys.values()) else "RGB"
    photographs = []
    for name, seen in surveys.items():
        kind = "defect" if seen.defective else "good"
        known = seen.mask is not None or no_mask == "good"
        photographs.append(
            Photograph(
                name,
                partial(read_photograph, images[name], seen.mask, mode, seen.levels and levels, no_mask),
                kind if known else "unknown",
                name,
                kind if known else None,
                area=centre(seen.size, CENTRE),
            )
        )
    reference = next((p for p in photographs if p.kind == "good"), None)
    one_size = len({s.size for s in surveys.values()}) == 1
    return Plan(
        part_classes((), "merged")[0],
        1 if mode == "L" else 3,
        "hv",
        PART_RESOLUTION,
        photographs,
        PART_IMAGE_LABELS,
        faults,
        patches=PATCHES,
        reference=(lambda: reference.read()[0]) if reference and one_size else None,
    )


def survey(image: Path, mask: Path | None, threshold: int) -> Survey:
    """Reads the mask, and of the photograph its header, or all of it if it is 16-bit: its brightness counts then.

    Raises OSError or ValueError, with the path of what is not right.
    """
    size, levels = size_with_masks(image, *([] if mask is None else [mask])), None
    with Image.open(image) as header:
        mode = header.mode
    if mode in SIXTEEN_BIT:
        values = np.asarray(open_image(image))
        levels = int(values.min()), int(values.max())
    if mask is None:
        return Survey(size, mode in GREY_MODES, levels, None, defective=False)
    defects = read_mask(mask, threshold)
    defective = bool(cut(fit_label(defects, size), centre(size, CENTRE)).any())
    return Survey(size, mode in GREY_MODES, levels, FoldedMask(defects), defective)


def read_photograph(
    path: Path, mask: FoldedMask | None, mode: str, levels: tuple[int, int] | None, no_mask: str | None
) -> tuple[Pixels, Pixels | None]:
    """The photograph in 8 bits, and its defects as 1. levels: what becomes 0 and 255 of a 16-bit one, else None."""
    if levels is None:
        image = read_image(path, mode)
    else:
        image = np.asarray(Image.fromarray(in_8_bits(np.asarray(open_image(path)), levels)).convert(mode))
    if mask is not None:
        return image, mask.unfold()
    return image, np.zeros(image.shape[:2], np.uint8) if no_mask == "good" else None
