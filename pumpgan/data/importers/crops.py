"""From a photograph to images of one size: the whole of it letterboxed by reflection, or random square crops."""

import hashlib
import itertools
from collections.abc import Iterable, Iterator

import numpy as np
from PIL import Image

from pumpgan.data.importers.photograph import Photograph, Pixels, fit_label

Box = tuple[int, int, int, int]  # left, top, right, bottom


def letterbox(pixels: Pixels) -> Pixels:
    """A square with `pixels` in its middle and their mirror images beyond their edges (uint8 [H, W] or [H, W, 3])."""
    height, width = pixels.shape[:2]
    side = max(height, width)
    margins = [((side - n) // 2, side - n - (side - n) // 2) for n in (height, width)]
    return np.pad(pixels, margins + [(0, 0)] * (pixels.ndim - 2), mode="symmetric")


def resize(pixels: Pixels, side: int, filter: Image.Resampling) -> Pixels:
    if pixels.shape[:2] == (side, side):
        return np.ascontiguousarray(pixels)
    return np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).resize((side, side), filter))


def whole(image: Pixels, label: Pixels | None, side: int) -> tuple[Pixels, Pixels | None]:
    """The photograph as a square of `side` pixels; image and label may differ in scale."""
    small = None if label is None else resize(letterbox(label), side, Image.Resampling.NEAREST)
    return resize(letterbox(image), side, Image.Resampling.LANCZOS), small


def boxes(name: str, seed: int, size: tuple[int, int], crop: int) -> Iterator[Box]:
    """Endless random square boxes in a photograph of `size` (height, width), of side min(crop, width, height).

    They derive from the seed and the photograph's name alone: neither workers nor other photographs change them.
    """
    height, width = size
    side = min(crop, height, width)
    key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    generator = np.random.Generator(np.random.PCG64([seed, key]))
    while True:
        left, top = generator.integers(0, width - side + 1), generator.integers(0, height - side + 1)
        yield int(left), int(top), int(left) + side, int(top) + side


def cut(pixels: Pixels, box: Box) -> Pixels:
    left, top, right, bottom = box
    return pixels[top:bottom, left:right]


def draws_until(
    photographs: Iterable[Photograph], *, patches: int, crop: int, seed: int, with_defect: int
) -> tuple[dict[str, list[int]], list[str]]:
    """Which draws of `boxes` to keep, per photograph, so that `with_defect` crops in all hold a defect.

    The first `patches` draws of each are kept as they come. Then the photographs take turns: a further draw is kept
    where it holds a defect, until there are enough, so photographs give crops as often as random draws hit.
    Returns the positions of the kept draws beyond the first `patches`, and the faults met in reading.
    """
    hits, faults = 0, []
    turns: list[tuple[str, Pixels, Iterator[Box]]] = []
    for photograph in photographs:
        try:
            image, label = photograph.read()
        except (OSError, ValueError) as error:
            faults.append(str(error))
            continue
        if label is None or not label.any():
            continue
        label = fit_label(label, image.shape[:2])
        drawn = boxes(photograph.name, seed, label.shape, crop)
        hits += sum(bool(cut(label, box).any()) for box in itertools.islice(drawn, patches))
        turns.append((photograph.name, label, drawn))
    kept: dict[str, list[int]] = {}
    if faults or hits >= with_defect:
        return kept, faults
    if not turns:
        return kept, [f"with-defect: no training photograph has a defect, {with_defect} crops with one wanted"]
    draw = patches
    while True:
        for name, label, drawn in turns:
            if cut(label, next(drawn)).any():
                kept.setdefault(name, []).append(draw)
                hits += 1
                if hits == with_defect:
                    return kept, faults
        draw += 1
