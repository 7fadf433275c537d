"""What datasets, runs and files hold, as digests: a study knows what it did not make by content, not by place."""

import hashlib
from pathlib import Path

from pumpgan.data.dataset import Dataset
from pumpgan.train.checkpoint import latest
from pumpgan.train.quality import Best
from pumpgan.train.record import RunRecord


def dataset_digest(path: Path) -> str:
    """SHA-256 over dataset.json, images.jsonl and all images and labels, in hex. OSError, ValueError: not a dataset."""
    dataset, total = Dataset.open(path), hashlib.sha256()
    add(total, path / "dataset.json")
    add(total, path / "images.jsonl")
    for entry in dataset.entries:
        add(total, dataset.image_path(entry))
        label = dataset.label_path(entry)
        if label.exists():
            add(total, label)
        else:
            total.update(b"unlabelled")
    return total.hexdigest()


def run_digest(path: Path) -> str:
    """Likewise over a run's config.json, the step and files of its newest checkpoint, and its best snapshot."""
    RunRecord.read(path)  # which says it best where this is no run
    total = hashlib.sha256()
    add(total, path / "config.json")
    checkpoint = latest(path)
    if checkpoint is None:
        raise ValueError(f"{path}: has no checkpoint yet; train it first")
    files = sorted((name, about["sha256"]) for name, about in checkpoint.state["files"].items())
    total.update(f"{checkpoint.step} {files}".encode())
    best = Best.read(path)
    if best is not None:
        total.update(f"{best.step}".encode())
        add(total, path / "snapshots" / f"{best.step}.safetensors")
    return total.hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    total = hashlib.sha256()
    add(total, path)
    return total.hexdigest()


DIGESTS = {"dataset": dataset_digest, "run": run_digest, "file": file_digest}


def check_unchanged(action: str, path: Path, digest: str) -> None:
    """ValueError where a study that knows this by `digest` would now take something else."""
    if DIGESTS[action](path) != digest:
        raise ValueError(f"{path}: has changed since the study began; begin the study again, with what is there now")


def add(total, path: Path) -> None:
    """A file's length and bytes."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: is missing; `pumpgan data check` tells what else is, of a dataset") from None
    total.update(f"{len(content)} ".encode())
    total.update(content)
