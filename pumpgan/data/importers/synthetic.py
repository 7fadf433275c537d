"""Sources that read nothing: faces drawn from a seed."""

from functools import partial
from pathlib import Path

from pumpgan.data.dataset import FACE_CLASSES
from pumpgan.data.importers.celebamask_hq import FACE_RESOLUTION
from pumpgan.data.importers.photograph import Photograph, Plan
from pumpgan.data.synthetic_face import LARGEST, SMALLEST, draw


def plan_synthetic_face(
    folder: Path | None, *, count: int = 2000, seed: int = 0, resolution: int | None = None
) -> Plan:
    """`count` drawn faces; face i of a seed is the same whatever the count. Every face is labelled."""
    if folder is not None:
        raise ValueError(f"from: synthetic-face reads nothing, got {folder}")
    size = resolution or FACE_RESOLUTION
    if not SMALLEST <= size <= LARGEST:
        raise ValueError(f"resolution: synthetic-face draws {SMALLEST} to {LARGEST} pixels a side, got {size}")
    photographs = [
        Photograph(
            name=f"face_{i:05d}",
            read=partial(draw, seed, i, size),
            kind="face",
            group=f"face_{i:05d}",
        )
        for i in range(count)
    ]
    return Plan(FACE_CLASSES, 3, "h", FACE_RESOLUTION, photographs)
