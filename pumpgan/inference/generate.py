"""Datasets of generated images, with labels where the run draws them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from pumpgan.data.dataset import Dataset, Entry, class_id
from pumpgan.data.writer import DatasetWriter, check_new
from pumpgan.inference.samples import TrainedGenerator
from pumpgan.train.record import RunRecord

MOST_TRIES = 200  # samples drawn for every one kept before a rare class is given up


def generate(
    run: Path,
    out: Path,
    count: int,
    *,
    seed: int = 0,
    truncation: float = 1.0,
    with_class: str | None = None,
    min_fraction: float = 0.0,
    image_label: str | None = None,
    checkpoint: int | str | None = None,
    device: torch.device | None = None,
    advance: Callable[[int], None] = lambda kept: None,
) -> int:
    """Writes `count` generated images, with labels where the run draws them, as a dataset in `out`, absent or empty;
    returns how many were drawn.

    with_class: keep only images whose labels hold this class, in more than `min_fraction` of the pixels.
    image_label: what every entry's image_label says, and what a conditional run is asked to draw; None leaves it to the
    pixels, or to how often a conditional run saw each.
    advance: called with how many more images were kept. All images are of the train split.
    Raises ValueError for an unknown class, or one that `MOST_TRIES` times `count` samples do not show often enough.
    """
    check_new(out)
    trained = TrainedGenerator(run, checkpoint=checkpoint, device=device)
    classes, record = trained.classes, trained.record
    wanted = class_id(classes, with_class) if with_class else None
    if with_class and not record.draws_labels:
        raise ValueError(f"--with-class {with_class}: {run} draws images without labels")
    channels, names = record.channels, record.conditions
    condition = trained.condition(image_label) if names else None
    image_labels = names or ("good", "defect")
    if image_label and image_label not in image_labels:
        image_labels = (image_label,)
    kept = drawn = 0
    with DatasetWriter(
        out,
        name=f"{run.name} step {trained.step}",
        classes=classes,
        size=record.size,
        channels=channels,
        flips=record.flips,
        source={"importer": "generate", "options": {"with_class": with_class, "min_fraction": min_fraction}},
        generator={"run": str(run.resolve()), "checkpoint": trained.step, "seed": seed, "truncation": truncation},
        image_labels=image_labels if names or image_label else (),
    ) as writer:
        for sample in trained.samples(seed, truncation=truncation, condition=condition):
            before = kept
            for k, (image, number) in enumerate(zip(sample.images, sample.numbers, strict=True)):
                if kept == count:
                    break
                drawn += 1
                label = None if sample.labels is None else sample.labels[k]
                if wanted is not None and np.mean(label == wanted) <= min_fraction:
                    continue
                named = names[sample.conditions[k]] if sample.conditions else image_label
                entry = Entry(f"seed{seed}_{number:08d}", "train", image_label=named)
                writer.add(entry, image if channels == 3 else image[..., 0], label)
                kept += 1
            advance(kept - before)
            if kept == count:
                return drawn
            if drawn >= MOST_TRIES * count and drawn >= 10_000:
                size = f" in more than {min_fraction:g} of the pixels" if min_fraction else ""
                raise ValueError(
                    f"--with-class {with_class}: {kept} of {drawn} generated labels hold it{size}; ask for "
                    f"fewer images or a smaller --min-fraction, or steer the training by --dist-loss"
                )
    return drawn


def matching_dataset(record: RunRecord, path: Path) -> Dataset:
    """The dataset at `path`; ValueError unless its classes are those of the run."""
    dataset = Dataset.open(path)
    names = tuple(c.name for c in dataset.classes)
    if names != record.classes:
        raise ValueError(f"{path}: its classes are {', '.join(names)}; the run's are {', '.join(record.classes)}")
    return dataset
