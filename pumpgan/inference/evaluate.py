"""How a run's generated labels compare with real ones: presence, pixels, Wasserstein distance, components."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from pumpgan.data.packed import pack
from pumpgan.inference.generate import TrainedGenerator, matching_dataset
from pumpgan.metrics.labels import LabelStatistics, compare

ON_GPU = 10_000  # generated label maps where the user asks for no number; on a CPU as many as there are real ones


def evaluate_labels(
    run: Path,
    data: Path,
    *,
    split: str = "train",
    count: int | None = None,
    seed: int = 0,
    checkpoint: int | None = None,
    device: torch.device | None = None,
) -> dict[str, Any]:
    """Compares `count` label maps of the averaged generator at truncation 1 with the real ones of a dataset's split.

    The real labels are brought to the run's resolution by nearest neighbour. The result is appended to the run's
    evaluations.jsonl. Raises ValueError where classes differ or the split has no labels.
    """
    trained = TrainedGenerator(run, checkpoint=checkpoint, device=device)
    if not trained.record.draws_labels:
        raise ValueError(f"{run}: draws images without labels; there are none to compare")
    dataset = matching_dataset(trained.record, data)
    packed = pack(dataset, split, trained.record.config.resolution or None)
    labels = packed.labels[packed.labelled]
    if not len(labels):
        raise ValueError(f"{data}: no image of split {split} has labels to compare with")
    real, generated = LabelStatistics(trained.classes), LabelStatistics(trained.classes)
    real.update(labels)
    count = count or (ON_GPU if trained.device.type == "cuda" else len(labels))
    left = count
    for sample in trained.samples(seed):
        labels_drawn = cast(np.ndarray, sample.labels)[:left]
        generated.update(labels_drawn)
        left -= len(labels_drawn)
        if not left:
            break
    result = {
        "kind": "labels",
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "run": str(run),
        "checkpoint": trained.step,
        "images_seen": trained.step * trained.record.config.batch,
        "data": str(data),
        "split": split,
        "real_images": len(labels),
        "generated_images": count,
        "seed": seed,
        "size": list(trained.record.size),
        **compare(real, generated),
    }
    with open(run / "evaluations.jsonl", "a") as file:
        file.write(json.dumps(result, allow_nan=False) + "\n")
    return result
