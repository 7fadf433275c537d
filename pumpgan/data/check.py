"""What is wrong with a dataset folder, fault by fault."""

import os
from collections import Counter, defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from pumpgan.data.dataset import SPLITS, Dataset, Entry, open_image, size_text


def check(path: str | Path) -> list[str]:
    """Reads every file of a dataset and returns its faults, a line each; an empty list says that it is sound.

    A folder whose JSON files cannot be read as a dataset has that one fault.
    """
    try:
        dataset = Dataset.open(path)
    except (ValueError, OSError) as error:
        return [str(error)]
    faults = [*duplicates(dataset), *both_splits(dataset), *wrong_image_labels(dataset), *strays(dataset)]
    labelled: Counter[str] = Counter()
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1), "check") as threads:
        for entry, found in zip(
            dataset.entries, threads.map(lambda e: wrong_files(dataset, e), dataset.entries), strict=True
        ):
            faults += found
            labelled[entry.split] += dataset.label_path(entry).exists()
    for split in SPLITS:
        stated = dataset.statistics.get(split, {})
        found_now = {"images": len(dataset.split(split)), "labelled": labelled[split]}
        faults += [
            f"{dataset.path / 'dataset.json'}: statistics say {stated[what]} {split} {what}, there are {there}"
            for what, there in found_now.items()
            if what in stated and stated[what] != there
        ]
    return faults


def duplicates(dataset: Dataset) -> Iterable[str]:
    for name, times in Counter(entry.name for entry in dataset.entries).items():
        if times > 1:
            yield f"{dataset.path / 'images.jsonl'}: {name} stands there {times} times"


def both_splits(dataset: Dataset) -> Iterable[str]:
    """Photographs, and groups of them, that serve training and test."""
    splits: dict[tuple[str, str], set[str]] = defaultdict(set)
    for entry in dataset.entries:
        for photograph in entry.photographs:
            splits["photograph", photograph].add(entry.split)
        if entry.group is not None:
            splits["group", entry.group].add(entry.split)
    for (what, name), of in splits.items():
        if len(of) > 1:
            yield f"{dataset.path / 'images.jsonl'}: {what} {name} is in train and in test"


def wrong_image_labels(dataset: Dataset) -> Iterable[str]:
    for entry in dataset.entries:
        if entry.image_label is not None and entry.image_label not in dataset.image_labels:
            known = ", ".join(dataset.image_labels) or "none"
            yield f"{dataset.path / 'images.jsonl'}: {entry.name}: image label {entry.image_label!r}, known are {known}"


def strays(dataset: Dataset) -> Iterable[str]:
    """Files that no line of images.jsonl names."""
    expected = {f"{entry.name}.png" for entry in dataset.entries}
    for folder in ("images", "labels"):
        if (dataset.path / folder).is_dir():
            for path in sorted((dataset.path / folder).iterdir()):
                if path.name not in expected:
                    yield f"{path}: is not in images.jsonl"


def wrong_files(dataset: Dataset, entry: Entry) -> list[str]:
    """What is wrong with the image and the label of an entry."""
    faults = []
    path = dataset.image_path(entry)
    mode = "L" if dataset.channels == 1 else "RGB"
    try:
        image = open_image(path)
    except OSError as error:
        faults.append(str(error))
    else:
        faults += wrong_form(path, image, mode, dataset.size)
    path = dataset.label_path(entry)
    if path.exists():
        try:
            label = open_image(path)
        except OSError as error:
            return [*faults, str(error)]
        form = wrong_form(path, label, "P", dataset.size)
        unknown = [] if form else np.setdiff1d(np.asarray(label), [c.id for c in dataset.classes]).tolist()
        faults += form
        if unknown:
            listed = ", ".join(map(str, unknown[:5])) + (", ..." if len(unknown) > 5 else "")
            faults.append(f"{path}: class id {listed} is unknown; ids are 0 to {len(dataset.classes) - 1}")
    return faults


def wrong_form(path: Path, image: Image.Image, mode: str, size: tuple[int, int]) -> list[str]:
    faults = []
    if image.mode != mode:
        faults.append(f"{path}: must be of mode {mode}, got {image.mode}")
    if (image.height, image.width) != tuple(size):
        faults.append(f"{path}: must be {size_text(size)}, got {size_text((image.height, image.width))}")
    return faults
