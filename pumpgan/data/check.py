"""What is wrong with a dataset folder, fault by fault."""

import os
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from pumpgan.data.dataset import SPLITS, Dataset, Entry, open_image, size_text
from pumpgan.data.splits import shown


def check(path: str | Path) -> list[str]:
    """Reads every file of a dataset and returns its faults, a line each; an empty list says that it is sound.

    A folder whose JSON files cannot be read as a dataset has that one fault.
    """
    try:
        dataset = Dataset.open(path)
    except (ValueError, OSError) as error:
        return [str(error)]
    faults = [*duplicates(dataset), *both_splits(dataset), *wrong_image_labels(dataset), *strays(dataset)]
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1), "check") as threads:
        for found in threads.map(lambda entry: wrong_files(dataset, entry), dataset.entries):
            faults += found
    return [*faults, *wrong_counts(dataset)]


def wrong_counts(dataset: Dataset) -> Iterable[str]:
    """Numbers of images and labels that are not those of the statistics, and the labels that are gone by name: an
    unlabelled image has no label file, so nothing else tells that one was there."""
    for split in SPLITS:
        entries, stated = dataset.split(split), dataset.statistics.get(split, {})
        without = [path for path in map(dataset.label_path, entries) if not path.exists()]
        there = {"images": len(entries), "labelled": len(entries) - len(without)}
        gone = stated.get("labelled", 0) - there["labelled"]
        if gone == len(without) and stated.get("images") == there["images"]:
            yield from (f"{path}: no such file; every {split} image had a label" for path in without)
            continue
        for what, count in there.items():
            if stated.get(what, count) != count:
                fault = (
                    f"{dataset.path / 'dataset.json'}: statistics say {stated[what]} {split} {what}, there are {count}"
                )
                some = ", ".join(path.stem for path in without[:5]) + (", ..." if len(without) > 5 else "")
                yield fault + (f"; without a label are {some}" if what == "labelled" and gone > 0 else "")


def duplicates(dataset: Dataset) -> Iterable[str]:
    for name, times in Counter(entry.name for entry in dataset.entries).items():
        if times > 1:
            yield f"{dataset.path / 'images.jsonl'}: {name} stands there {times} times"


def both_splits(dataset: Dataset) -> Iterable[str]:
    """Photographs, and groups of them, that serve training and test."""
    for _, what, name in sorted(shown(dataset, "train") & shown(dataset, "test")):
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
        faults += form
        if not form and np.asarray(label).max() >= len(dataset.classes):
            unknown = np.setdiff1d(np.asarray(label), range(len(dataset.classes))).tolist()
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
