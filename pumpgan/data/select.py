"""A dataset made of some of another's images: with one class only, or with a given share of it."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pumpgan.data.dataset import SPLITS, Dataset, Entry
from pumpgan.data.writer import DatasetWriter


def select(
    dataset: Dataset,
    out: str | Path,
    *,
    with_class: str | None = None,
    share: float | None = None,
    count: int | None = None,
    seed: int = 0,
) -> Dataset:
    """Writes the chosen images of each split, in their order, as a dataset of their own.

    with_class: only images with at least one pixel of that class. share: of the images chosen, this share (over 0, at
    most 1) has the class and the rest, labelled too, has none of it; as many as there are, drawn by `seed`. count: at
    most this many training images, drawn by `seed` with the same share; test is never thinned out by it.

    Raises ValueError for a class that does not exist, a share without a class, or where no training image is left.
    """
    if share is not None and with_class is None:
        raise ValueError("share: must come with the class that it is the share of")
    if share is not None and not 0 < share <= 1:
        raise ValueError(f"share: must be over 0 and at most 1, got {share}")
    if count is not None and count < 1:
        raise ValueError(f"count: must be at least 1, got {count}")
    wanted = None if with_class is None else dataset.class_id(with_class)
    chosen: list[Entry] = []
    for number, split in enumerate(SPLITS):
        entries = dataset.split(split)
        order = np.random.Generator(np.random.PCG64([seed, number])).permutation(len(entries)).tolist()
        limit = count if split == "train" and count is not None else len(entries)
        if wanted is None:
            picked = order[:limit]
        else:
            having: list[int] = []
            lacking: list[int] = []
            for i in order:
                label = dataset.label(entries[i])
                if label is None or lost(dataset, entries[i], label):
                    continue
                (having if (label == wanted).any() else lacking).append(i)
            picked = mix(having, lacking, 1.0 if share is None else share, limit)
        chosen += [entries[i] for i in sorted(picked)]
    if not any(entry.split == "train" for entry in chosen):
        raise ValueError(f"{dataset.path}: no training image is left{f' with {with_class}' if with_class else ''}")
    options = {"with_class": with_class, "share": share, "count": count, "seed": seed}
    with DatasetWriter(out, **dataset.derived("select", options), generator=dataset.generator) as writer:
        for entry in chosen:
            writer.add(entry, dataset.image(entry), dataset.label(entry))
    return Dataset.open(out)


def lost(dataset: Dataset, entry: Entry, label: NDArray[np.uint8]) -> bool:
    """Whether an image shows a defect of which no labelled pixel outlived resizing: it neither has it nor lacks it."""
    return entry.image_label in dataset.image_labels[1:] and not label.any()


def mix(having: Sequence[int], lacking: Sequence[int], share: float, limit: int) -> list[int]:
    """The first of both lists, as many as `share` and `limit` allow; the share is met to within one image."""
    total = min(limit, math.floor(len(having) / share))
    if share < 1:
        total = min(total, math.floor(len(lacking) / (1 - share)))
    with_class = round(total * share)
    return [*having[:with_class], *lacking[: total - with_class]]
