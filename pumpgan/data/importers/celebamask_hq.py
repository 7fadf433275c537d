"""CelebAMask-HQ as released (Lee et al., arXiv:1907.11922): CelebA-HQ-img/N.jpg, and one mask per face and part.

The parts of face N are CelebAMask-HQ-mask-anno/K/NNNNN_PART.png, white on black and half the image's size; a part that
is not there has no file. They overlap, so they are painted in the release's order, later over earlier.
"""

import re
from collections import defaultdict
from functools import partial
from pathlib import Path

import numpy as np

from pumpgan.data.dataset import FACE_CLASSES
from pumpgan.data.importers.photograph import (
    IMAGE_SUFFIXES,
    Photograph,
    Pixels,
    Plan,
    files_by_stem,
    noted,
    read_grey,
    read_pair,
    size_with_masks,
)

FACE_RESOLUTION = 64

# The release's ids are the positions in this list (0: background), and its painting order is that of the ids.
MERGED = {
    "background": "background",
    "skin": "skin",
    "nose": "nose",
    "eye_g": "eyeglass",
    "l_eye": "eyes",
    "r_eye": "eyes",
    "l_brow": "eyebrows",
    "r_brow": "eyebrows",
    "l_ear": "ears",
    "r_ear": "ears",
    "mouth": "mouth",
    "u_lip": "mouth",
    "l_lip": "mouth",
    "hair": "hair",
    "hat": "hat",
    "ear_r": "earring",
    "neck_l": "background",
    "neck": "background",
    "cloth": "background",
}
PARTS = tuple(MERGED)
FACE_ID_OF_PART = np.array([{c.name: c.id for c in FACE_CLASSES}[name] for name in MERGED.values()], np.uint8)


def plan_celebamask_hq(folder: Path, *, no_mask: str | None = None) -> Plan:
    """The faces of a release folder, with the eleven classes of FACE_CLASSES."""
    image_folder, mask_folder = folder / "CelebA-HQ-img", folder / "CelebAMask-HQ-mask-anno"
    for needed in (image_folder, mask_folder):
        if not needed.is_dir():
            raise FileNotFoundError(f"{needed}: no such folder; --from must be the folder that the release unpacks to")
    faults: list[str] = []
    images = files_by_stem(image_folder, IMAGE_SUFFIXES, faults)
    masks: dict[int, dict[str, Path]] = defaultdict(dict)
    for path in sorted(mask_folder.rglob("*.png")):
        match = re.fullmatch(r"(\d+)_(\w+)", path.stem)
        if not match or match[2] not in PARTS[1:]:
            faults.append(f"{path}: must be called NNNNN_PART.png with PART one of {', '.join(PARTS[1:])}")
        elif match[2] in masks[int(match[1])]:
            faults.append(f"{path}: this part is also in {masks[int(match[1])][match[2]].parent}")
        else:
            masks[int(match[1])][match[2]] = path
    photographs = []
    for stem, path in images.items():
        if not stem.isdecimal():
            faults.append(f"{path}: must be called by its number, as N.jpg")
            continue
        parts = masks.pop(int(stem), {})
        if not parts and no_mask is None:
            faults.append(f"{path}: has no masks; --no-mask good or unlabelled takes it nevertheless")
            continue
        with noted(faults):
            size_with_masks(path, *parts.values())
            read = partial(read_pair, path, "RGB", partial(paint, parts) if parts else None, no_mask)
            photographs.append(Photograph(stem.zfill(5), read, kind="face", group=stem.zfill(5)))
    faults += [f"{next(iter(parts.values()))}: has no face {n}.jpg in {image_folder}" for n, parts in masks.items()]
    return Plan(FACE_CLASSES, 3, "h", FACE_RESOLUTION, sorted(photographs, key=lambda p: p.name), faults=faults)


def paint(parts: dict[str, Path]) -> Pixels:
    """The ids of FACE_CLASSES from the masks of the parts (at least one), uint8 [H, W]."""
    masks = {part: read_grey(parts[part]) > 127 for part in PARTS if part in parts}
    ids = np.zeros(next(iter(masks.values())).shape, np.uint8)
    for part, mask in masks.items():
        if mask.shape != ids.shape:
            raise ValueError(f"{parts[part]}: must be as large as the other masks of this face")
        ids[mask] = FACE_ID_OF_PART[PARTS.index(part)]
    return ids
