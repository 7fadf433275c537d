"""Sources that read nothing: faces and photographs of a part, drawn from a seed."""

from functools import partial
from pathlib import Path

import numpy as np

from pumpgan.data.dataset import FACE_CLASSES, PART_IMAGE_LABELS
from pumpgan.data.importers.celebamask_hq import FACE_RESOLUTION
from pumpgan.data.importers.crops import centre
from pumpgan.data.importers.parts import PART_RESOLUTION, part_classes
from pumpgan.data.importers.photograph import Photograph, Pixels, Plan
from pumpgan.data.importers.pump import CENTRE, PATCHES
from pumpgan.data.synthetic_face import LARGEST, SMALLEST, draw
from pumpgan.data.synthetic_pump import frame_size, ideal, kind_of, photograph
from pumpgan.data.synthetic_pump_defects import GOOD, KINDS


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


def plan_synthetic_pump(
    folder: Path | None, *, count: int = 200, seed: int = 0, classes: str = "merged", scale: float = 1.0
) -> Plan:
    """`count` drawn photographs of one part (3200x2224) with scratches, dents, pits, stains and burrs, used as `pump`
    uses real ones; photograph i of a seed is the same whatever the count. Its kind is that of its largest defect.
    """
    if folder is not None:
        raise ValueError(f"from: synthetic-pump reads nothing, got {folder}")
    label_classes, ids = part_classes(KINDS, classes)
    table = np.array([0, *(ids[kind] for kind in KINDS)], np.uint8)
    area = centre(frame_size(scale), round(CENTRE * scale))
    photographs = []
    for i in range(count):
        name, kind = f"pump_{i:05d}", kind_of(seed, i)
        label = PART_IMAGE_LABELS[0 if kind == GOOD else 1]
        photographs.append(Photograph(name, partial(read_pump, seed, i, scale, table), kind, name, label, area))
    return Plan(
        label_classes,
        1,
        "hv",
        PART_RESOLUTION,
        photographs,
        PART_IMAGE_LABELS,
        patches=PATCHES,
        reference=partial(ideal, scale),
    )


def read_pump(seed: int, index: int, scale: float, ids: Pixels) -> tuple[Pixels, Pixels]:
    """A photograph, and its label in the ids of a set."""
    image, label = photograph(seed, index, scale)
    return image, ids[label]
