"""A dataset in the layouts that other tools read."""

import io
import json
import tarfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from pumpgan.data.dataset import SPLITS, Dataset, Entry, raise_faults
from pumpgan.data.writer import new_folder, png, write_file

SHARD = 1000  # images a tar file
EIGHT_NEIGHBOURS = np.ones((3, 3), int)


def export(dataset: Dataset, out: str | Path, format: str) -> dict[str, int]:
    """Writes the dataset to `out` (absent or empty) in one of FORMATS; returns how many images of each split.

    Raises ValueError for an unknown format or a dataset that the format cannot hold, OSError as `DatasetWriter` does.
    """
    if format not in FORMATS:
        raise ValueError(f"format: must be one of {', '.join(FORMATS)}, got {format!r}")
    with new_folder(Path(out)) as folder:
        written = FORMATS[format](dataset, folder)
    return written or {split: len(dataset.split(split)) for split in SPLITS}


def export_masks(dataset: Dataset, folder: Path) -> None:
    """SPLIT/images/NAME.png and SPLIT/masks/NAME.png (palette, pixel = class id; none for an unlabelled image), and
    classes.json with the names of the ids."""
    for split in SPLITS:
        for kind in ("images", "masks"):
            (folder / split / kind).mkdir(parents=True)
    for entry in dataset.entries:
        copy(dataset.image_path(entry), folder / entry.split / "images")
        if dataset.label_path(entry).exists():
            copy(dataset.label_path(entry), folder / entry.split / "masks")
    write_json(folder / "classes.json", {c.id: c.name for c in dataset.classes})


def export_mvtec(dataset: Dataset, folder: Path) -> dict[str, int]:
    """train/good, test/good, test/KIND and ground_truth/KIND/NAME_mask.png with 255 on every defect.

    This layout has no place for a defect in train: all of them are in test, so what is trained on by other means must
    not be judged on this export. A defect of which no labelled pixel outlived resizing is left out.
    """
    faults = []
    written = dict.fromkeys(SPLITS, 0)
    for place in ("train/good", "test/good", "ground_truth"):
        (folder / place).mkdir(parents=True)
    for entry in dataset.entries:
        label = dataset.label(entry)
        defective = entry.image_label == "defect" or (label is not None and bool(label.any()))
        if not defective and (label is not None or entry.image_label is not None):
            copy(dataset.image_path(entry), folder / entry.split / "good")
            written[entry.split] += 1
        elif label is None:
            faults.append(f"{entry.name}: has no mask, which mvtec needs of a defect")
        elif label.any():  # else a defect of which no pixel outlived resizing: good it is not, and mvtec wants a mask
            kind = entry.kind if entry.kind not in (None, "good") else "defect"
            for place in ("test", "ground_truth"):
                (folder / place / kind).mkdir(exist_ok=True)
            copy(dataset.image_path(entry), folder / "test" / kind)
            written["test"] += 1
            mask = Image.fromarray(np.where(label > 0, 255, 0).astype(np.uint8))
            write_file(folder / "ground_truth" / kind / f"{entry.name}_mask.png", png(mask))
    raise_faults(str(dataset.path), faults)
    return written


def export_coco(dataset: Dataset, folder: Path) -> dict[str, int]:
    """SPLIT/NAME.png and annotations/SPLIT.json: an instance for each connected piece of a class but the first.

    An image whose own label tells of a defect that no mask shows is left out: here it would stand as a good one.
    ValueError where that leaves none. Pixels that touch over a corner are connected. Boxes are [x, y, width, height];
    shapes are uncompressed run lengths, down the columns.
    """
    height, width = dataset.size
    written = dict.fromkeys(SPLITS, 0)
    categories = [{"id": c.id, "name": c.name} for c in dataset.classes[1:]]
    (folder / "annotations").mkdir()
    for split in SPLITS:
        (folder / split).mkdir()
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for number, entry in enumerate(filter(partial(is_told, dataset), dataset.split(split)), 1):
            copy(dataset.image_path(entry), folder / split)
            images.append({"id": number, "file_name": f"{entry.name}.png", "width": width, "height": height})
            label = dataset.label(entry)
            for instance in [] if label is None else instances(label):
                annotations.append({"id": len(annotations) + 1, "image_id": number, "iscrowd": 0, **instance})
        about = {"images": images, "annotations": annotations, "categories": categories}
        write_json(folder / "annotations" / f"{split}.json", about)
        written[split] = len(images)
    if not any(written.values()):
        names = ", ".join(entry.name for entry in dataset.entries[:3])
        raise ValueError(f"{dataset.path}: no image has a mask ({names}, ...), which coco needs; webdataset does not")
    return written


def is_told(dataset: Dataset, entry: Entry) -> bool:
    """Whether pixels can tell what is in an image: it has a mask, or nothing unusual to mark."""
    return entry.image_label in (None, *dataset.image_labels[:1]) or dataset.label_path(entry).exists()


def instances(label: NDArray[np.uint8]) -> list[dict[str, Any]]:
    """COCO's category, box, area and shape of every connected piece of a class other than 0."""
    found = []
    for class_id in np.unique(label[label > 0]).tolist():
        pieces, count = ndimage.label(label == class_id, EIGHT_NEIGHBOURS)
        for piece in range(1, count + 1):
            mask = pieces == piece
            rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
            top, left = int(rows[0]), int(columns[0])
            found.append(
                {
                    "category_id": class_id,
                    "bbox": [left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top],
                    "area": int(mask.sum()),
                    "segmentation": {"size": list(label.shape), "counts": run_lengths(mask)},
                }
            )
    return found


def run_lengths(mask: NDArray[np.bool_]) -> list[int]:
    """Lengths of the runs of zeros, ones, zeros, ... down the columns; the first may be 0."""
    values = mask.ravel(order="F")
    ends = np.flatnonzero(values[1:] != values[:-1]) + 1
    runs = np.diff([0, *ends.tolist(), values.size]).tolist()
    return [0, *runs] if values[0] else runs


def export_webdataset(dataset: Dataset, folder: Path) -> None:
    """SPLIT-000000.tar, ... of a thousand images each: NAME.png, NAME.label.png where labelled, and NAME.json.

    Labels are grey, pixel = class id: webdataset's decoders make colours of a palette, and ids are gone.
    """
    for split in SPLITS:
        entries = dataset.split(split)
        for start in range(0, len(entries), SHARD):
            buffer = io.BytesIO()
            with tarfile.open(fileobj=buffer, mode="w") as tar:
                for entry in entries[start : start + SHARD]:
                    for ending, content in members(dataset, entry):
                        about = tarfile.TarInfo(f"{entry.name.replace('.', '_')}.{ending}")  # a dot would end the key
                        about.size = len(content)
                        tar.addfile(about, io.BytesIO(content))
            write_file(folder / f"{split}-{start // SHARD:06d}.tar", buffer.getvalue())
    write_json(folder / "classes.json", {c.id: c.name for c in dataset.classes})


def members(dataset: Dataset, entry: Entry) -> list[tuple[str, bytes]]:
    """The files of one image in a tar, by ending."""
    files = [("png", dataset.image_path(entry).read_bytes()), ("json", entry.to_json().encode())]
    label = dataset.label(entry)
    if label is not None:
        files.insert(1, ("label.png", png(Image.fromarray(label))))
    return files


# Each returns how many images it put into which split, or None where that is the dataset's own split.
FORMATS: dict[str, Callable[[Dataset, Path], dict[str, int] | None]] = {
    "masks": export_masks,
    "mvtec": export_mvtec,
    "coco": export_coco,
    "webdataset": export_webdataset,
}


def copy(path: Path, folder: Path) -> None:
    write_file(folder / path.name, path.read_bytes())


def write_json(path: Path, value: Any) -> None:
    write_file(path, json.dumps(value, ensure_ascii=False, allow_nan=False).encode())
