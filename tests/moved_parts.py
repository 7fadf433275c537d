"""Photographs of one part that lies somewhere else in each, with small defects, made from a seed."""

from pathlib import Path

import numpy as np
from miniatures import noise
from PIL import Image

HEIGHT, WIDTH, MARGIN = 150, 200, 20
PLACES = {f"part_{i}": (down, right) for i, (down, right) in enumerate(
    [(0, 0), (5, -3), (-7, 2), (3, 9), (-4, -8), (8, 1), (1, 6), (-2, -5), (6, -9), (-9, 4)]
)}  # fmt: skip
DEFECTS = {"part_1": (60, 70), "part_3": (90, 120), "part_5": (50, 140), "part_7": (80, 60)}  # on the part


def moved_parts(folder: Path, brighter: tuple[str, ...] = (), by: int = 40) -> Path:
    """The layout of `pump`: images/part_N.png of 200x150, moved (down, right) by PLACES; those of DEFECTS have 12x8
    pixels of noise at that row and column of the part, and `brighter` ones are `by` grey levels brighter."""
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    coarse = Image.fromarray(noise(0, 30, 40)).resize(
        (WIDTH + 2 * MARGIN, HEIGHT + 2 * MARGIN), Image.Resampling.BICUBIC
    )
    scene = 60 + np.asarray(coarse).astype(int) // 2
    for number, (name, (down, right)) in enumerate(PLACES.items()):
        part, mask = scene.copy(), np.zeros(scene.shape, np.uint8)
        if name in DEFECTS:
            top, left = DEFECTS[name]
            spot = np.s_[MARGIN + top : MARGIN + top + 8, MARGIN + left : MARGIN + left + 12]
            part[spot], mask[spot] = noise(number, 8, 12), 255
        seen = np.s_[MARGIN - down : MARGIN - down + HEIGHT, MARGIN - right : MARGIN - right + WIDTH]
        pixels = np.clip(part[seen] + by * (name in brighter), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{name}.png")
        Image.fromarray(mask[seen]).save(folder / "masks" / f"{name}.png")
    return folder
