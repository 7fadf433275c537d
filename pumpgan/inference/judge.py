"""A classifier or segmenter on photographs that it has never seen: all scores, and each image's share in them."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from pumpgan.data.dataset import Dataset
from pumpgan.data.packed import Packed, pack
from pumpgan.data.splits import refuse_trained_on
from pumpgan.inference.predictor import Predictor
from pumpgan.metrics.classification import ClassificationScores
from pumpgan.metrics.segmentation import SegmentationScores

CHUNK = 256

Advance = Callable[[str, int, int], object]


def judge(
    run: Path,
    data: Path,
    *,
    split: str = "test",
    checkpoint: int | None = None,
    device: torch.device | None = None,
    advance: Advance = lambda what, images, total: None,
) -> dict[str, Any]:
    """Scores of a run's best network on a dataset's split, without flips, at the run's resolution.

    Appended to the run's evaluations.jsonl; `folder` of what is returned holds images.jsonl, a line an image (what it
    takes to compute the scores of any choice of photographs), and scores.json.

    Raises ValueError where the dataset does not fit the run, holds nothing to compare with, or where `split` is test
    and the run was trained or validated on one of its photographs.
    """
    predictor = Predictor(run, checkpoint=checkpoint, device=device)
    record = predictor.record
    dataset = Dataset.open(data)
    if split == "test":
        refuse_trained_on(dataset, [Path(path) for path in record.data])
    packed = comparable(predictor, dataset, split)
    scores, curve = (classify if record.model == "classifier" else segment)(predictor, packed, advance)
    per_image = [
        {"name": entry.name, "photographs": entry.photographs, "group": entry.group, "kind": entry.kind} | figures
        for entry, figures in zip(packed.entries, scores.per_image(), strict=True)
    ]
    folder = run / "evaluations" / f"{predictor.step}-{dataset.path.resolve().name}-{split}"
    result = {
        "kind": record.model,
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "run": str(run),
        "checkpoint": predictor.step,
        "data": str(data),
        "split": split,
        "photographs": len({name for entry in packed.entries for name in entry.photographs}),
        "size": list(record.size),
        "folder": str(folder),
        "scores": scores.result(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "images.jsonl").write_text("".join(json.dumps(line, allow_nan=False) + "\n" for line in per_image))
    (folder / "scores.json").write_text(json.dumps(result | {"curve": curve}, indent=1, allow_nan=False))
    with open(run / "evaluations.jsonl", "a") as file:
        file.write(json.dumps(result, allow_nan=False) + "\n")
    return result


def comparable(predictor: Predictor, dataset: Dataset, split: str) -> Packed:
    """The images of a split that say what they show; ValueError where classes, channels or size are not the run's."""
    record = predictor.record
    if record.learns_labels and dataset.class_names != record.classes:
        names = ", ".join(dataset.class_names)
        raise ValueError(f"{dataset.path}: its classes are {names}; the run's are {', '.join(record.classes)}")
    if dataset.channels != record.channels:
        raise ValueError(f"{dataset.path}: its images have {dataset.channels} channels, the run's {record.channels}")
    packed = pack(dataset, split, record.config.resolution or None)
    size = tuple(packed.images.shape[2:])
    if size != record.size:
        height, width = record.size
        raise ValueError(
            f"{dataset.path}: its images are {size[1]}x{size[0]}, the run's {width}x{height}; import them so"
        )
    told = packed.labelled if record.learns_labels else packed.targets() >= 0
    if not bool(told.any()):
        what = "pixel labels" if record.learns_labels else "an image label or pixel labels"
        raise ValueError(f"{dataset.path}: no {split} image has {what} to compare with")
    return packed if bool(told.all()) else packed.take(told.nonzero().flatten())


def classify(predictor: Predictor, packed: Packed, advance: Advance) -> tuple[ClassificationScores, Any]:
    scores, targets = ClassificationScores(predictor.record.config.threshold), packed.targets()
    for start in range(0, len(packed), CHUNK):
        part = slice(start, start + CHUNK)
        scores.update(predictor.defect_probabilities(packed.images[part]), targets[part])
        advance("images", len(targets[part]), len(packed))
    return scores, scores.curve()


def segment(predictor: Predictor, packed: Packed, advance: Advance) -> tuple[SegmentationScores, Any]:
    scores = SegmentationScores(predictor.classes)
    for start in range(0, len(packed), CHUNK):
        part = slice(start, start + CHUNK)
        labels, foreground = predictor.label_maps(packed.images[part])
        scores.update(labels, packed.labels[part], foreground)
        advance("images", len(labels), len(packed))
    return scores, scores.curve()
