"""Faces with one index map each: images/NAME.* and masks/NAME.png (or labels/), pixel = CelebAMask-HQ id, 0 to 18."""

from functools import partial
from pathlib import Path

from pumpgan.data.dataset import FACE_CLASSES, read_label
from pumpgan.data.importers.celebamask_hq import FACE_RESOLUTION, PARTS, face
from pumpgan.data.importers.photograph import IMAGE_SUFFIXES, Plan, factor_between, files_by_stem, image_size


def plan_label_maps(folder: Path, *, no_mask: str | None = None) -> Plan:
    """The faces of a folder of image and mask pairs, with the eleven classes of FACE_CLASSES."""
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
    photographs = []
    for stem, path in images.items():
        mask = masks.pop(stem, None)
        if mask is None and no_mask is None:
            faults.append(f"{path}: has no mask; --no-mask good or unlabelled takes it nevertheless")
            continue
        try:
            size = image_size(path)
            if mask is not None:
                factor_between(size, image_size(mask))
        except OSError as error:
            faults.append(str(error))
        except ValueError as error:
            faults.append(f"{mask}: {error}")
        else:
            read_ids = None if mask is None else partial(read_label, mask, len(PARTS))
            photographs.append(face(stem, path, read_ids, size, no_mask))
    faults += [f"{mask}: has no image of its name in {folder / 'images'}" for mask in masks.values()]
    return Plan(FACE_CLASSES, 3, "h", FACE_RESOLUTION, photographs, faults=faults)
