"""How a run's images and labels compare with real ones: distances of images; presence, pixels and pieces of classes."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from pumpgan.data.dataset import Dataset
from pumpgan.data.packed import Packed, pack
from pumpgan.inference.generate import matching_dataset
from pumpgan.inference.samples import TrainedGenerator
from pumpgan.metrics import images as image_metrics
from pumpgan.metrics import labels as label_metrics
from pumpgan.metrics.extractors import Extractor, load_extractor
from pumpgan.metrics.features import FeatureStatistics
from pumpgan.metrics.labels import LabelStatistics

METRICS = ("all", "images", "labels")
ON_GPU, ON_GPU_SG2 = 10_000, 50_000  # generated images where the user asks for no number; on a CPU as many as real ones

Advance = Callable[[str, int, int], object]


def evaluate(run: Path, data: Path, **options: Any) -> dict[str, Any]:
    """`compare_with`, of the same options, appended to the run's evaluations.jsonl."""
    result = compare_with(run, data, **options)
    with open(run / "evaluations.jsonl", "a") as file:
        file.write(json.dumps(result, allow_nan=False) + "\n")
    return result


def compare_with(
    run: Path,
    data: Path,
    *,
    metric: str = "all",
    inception: Path | None = None,
    split: str = "train",
    count: int | None = None,
    seed: int = 0,
    checkpoint: int | str | None = None,
    device: torch.device | None = None,
    advance: Advance = lambda what, images, total: None,
) -> dict[str, Any]:
    """Compares `count` samples of the averaged generator at truncation 1 with all of a dataset's split, without flips.

    The real images and labels are brought to the run's resolution. Returns what `metrics.labels.compare` says of the
    labels, and in `image_metrics` what `metrics.images.compare` says of the images.

    metric: images, labels, or all that the run draws.
    inception: file of an Inception network, for FID; without one the stand-in measures images.
    count: None is 50,000 on a GPU for `sg2`, else 10,000; on a CPU as many as there are real ones.
    checkpoint: a step, `best`, or None for the newest.
    advance: told of progress: what is looked at, how many more of them were, and of how many.

    Raises ValueError where the dataset does not fit the run, labels are lacking, or the file is no Inception network.
    """
    if metric not in METRICS:
        raise ValueError(f"--metric: must be one of {', '.join(METRICS)}, got {metric!r}")
    trained = TrainedGenerator(run, checkpoint=checkpoint, device=device)
    draws_labels = trained.record.draws_labels
    if metric == "labels" and not draws_labels:
        raise ValueError(f"{run}: draws images without labels; there are none to compare")
    extractor = None if metric == "labels" else load_extractor(inception, trained.device)
    packed = real_split(trained, data, split)
    real_labels = packed.labels[packed.labelled] if draws_labels and metric != "images" else None
    if real_labels is not None and not len(real_labels):
        raise ValueError(f"{data}: no image of split {split} has labels to compare with; --metric images needs none")
    if count is None:
        count = default_count(
            trained.device, extractor, len(packed if real_labels is None or extractor else real_labels)
        )

    real: FeatureStatistics | None = None
    if extractor:
        real = image_metrics.real_statistics(
            packed.images, packed.digest, extractor, advance=lambda n: advance("real images", n, len(packed))
        )
    labels, features = draw(trained, count, seed, extractor, labels=real_labels is not None, advance=advance)
    result = {
        "kind": metric,
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "run": str(run),
        "checkpoint": trained.step,
        "images_seen": trained.step * trained.record.config.batch,
        "data": str(data),
        "split": split,
        "real_images": len(packed) if real_labels is None else len(real_labels),
        "generated_images": count,
        "seed": seed,
        "size": list(trained.record.size),
    }
    if labels and real_labels is not None:
        reference = LabelStatistics(trained.classes)
        reference.update(real_labels)
        result |= label_metrics.compare(reference, labels)
    if real and features:
        result["image_metrics"] = image_metrics.compare(real, features)
    return result


def real_split(trained: TrainedGenerator, data: Path, split: str) -> Packed:
    """What a run is compared with; ValueError where classes, channels or size are not the run's."""
    record = trained.record
    dataset = matching_dataset(record, data) if record.draws_labels else Dataset.open(data)
    if dataset.channels != record.channels:
        raise ValueError(f"{data}: its images have {dataset.channels} channels, the run's {record.channels}")
    packed = pack(dataset, split, record.config.resolution or None)
    size = tuple(packed.images.shape[2:])
    if size != record.size:
        height, width = record.size
        raise ValueError(f"{data}: its images are {size[1]}x{size[0]}, the run's {width}x{height}; import them so")
    return packed


def default_count(device: torch.device, extractor: Extractor | None, real: int) -> int:
    if device.type != "cuda":
        return max(2, real)
    return ON_GPU_SG2 if extractor and extractor.recipe.name == "sg2" else ON_GPU


def draw(
    trained: TrainedGenerator, count: int, seed: int, extractor: Extractor | None, *, labels: bool, advance: Advance
) -> tuple[LabelStatistics | None, FeatureStatistics | None]:
    """Statistics of the first `count` samples of a sequence: of their labels, of their images' features."""
    maps = LabelStatistics(trained.classes) if labels else None
    features = FeatureStatistics(extractor.recipe) if extractor else None
    left = count
    for sample in trained.samples(seed):
        now = min(left, len(sample.images))
        if maps and sample.labels is not None:
            maps.update(sample.labels[:now])
        if features and extractor:
            features.update(extractor(torch.from_numpy(sample.images[:now]).permute(0, 3, 1, 2)))
        advance("generated images", now, count)
        left -= now
        if not left:
            break
    return maps, features
