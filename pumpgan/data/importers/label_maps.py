"""Images with one index map each: images/NAME.* and masks/NAME.png (or labels/), pixel = class id.

The ids are CelebAMask-HQ's, 0 to 18, and become FACE_CLASSES, unless the user names classes of their own.
"""

from functools import partial
from pathlib import Path

from pumpgan.data.dataset import FACE_CLASSES, read_label
from pumpgan.data.importers.celebamask_hq import FACE_ID_OF_PART, FACE_RESOLUTION, PARTS
from pumpgan.data.importers.parts import PART_RESOLUTION, channels_of, named_classes
from pumpgan.data.importers.photograph import (
    IMAGE_SUFFIXES,
    Photograph,
    Pixels,
    Plan,
    files_by_stem,
    noted,
    read_pair,
    size_with_masks,
)


def plan_label_maps(folder: Path, *, no_mask: str | None = None, class_names: str | None = None) -> Plan:
    """The images of a folder with their masks.

    class_names: the names of ids 0, 1, 2, ..., joined by commas; None: faces with CelebAMask-HQ's ids.
    """
    mask_folder = next((folder / name for name in ("masks", "labels") if (folder / name).is_dir()), None)
    if not (folder / "images").is_dir():
        raise FileNotFoundError(
            f"{folder / 'images'}: no such folder; --from must hold images/ and masks/ (or labels/)"
        )
    if mask_folder is None and no_mask is None:
        raise FileNotFoundError(f"{folder / 'masks'}: no such folder; --from must hold images/ and masks/ (or labels/)")
    faults: list[str] = []
    images = files_by_stem(folder / "images", IMAGE_SUFFIXES, faults)
    masks = {} if mask_folder is None else files_by_stem(mask_folder, IMAGE_SUFFIXES, faults)
    classes = FACE_CLASSES if class_names is None else named_classes(class_names)
    channels = 3 if class_names is None else channels_of(list(images.values()))
    photographs = []
    for stem, path in images.items():
        mask = masks.pop(stem, None)
        if mask is None and no_mask is None:
            faults.append(f"{path}: has no mask; --no-mask good or unlabelled takes it nevertheless")
            continue
        with noted(faults):
            size_with_masks(path, *filter(None, [mask]))
            read_ids = None
            if mask is not None:
                read_ids = partial(read_parts, mask) if class_names is None else partial(read_own, mask, len(classes))
            read = partial(read_pair, path, "RGB" if channels == 3 else "L", read_ids, no_mask)
            photographs.append(Photograph(stem, read, "face" if class_names is None else "image", group=stem))
    faults += [f"{mask}: has no image of its name in {folder / 'images'}" for mask in masks.values()]
    if class_names is None:
        return Plan(classes, channels, "h", FACE_RESOLUTION, photographs, faults=faults)
    return Plan(classes, channels, "none", PART_RESOLUTION, photographs, faults=faults)


def read_parts(mask: Path) -> Pixels:
    """The ids of FACE_CLASSES from a map of CelebAMask-HQ's."""
    return FACE_ID_OF_PART[read_own(mask, len(PARTS))]


def read_own(mask: Path, class_count: int) -> Pixels:
    """The ids of a map. Raises as `read_label` does, and says what else the file may be meant for."""
    try:
        return read_label(mask, class_count)
    except ValueError as error:
        hint = "--class-names names ids of your own; masks of 0 and 255 are for the source pump"
        raise ValueError(f"{error} ({hint})") from None
