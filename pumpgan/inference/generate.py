"""Datasets of generated images, with labels where the run draws them.

Beside what every dataset holds there is samples.jsonl, a line for each sample that was drawn, kept or not:
{name, seed, number, kept, reasons: [criteria that it fails], scores: {what the criteria found}}.
"""

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import torch

from pumpgan.data.dataset import Dataset, Entry
from pumpgan.data.writer import DatasetWriter, check_new
from pumpgan.inference.filters import Advance, criteria_for, verdicts
from pumpgan.inference.samples import BATCH, TrainedGenerator
from pumpgan.inference.wanted import Wanted
from pumpgan.train.config import flag
from pumpgan.train.record import RunRecord

MOST_TRIES = 200  # samples drawn for every one kept before too rare ones are given up
LEAST_TRIES = 10_000
SAMPLES = "samples.jsonl"


@dataclass
class Tally:
    """Of the samples of a set. rejected: how many failed each criterion; one may fail several."""

    drawn: int = 0
    kept: int = 0
    rejected: Counter[str] = field(default_factory=Counter)


def generate(
    run: Path,
    out: Path,
    count: int,
    *,
    wanted: Wanted | None = None,
    seed: int = 0,
    start: int = 0,
    truncation: float = 1.0,
    image_label: str | None = None,
    checkpoint: int | str | None = None,
    device: torch.device | None = None,
    advance: Advance = lambda what, images, total: None,
) -> Tally:
    """Writes `count` generated images, with labels where the run draws them, as a dataset in `out`, absent or empty.

    wanted: what a sample must be to be kept; None keeps all.
    seed, start: samples `start`, `start` + 1, ... of the sequence that `seed` names. Alone, or in another order, each
    is the same and judged the same.
    image_label: what every entry's image_label says, and what a conditional run is asked to draw; None leaves it to the
    pixels, or to how often a conditional run saw each.
    advance: told of progress. All images are of the train split.
    Raises ValueError for what the run does not know or has not, or where `MOST_TRIES` times `count` samples, and at
    least `LEAST_TRIES`, do not hold enough to keep.
    """
    check_new(out)
    trained = TrainedGenerator(run, checkpoint=checkpoint, device=device)
    record = trained.record
    names = record.conditions
    condition = trained.condition(image_label) if names else None
    image_labels = names or ("good", "defect")
    if image_label and image_label not in image_labels:
        image_labels = (image_label,)
    criteria = criteria_for(wanted or Wanted(), trained, truncation=truncation, condition=condition, advance=advance)
    tally, most = Tally(), max(MOST_TRIES * count, LEAST_TRIES)
    with (
        DatasetWriter(
            out,
            name=f"{run.name} step {trained.step}",
            classes=trained.classes,
            size=record.size,
            channels=record.channels,
            flips=record.flips,
            source={"importer": "generate", "options": {k: v for c in criteria for k, v in c.settings().items()}},
            generator={
                "run": str(run.resolve()),
                "checkpoint": trained.step,
                "seed": seed,
                "start": start,
                "truncation": truncation,
            },
            image_labels=image_labels if names or image_label else (),
        ) as writer,
        open(writer.folder / SAMPLES, "w", encoding="utf-8") as log,
    ):
        # Whole batches are judged, as they are drawn, so that a sample's scores do not depend on where one starts.
        for sample in trained.samples(seed, start=start - start % BATCH, truncation=truncation, condition=condition):
            before = tally.kept
            for k, (scores, failed) in enumerate(verdicts(criteria, sample)):
                number = sample.numbers[k]
                if number < start or tally.kept == count:
                    continue
                name = f"seed{seed}_{number:08d}"
                line = {"name": name, "seed": seed, "number": number, "kept": not failed, "reasons": failed}
                log.write(json.dumps({**line, "scores": scores}, ensure_ascii=False, allow_nan=False) + "\n")
                tally.drawn += 1
                tally.rejected.update(failed)
                if failed:
                    continue
                label = None if sample.labels is None else sample.labels[k]
                image = sample.images[k] if record.channels == 3 else sample.images[k, ..., 0]
                entry = Entry(
                    name, "train", image_label=names[sample.conditions[k]] if sample.conditions else image_label
                )
                writer.add(entry, image, label)
                tally.kept += 1
            advance("kept images", tally.kept - before, count)
            if tally.kept == count:
                break
            if tally.drawn >= most:
                raise ValueError(too_few(tally, count))
    return tally


def too_few(tally: Tally, count: int) -> str:
    rejected = ", ".join(f"{n} by {flag(name)}" for name, n in tally.rejected.most_common())
    return (
        f"count: {tally.kept} of {tally.drawn} samples can be kept, not {count}; rejected are {rejected}. Ask for "
        f"fewer images, or less of each; what is drawn too rarely is steered in training, by --dist-loss"
    )


def matching_dataset(record: RunRecord, path: Path) -> Dataset:
    """The dataset at `path`; ValueError unless its classes are those of the run."""
    dataset = Dataset.open(path)
    names = tuple(c.name for c in dataset.classes)
    if names != record.classes:
        raise ValueError(f"{path}: its classes are {', '.join(names)}; the run's are {', '.join(record.classes)}")
    return dataset
