"""Magnetic tiles (Huang, Qiu, Yuan, The Visual Computer 2020): MT_KIND/Imgs/NAME.jpg with its mask NAME.png beside it.

A tile was photographed about six times, and the only trace of that are neighbouring numbers in the names; photographs
of one tile can carry different kinds, so groups are made over all folders.
"""

import re
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np

from pumpgan.data.dataset import PART_IMAGE_LABELS, read_image
from pumpgan.data.importers.parts import PART_RESOLUTION, part_classes, read_mask
from pumpgan.data.importers.photograph import (
    Photograph,
    Pixels,
    Plan,
    files_by_stem,
    image_size,
    noted,
    size_with_masks,
)

KINDS = {  # folder -> kind
    "MT_Blowhole": "blowhole",
    "MT_Break": "break",
    "MT_Crack": "crack",
    "MT_Fray": "fray",
    "MT_Free": "good",
    "MT_Uneven": "uneven",
}
LARGEST_GAP = 300  # between numbers of one tile
# Numbers further apart that show one tile nevertheless, found by looking; ranges on one line belong together.
SAME_TILE = (
    ((8676, 11357),),
    ((52659, 53080), (65001, 65067)),
    ((85602, 88201),),
    ((124236, 124787),),
)


def plan_magnetic_tile(folder: Path, *, mask_threshold: int = 127, classes: str = "merged") -> Plan:
    """The photographs of the six folders (those that exist), grey, with a mask where brighter than `mask_threshold`."""
    found = {name: kind for name, kind in KINDS.items() if (folder / name / "Imgs").is_dir()}
    if not found:
        raise FileNotFoundError(f"{folder}: holds none of {', '.join(f'{name}/Imgs' for name in KINDS)}")
    faults: list[str] = []
    pairs: dict[str, tuple[str, int, Path, Path]] = {}
    for name, kind in found.items():
        images = files_by_stem(folder / name / "Imgs", frozenset((".jpg",)), faults)
        masks = files_by_stem(folder / name / "Imgs", frozenset((".png",)), faults)
        for stem, image in images.items():
            mask, number = masks.pop(stem, None), re.search(r"num_(\d+)", stem)
            if mask is None:
                faults.append(f"{image}: has no mask {stem}.png beside it")
            elif number is None:
                faults.append(f"{image}: its name must hold num_ and a number, which tells the tile")
            else:
                with noted(faults):
                    if size_with_masks(image, mask) != image_size(mask):
                        raise ValueError(f"{mask}: must be as large as its image")
                    pairs[f"{name}_{stem}"] = (kind, int(number[1]), image, mask)
        faults += [f"{mask}: has no image {mask.stem}.jpg beside it" for mask in masks.values()]
    label_classes, ids = part_classes([kind for kind in KINDS.values() if kind != "good"], classes)
    tiles = tiles_of(number for _, number, _, _ in pairs.values())
    photographs = [
        Photograph(
            name,
            partial(read_tile, image, mask, mask_threshold, kind, ids.get(kind, 0)),
            kind,
            group=f"tile_{tiles[number]}",
            image_label="good" if kind == "good" else "defect",
        )
        for name, (kind, number, image, mask) in pairs.items()
    ]
    return Plan(label_classes, 1, "hv", PART_RESOLUTION, photographs, PART_IMAGE_LABELS, faults)


def read_tile(path: Path, mask_path: Path, threshold: int, kind: str, defect_id: int) -> tuple[Pixels, Pixels | None]:
    """The photograph, and `defect_id` where its mask is brighter than `threshold` (masks are anti-aliased: over 0 a
    defect grows by 8 %). A defective tile with an empty mask is unlabelled: four uneven ones, which nobody drew."""
    image, defect = read_image(path, "L"), read_mask(mask_path, threshold)
    if kind == "good" and defect.any():
        raise ValueError(f"{mask_path}: marks a defect in a photograph that is filed as free of them")
    return image, None if kind != "good" and not defect.any() else defect * np.uint8(defect_id)


def tiles_of(numbers: Iterable[int]) -> dict[int, int]:
    """The tile of each photograph number, called by the smallest number of the tile."""
    tiles: dict[int, int] = {}
    previous = None
    for number in sorted(set(numbers)):
        joined = previous is not None and number - previous <= LARGEST_GAP
        tiles[number] = tiles[previous] if joined and previous is not None else number
        previous = number
    for ranges in SAME_TILE:
        inside = {tiles[n] for n in tiles if any(low <= n <= high for low, high in ranges)}
        for number, tile in tiles.items():
            if tile in inside:
                tiles[number] = min(inside)
    return tiles
