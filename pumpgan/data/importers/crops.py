"""From a photograph to images of one size: the whole of it letterboxed by reflection, or random square crops."""

import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from pumpgan.data.importers.photograph import Box, Photograph, Pixels, fit_label


def letterbox(pixels: Pixels, aspect: tuple[int, int] = (1, 1)) -> Pixels:
    """A canvas with `pixels` in its middle and their mirror images beyond their edges (uint8 [H, W] or [H, W, 3]).

    aspect: height and width of what it is to be resized to; as it stands, the canvas is a square.
    """
    margins: list[tuple[int, int]] = []
    for side, canvas in zip(pixels.shape, canvas_around(pixels.shape, aspect), strict=False):
        margins.append(((canvas - side) // 2, canvas - side - (canvas - side) // 2))
    return np.pad(pixels, margins + [(0, 0)] * (pixels.ndim - 2), mode="symmetric")


def canvas_around(size: Sequence[int], aspect: tuple[int, int]) -> tuple[int, int]:
    """(height, width) of the smallest canvas of an aspect that holds `size` [H, W, ...], rounded up to whole pixels."""
    height, width = size[:2]
    return max(height, -(-width * aspect[0] // aspect[1])), max(width, -(-height * aspect[1] // aspect[0]))


def resize(pixels: Pixels, size: tuple[int, int], filter: Image.Resampling) -> Pixels:
    """Pixels [H, W, ...] at another (height, width)."""
    if pixels.shape[:2] == size:
        return np.ascontiguousarray(pixels)
    return np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).resize(size[::-1], filter))


class Cut(NamedTuple):
    """One image of a photograph.

    box: where it was. pixels, ids: what was there, as photographed; ids may be None, and of another scale when whole.
    image, label: the same, resized.
    """

    name: str
    box: Box
    pixels: Pixels
    ids: Pixels | None
    image: Pixels
    label: Pixels | None


def cut_whole(
    photograph: Photograph, image: Pixels, label: Pixels | None, size: tuple[int, int], *, as_it_is: bool = False
) -> Cut:
    """All that may be used of the photograph, letterboxed to a square and resized to `size` (height, width).

    as_it_is: neither; it must have that size. ValueError where it has not.
    """
    box = area_of(photograph, image)
    if photograph.area is not None:
        label = None if label is None else cut(fit_label(label, image.shape[:2]), box)
        image = cut(image, box)
    if as_it_is:
        if image.shape[:2] != size:
            raise ValueError(
                f"is {image.shape[1]}x{image.shape[0]}, the first is {size[1]}x{size[0]}; to keep their own size "
                "(resolution 0) all must have one"
            )
        return Cut(photograph.name, box, image, label, image, None if label is None else fit_label(label, size))
    small = None if label is None else resize(letterbox(label), size, Image.Resampling.NEAREST)
    return Cut(photograph.name, box, image, label, resize(letterbox(image), size, Image.Resampling.LANCZOS), small)


def cut_crops(
    photograph: Photograph, image: Pixels, label: Pixels | None, side: int, crop: int, seed: int, wanted: set[int]
) -> Iterator[Cut]:
    """Those of the photograph's random crops whose numbers are wanted, resized to `side` pixels."""
    label = None if label is None else fit_label(label, image.shape[:2])
    drawn = boxes(photograph.name, seed, area_of(photograph, image), crop)
    for number, box in enumerate(itertools.islice(drawn, max(wanted, default=-1) + 1)):
        if number in wanted:
            pixels, ids = cut(image, box), None if label is None else cut(label, box)
            yield Cut(
                f"{photograph.name}_{number:03d}",
                box,
                pixels,
                ids,
                resize(pixels, (side, side), Image.Resampling.LANCZOS),
                None if ids is None else resize(ids, (side, side), Image.Resampling.NEAREST),
            )


def boxes(name: str, seed: int, area: Box, crop: int) -> Iterator[Box]:
    """Random square boxes within `area` of a photograph, of side min(crop, width, height of the area), each once: as
    many as there are places, which is one where the photograph is no larger than a crop.

    They derive from the seed and the photograph's name alone: neither workers nor other photographs change them.
    """
    first, upper, last, lower = area
    side = min(crop, last - first, lower - upper)
    places = (last - first - side + 1) * (lower - upper - side + 1)
    key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    generator = np.random.Generator(np.random.PCG64([seed, key]))
    drawn: set[tuple[int, int]] = set()
    while len(drawn) < places:
        left = int(generator.integers(first, last - side + 1))
        top = int(generator.integers(upper, lower - side + 1))
        if (left, top) not in drawn:
            drawn.add((left, top))
            yield left, top, left + side, top + side


def area_of(photograph: Photograph, pixels: Pixels) -> Box:
    """What may be used of a photograph with these pixels."""
    return photograph.area or (0, 0, pixels.shape[1], pixels.shape[0])


def centre(size: tuple[int, int], side: int) -> Box:
    """The middle of a photograph of `size` (height, width), `side` pixels each way or as many as there are."""
    height, width = size
    left, top = max(0, (width - side) // 2), max(0, (height - side) // 2)
    return left, top, min(width, left + side), min(height, top + side)


def cut(pixels: Pixels, box: Box) -> Pixels:
    left, top, right, bottom = box
    return pixels[top:bottom, left:right]


class Draws(NamedTuple):
    """The further draws of a photograph that has a defect.

    name: the photograph's. hits: how many of its first draws hold a defect. boxes: those after them.
    hit: tells of a box whether a defect is in it.
    """

    name: str
    hits: int
    boxes: Iterator[Box]
    hit: Callable[[Box], bool]


def draws_beyond(photograph: Photograph, *, patches: int, crop: int, seed: int) -> Draws | None:
    """The draws of `boxes` beyond the first `patches`; None where nothing that may be used of the photograph is a
    defect. Raises OSError or ValueError as reading does."""
    image, label = photograph.read()
    if label is None:
        return None
    label, area = fit_label(label, image.shape[:2]), area_of(photograph, image)
    if not cut(label, area).any():
        return None
    drawn, hit = boxes(photograph.name, seed, area, crop), defect_in(label)
    return Draws(photograph.name, sum(map(hit, itertools.islice(drawn, patches))), drawn, hit)


def draws_until(turns: Sequence[Draws], *, patches: int, with_defect: int) -> dict[str, list[int]]:
    """Which draws to keep beyond the first `patches`, per photograph, so that `with_defect` crops in all hold a defect.

    The photographs take turns: a further draw is kept where it holds a defect, until there are enough, so photographs
    give crops as often as random draws hit. Raises ValueError where all places together hold fewer.
    """
    hits = sum(draws.hits for draws in turns)
    kept: dict[str, list[int]] = {}
    for number, row in enumerate(itertools.zip_longest(*(draws.boxes for draws in turns)), patches):
        for draws, box in zip(turns, row, strict=True):
            if hits >= with_defect:
                return kept
            if box is not None and draws.hit(box):
                kept.setdefault(draws.name, []).append(number)
                hits += 1
    if hits < with_defect:
        raise ValueError(f"with_defect: only {hits} different crops hold a defect, {with_defect} are wanted")
    return kept


def defect_in(label: Pixels) -> Callable[[Box], bool]:
    """Tells of a box whether any defect is in it. Keeps the defects' pixels alone: labels of all photographs together
    would not fit."""
    rows, columns = (at.astype(np.int32) for at in np.nonzero(label))

    def hit(box: Box) -> bool:
        left, top, right, bottom = box
        return bool(((rows >= top) & (rows < bottom) & (columns >= left) & (columns < right)).any())

    return hit
