"""Plates: a dataset small enough to train on within a test; and the command line as a user runs it."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from pumpgan.data.dataset import Entry, LabelClass
from pumpgan.data.writer import DatasetWriter

PLATE_CLASSES = (
    LabelClass(0, "ground", (30, 30, 40)),
    LabelClass(1, "plate", (90, 160, 90)),
    LabelClass(2, "hole", (230, 60, 60)),
)
PLATE_COLOURS = np.array([(40, 50, 120), (90, 200, 90), (220, 50, 40)])  # of ground, plate, hole
SMALL = [
    "--resolution",
    "16",
    "--batch",
    "4",
    "--channel-base",
    "128",
    "--channel-most",
    "16",
    "--channel-least",
    "8",
    "--latent-size",
    "8",
    "--style-size",
    "8",
    "--mapping-depth",
    "2",
    "--patch-base",
    "4",
    "--metric-count",
    "0",
    "--device",
    "cpu",
]


def draw_plate(rng: np.random.Generator, size: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """A plate somewhere on a ground; every third with a hole. Colour tells the class."""
    y, x = np.mgrid[:size, :size]
    cy, cx = rng.uniform(0.35, 0.65, 2) * size
    label = np.zeros((size, size), np.uint8)
    label[np.maximum(abs(y - cy), abs(x - cx)) < rng.uniform(0.22, 0.34) * size] = 1
    if rng.random() < 0.35:
        label[np.hypot(y - cy, x - cx) < 0.11 * size] = 2
    image = PLATE_COLOURS[label] + rng.normal(0, 4, (size, size, 3)) + rng.normal(0, 6)
    return image.clip(0, 255).astype(np.uint8), label


def write_plates(out: Path, count: int = 64, size: int = 16) -> Path:
    rng = np.random.default_rng(0)
    with DatasetWriter(out, name="plates", classes=PLATE_CLASSES, size=(size, size), channels=3, flips="hv") as writer:
        for i in range(count):
            name = f"plate_{i}"
            writer.add(
                Entry(name, "train" if i < count * 3 // 4 else "test", photographs=(name,)), *draw_plate(rng, size)
            )
    return out


def pumpgan(*arguments, **options) -> subprocess.CompletedProcess:
    """Runs the command in a process of its own, two threads unless told otherwise, and captures what it prints."""
    command = [sys.executable, "-m", "pumpgan.cli", *map(str, arguments)]
    environment = {"OMP_NUM_THREADS": "2", **os.environ}
    return subprocess.run(command, capture_output=True, text=True, env=environment, **options)


def start_pumpgan(*arguments) -> subprocess.Popen:
    command = [sys.executable, "-m", "pumpgan.cli", *map(str, arguments)]
    environment = {"OMP_NUM_THREADS": "2", **os.environ}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
