"""Defects cut out of photographs, and the places of other photographs that can take them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from pumpgan.augment.blending import MARGIN, Mask, blend
from pumpgan.data.dataset import Entry
from pumpgan.data.importers.crops import area_of, cut
from pumpgan.data.importers.photograph import Box, Photograph, Pixels, fit_label

Shifts = Mapping[str, tuple[float, float] | None]  # of photographs, as `Entry.shift`


@dataclass(frozen=True)
class Defect:
    """The defect that an image shows, cut out of the image's photograph; boxes are in the photograph's pixels.

    entry, box: the image, and where it is. whole: whether it is all that may be used of the photograph.
    area: what may be used of the photograph. spot: what the defect's pixels span inside `box`.
    template: the photograph of the same object without its defects, if there is one.
    piece_box: `spot` and what a blend looks at around it. piece: its pixels. ids: its class ids.
    rest, around: mean brightness of the image, and of `piece_box`, without the defect, 0 to 255.
    """

    entry: Entry
    box: Box
    area: Box
    spot: Box
    template: str | None
    piece_box: Box
    piece: Pixels
    ids: Pixels
    rest: float
    around: float

    @property
    def whole(self) -> bool:
        return self.box == self.area

    @cached_property
    def pixels(self) -> int:
        """How many pixels the defect has."""
        return int((cut(self.ids, moved(self.spot, -self.piece_box[0], -self.piece_box[1])) > 0).sum())


class Place(NamedTuple):
    """Where a defect goes: its pixels move by (right, down), and the image shows `window` of the destination."""

    right: int
    down: int
    window: Box


def cut_defects(photograph: Photograph, entries: Iterable[Entry]) -> list[Defect]:
    """The defects of those of the photograph's images that have one. Raises OSError or ValueError as reading does."""
    image, label = photograph.read()
    if label is None:
        return []
    label, area = fit_label(label, image.shape[:2]), area_of(photograph, image)
    defects = []
    for entry in entries:
        box = entry.box or area
        if not within(box, (0, 0, image.shape[1], image.shape[0])):
            raise ValueError(f"{photograph.name}: image {entry.name} was cut at {box}, beyond the photograph's edge")
        rows, columns = (np.flatnonzero(cut(label, box).any(axis)) for axis in (1, 0))
        if not len(rows):
            continue
        spot = moved((int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1), box[0], box[1])
        piece_box = overlap(grown(spot, MARGIN), (0, 0, image.shape[1], image.shape[0]))
        mask = cut(label, spot) > 0
        rest, around = (
            mean_without(image, b, int(cut(image, b).sum(dtype=np.int64)), spot, mask) for b in (box, piece_box)
        )
        piece, ids = cut(image, piece_box).copy(), cut(label, piece_box).copy()  # views would keep the photograph
        defects.append(Defect(entry, box, area, spot, photograph.template, piece_box, piece, ids, rest, around))
    return defects


def place_of(defect: Defect, photograph: str, area: Box, shifts: Shifts | None) -> Place | None:
    """Where on a photograph, of which `area` may be used, a defect goes; None where it does not fit.

    shifts: of all photographs; the defect then keeps its place on the part. Where its photograph has a template, it
        goes onto that alone, unmoved. None: it keeps its place between the photograph's edges, however large that is.
    """
    if shifts is None:
        kept = defect.spot if defect.whole else defect.box  # what stays inside
        right, down = (between_edges(kept, defect.area, area, axis) for axis in (0, 1))
    elif defect.template is not None:
        if photograph != defect.template:
            return None
        right = down = 0
    else:
        here, there = shifts[defect.entry.photographs[0]], shifts[photograph]
        if here is None or there is None:
            return None
        down, right = (round(t - h) for h, t in zip(here, there, strict=True))
    window = area if defect.whole else moved(defect.box, right, down)
    fits = within(window, area) and all(fits_along(axis, defect, (right, down), window) for axis in (0, 1))
    fits = fits and 2 * seen_of(defect, (right, down), window)[1].sum() >= defect.pixels
    return Place(right, down, window) if fits else None


def seen_of(defect: Defect, by: tuple[int, int], window: Box) -> tuple[Box, Mask]:
    """Where in a window's photograph a defect moved by (right, down) is seen, and what of its mask."""
    spot = moved(defect.spot, *by)
    seen = overlap(spot, window)
    return seen, cut(defect.ids, moved(seen, -by[0] - defect.piece_box[0], -by[1] - defect.piece_box[1])) > 0


def fits_along(axis: int, defect: Defect, by: tuple[int, int], window: Box) -> bool:
    """Whether a defect moved by (right, down) fits into a window along an axis: one that went from edge to edge of its
    photograph must do so again, and may lose up to half of its pixels there; any other must be seen whole."""
    ends = [(box[axis], box[axis + 2]) for box in (defect.spot, defect.area, moved(defect.spot, *by), window)]
    spot, area, target, limits = ends
    seen = max(target[0], limits[0]), min(target[1], limits[1])
    return seen == (limits if spot == area else target)


def between_edges(kept: Box, here: Box, there: Box, axis: int) -> int:
    """How far `kept` moves along an axis so that its distances to both edges of its area keep their proportion."""
    start, end = kept[axis], kept[axis + 2]
    room = (here[axis + 2] - here[axis]) - (end - start)
    room_there = (there[axis + 2] - there[axis]) - (end - start)
    share = (start - here[axis]) / room if room else 0.5
    return there[axis] + round(share * room_there) - start


def suitable(
    photograph: Photograph, defects: Iterable[Defect], shifts: Shifts | None, max_brightness: float
) -> list[bool]:
    """Which defects the photograph can take: they fit, no defect is in the window, and without the defect both are
    equally bright to within `max_brightness` grey levels, all over and around it (a template need not be).

    Raises OSError or ValueError as reading does.
    """
    image, label = photograph.read()
    if label is None:
        return [False for _ in defects]
    label, area = fit_label(label, image.shape[:2]), area_of(photograph, image)
    brightness, marked, frame = Sums(image), label.any(), (0, 0, image.shape[1], image.shape[0])

    def suits(defect: Defect) -> bool:
        place = place_of(defect, photograph.name, area, shifts)
        if place is None or (marked and cut(label, place.window).any()):
            return False
        if shifts is not None and defect.template is not None:
            return True
        spot, mask = seen_of(defect, (place.right, place.down), place.window)
        near = overlap(moved(defect.piece_box, place.right, place.down), frame)
        means = (mean_without(image, box, brightness.within(box), spot, mask) for box in (place.window, near))
        return all(abs(m - d) <= max_brightness for m, d in zip(means, (defect.rest, defect.around), strict=True))

    return [suits(defect) for defect in defects]


class Sums:
    """The sum over any box of an image [H, W] or [H, W, 3], from one pass along its rows."""

    def __init__(self, pixels: Pixels):
        flat = pixels if pixels.ndim == 2 else pixels.sum(-1, dtype=np.uint16)
        self.rows = np.zeros((flat.shape[0], flat.shape[1] + 1), np.uint32)
        np.cumsum(flat, axis=1, dtype=np.uint32, out=self.rows[:, 1:])

    def within(self, box: Box) -> int:
        left, top, right, bottom = box
        return int((self.rows[top:bottom, right] - self.rows[top:bottom, left]).sum(dtype=np.int64))


def paste(image: Pixels, defect: Defect, place: Place, blending: str) -> tuple[Pixels, Pixels]:
    """What the window of a destination shows with the defect in it: pixels, and class ids [H, W]."""
    target = moved(defect.piece_box, place.right, place.down)
    touched = overlap(target, (0, 0, image.shape[1], image.shape[0]))
    part = moved(touched, -target[0], -target[1])  # of the piece
    ids, ground = cut(defect.ids, part), cut(image, touched)
    blended = blend(ground, cut(defect.piece, part), ids > 0, blending)
    result, label = cut(image, place.window).copy(), np.zeros(cut(image, place.window).shape[:2], np.uint8)
    seen = overlap(touched, place.window)
    inside, of_touched = moved(seen, -place.window[0], -place.window[1]), moved(seen, -touched[0], -touched[1])
    cut(result, inside)[:] = cut(blended, of_touched)
    cut(label, inside)[:] = cut(ids, of_touched)
    return result, label


def mean_without(image: Pixels, window: Box, total: int, spot: Box, mask: Mask) -> float:
    """Mean brightness of a window whose values sum up to `total`, without the pixels that `mask` marks in `spot`;
    with them where it marks everything."""
    per_pixel = 1 if image.ndim == 2 else image.shape[2]
    pixels, masked = (window[2] - window[0]) * (window[3] - window[1]), int(mask.sum())
    if masked == pixels:
        return total / (pixels * per_pixel)
    return (total - int(cut(image, spot)[mask].sum(dtype=np.int64))) / ((pixels - masked) * per_pixel)


def moved(box: Box, right: int, down: int) -> Box:
    return box[0] + right, box[1] + down, box[2] + right, box[3] + down


def grown(box: Box, by: int) -> Box:
    return box[0] - by, box[1] - by, box[2] + by, box[3] + by


def overlap(box: Box, other: Box) -> Box:
    return max(box[0], other[0]), max(box[1], other[1]), min(box[2], other[2]), min(box[3], other[3])


def within(box: Box, other: Box) -> bool:
    return overlap(box, other) == box
