"""A classifier or segmenter on photographs that it has never seen: all scores, and each image's share in them."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from pumpgan.data.dataset import Dataset
from pumpgan.data.packed import Packed, pack_told
from pumpgan.data.picture import sample_sheet, save_png
from pumpgan.data.prediction_sheet import Predictions, by_outcome, prediction_sheet
from pumpgan.data.splits import refuse_trained_on
from pumpgan.inference.lineage import learnt_from
from pumpgan.inference.predictor import Predictor
from pumpgan.metrics.classification import ClassificationScores
from pumpgan.metrics.segmentation import SegmentationScores
from pumpgan.train.samples import spread

CHUNK = 256
SHOWN = 16  # images of a group of the sheet

Advance = Callable[[str, int, int], object]


def judge(
    run: Path,
    data: Path,
    *,
    split: str = "test",
    checkpoint: int | None = None,
    out: Path | None = None,
    device: torch.device | None = None,
    advance: Advance = lambda what, images, total: None,
) -> dict[str, Any]:
    """Scores of a run's best network on a dataset's split, without flips, at the run's resolution.

    `folder` of what is returned holds scores.json, images.jsonl, a line an image (what it takes to compute the scores
    of any choice of photographs), and predictions.png.

    out: that folder; None: one in the run's, whose evaluations.jsonl then gets a line.

    Raises ValueError where the dataset does not fit the run, holds nothing to compare with, or where `split` is test
    and the run was trained or validated on one of its photographs, or a run that it is built on, or whose images it
    learnt from, was.
    """
    predictor = Predictor(run, checkpoint=checkpoint, device=device)
    record = predictor.record
    dataset = Dataset.open(data)
    if split == "test":
        refuse_trained_on(dataset, learnt_from(run))
    packed = comparable(predictor, dataset, split)
    scores, sheet = (classify if record.model == "classifier" else segment)(predictor, packed, advance)
    per_image = [
        {"name": entry.name, "photographs": entry.photographs, "group": entry.group, "kind": entry.kind} | figures
        for entry, figures in zip(packed.entries, scores.per_image(), strict=True)
    ]
    name = f"{predictor.step}-{dataset.path.resolve().name}-{split}"
    folder = out or place_for(run / "evaluations", name, dataset.path)
    result = {
        "kind": record.model,
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "run": str(run),
        "checkpoint": predictor.step,
        "data": str(data),
        "split": split,
        "photographs": len({name for entry in packed.entries for name in entry.photographs}),
        "size": list(record.size),
        "classes": list(record.classes),
        "folder": str(folder),
        "scores": scores.result(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "images.jsonl").write_text("".join(json.dumps(line, allow_nan=False) + "\n" for line in per_image))
    (folder / "scores.json").write_text(json.dumps(result | {"curve": scores.curve()}, indent=1, allow_nan=False))
    save_png(sheet, folder / "predictions.png")
    if out is None:
        with open(run / "evaluations.jsonl", "a") as file:
            file.write(json.dumps(result, allow_nan=False) + "\n")
    return result


def place_for(evaluations: Path, name: str, data: Path) -> Path:
    """The folder of an evaluation, by its name; with a number behind it where a dataset of another place has that."""
    folder, number = evaluations / name, 1
    while holds_another(folder / "scores.json", data):
        number += 1
        folder = evaluations / f"{name}-{number}"
    return folder


def holds_another(scores: Path, data: Path) -> bool:
    try:
        return Path(json.loads(scores.read_text())["data"]).resolve() != data.resolve()
    except (FileNotFoundError, ValueError, KeyError):  # nothing is there, or nothing whole
        return False


def comparable(predictor: Predictor, dataset: Dataset, split: str) -> Packed:
    """The images of a split that say what they show; ValueError where classes, channels or size are not the run's."""
    record = predictor.record
    if record.learns_labels and dataset.class_names != record.classes:
        names = ", ".join(dataset.class_names)
        raise ValueError(f"{dataset.path}: its classes are {names}; the run's are {', '.join(record.classes)}")
    if dataset.channels != record.channels:
        raise ValueError(f"{dataset.path}: its images have {dataset.channels} channels, the run's {record.channels}")
    packed = pack_told(dataset, split, record.config.resolution or None)
    size = tuple(packed.images.shape[2:])
    if size != record.size:
        height, width = record.size
        raise ValueError(
            f"{dataset.path}: its images are {size[1]}x{size[0]}, the run's {width}x{height}; import them so"
        )
    told = packed.pixels_tell() if record.learns_labels else packed.targets() >= 0
    if not bool(told.any()):
        what = "pixel labels" if record.learns_labels else "an image label or pixel labels"
        raise ValueError(f"{dataset.path}: no {split} image has {what} to compare with")
    return packed if bool(told.all()) else packed.take(told.nonzero().flatten())


def classify(predictor: Predictor, packed: Packed, advance: Advance) -> tuple[ClassificationScores, Image.Image]:
    """The scores, and a sheet of the images that it was surest of, right and wrong."""
    threshold = predictor.record.config.threshold
    scores, targets = ClassificationScores(threshold), packed.targets()
    for part in chunks(packed):
        scores.update(predictor.defect_probabilities(packed.images[part]), targets[part])
        advance("images", len(targets[part]), len(packed))
    groups = by_outcome(packed.images, torch.from_numpy(scores.probabilities), targets, threshold, SHOWN)
    return scores, sample_sheet(groups, packed.classes)


def segment(predictor: Predictor, packed: Packed, advance: Advance) -> tuple[SegmentationScores, Image.Image]:
    """The scores, and a sheet of images with target and prediction."""
    scores, found = SegmentationScores(predictor.classes), []
    for part in chunks(packed):
        labels, foreground = predictor.label_maps(packed.images[part])
        scores.update(labels, packed.labels[part], foreground)
        found.append(labels)
        advance("images", len(labels), len(packed))
    return scores, prediction_sheet(shown(packed, torch.cat(found)), packed.classes)


def chunks(packed: Packed) -> Iterator[slice]:
    return (slice(start, start + CHUNK) for start in range(0, len(packed), CHUNK))


def shown(packed: Packed, predicted: Tensor) -> list[Predictions]:
    """Images from all over the set that are not all ground, with their overlap; and the largest false alarms."""
    there, said = packed.labels > 0, predicted > 0
    groups = []
    chosen = spread(there.flatten(1).any(dim=1).nonzero().flatten(), SHOWN)
    if len(chosen):
        right = (there & (predicted == packed.labels)).flatten(1).sum(dim=1) / (there | said).flatten(1).sum(dim=1)
        notes = [f"IoU {value:.2f}" for value in right[chosen].tolist()]
        groups.append(Predictions(f"{len(chosen)} from all over", *views(packed, predicted, chosen), notes))
    alarms = torch.where(there.flatten(1).any(dim=1), 0, said.flatten(1).sum(dim=1))
    largest = alarms.argsort(descending=True, stable=True)[: min(SHOWN, int((alarms > 0).sum()))]
    if len(largest):
        notes = [f"{pixels} pixels" for pixels in alarms[largest].tolist()]
        title = f"false alarms: {int((alarms > 0).sum())}, largest first"
        groups.append(Predictions(title, *views(packed, predicted, largest), notes))
    if not groups:
        few = spread(torch.arange(len(packed)), SHOWN)
        groups.append(Predictions("all ground, and predicted so", *views(packed, predicted, few)))
    return groups


def views(packed: Packed, predicted: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return packed.images[chosen], packed.labels[chosen], predicted[chosen]
