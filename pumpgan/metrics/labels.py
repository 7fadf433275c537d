"""What label maps look like, in figures: how often each class occurs, how large, in how many pieces, beside what.

A generator can hit the right number of pixels with crumbs everywhere or with one slab in few images. So presence, area,
components, boundaries and neighbours are counted as well, and `compare` says what differs from real labels.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage, stats

from pumpgan.metrics.label_maps import ClassIndex, PixelClass

SHARE_EDGES = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Upper ends of the histogram's bins; before them stands one bin for a share of exactly 0."""
PIXELS_AT_ONCE = 2**20
IN_PLANE = np.stack([np.zeros((3, 3)), np.ones((3, 3)), np.zeros((3, 3))])  # 8 neighbours, none in another image

# When generated labels are worth a warning: signs that distribution losses on earrings left in a small study.
FEW, SLAB_PIXELS = 0.5, 0.7  # under half of the presence; slabs if with at least 0.7 of the pixels
TWICE = 2.0  # presence, components or area above this many times real
ADRIFT, USUAL = 0.8, 0.5  # a neighbour of half of the real components, met less than 0.8 times as often
ENOUGH_IMAGES = 5  # shapes are judged where at least this many images of either side hold the class
ENOUGH_EXPECTED = 15  # presence is judged where the one or the other side would have put it into so many images


class LabelStatistics:
    """Gathers figures over any number of label maps of one size; keeps a few numbers an image, no map."""

    def __init__(self, classes: Sequence[PixelClass]) -> None:
        """`classes`: distinct ids of 0 to 255; the first is the ground that neighbours are counted without."""
        self._index = ClassIndex(classes, "LabelStatistics")
        self.names = self._index.names
        self.size: tuple[int, int] | None = None  # (height, width)
        count = len(self.names)
        self._areas: list[NDArray[np.int32]] = []  # each [n, C]: pixels, components, ...
        self._pieces: list[NDArray[np.int32]] = []
        self._largest: list[NDArray[np.int32]] = []
        self._boundary = np.zeros(count, np.int64)
        self._touching = np.zeros((count, count), np.int64)
        self._touching_foreground = np.zeros(count, np.int64)

    def update(self, labels: torch.Tensor | NDArray[Any]) -> None:
        """Adds maps: integers [N, H, W], tensor (any device) or array.

        Raises:
            ValueError: another shape or type, a size unlike before, an id of no class.
        """
        maps = self._index.places(labels)
        if self.size not in (None, maps.shape[1:]):
            raise ValueError(f"LabelStatistics: all maps must be of size {self.size}, got {maps.shape[1:]}")
        self.size = maps.shape[1], maps.shape[2]
        at_once = max(1, PIXELS_AT_ONCE // (maps.shape[1] * maps.shape[2]))
        for first in range(0, len(maps), at_once):
            self._count(maps[first : first + at_once].astype(np.intp))

    def _count(self, maps: NDArray[np.intp]) -> None:
        """One pass over maps [n, H, W] of class indices."""
        n, count = len(maps), len(self.names)
        areas = np.bincount((maps + count * np.arange(n)[:, None, None]).ravel(), minlength=n * count)
        areas = areas.reshape(n, count)
        numbers, owners, classes, sizes = components(maps, np.flatnonzero(areas.any(axis=0)))
        pieces, largest = np.zeros((n, count), np.int32), np.zeros((n, count), np.int32)
        np.add.at(pieces, (owners, classes), 1)
        np.maximum.at(largest, (owners, classes), sizes)

        touching = np.zeros((len(sizes), count), bool)
        for here, there in neighbours():
            apart = maps[here] != maps[there]
            touching[numbers[here][apart], maps[there][apart]] = True
            touching[numbers[there][apart], maps[here][apart]] = True
        for axis in (1, 2):
            apart = np.diff(maps, axis=axis) != 0
            for side in (slice(None, -1), slice(1, None)):
                edge = maps[:, side] if axis == 1 else maps[:, :, side]
                self._boundary += np.bincount(edge[apart], minlength=count)
        np.add.at(self._touching, classes, touching)
        np.add.at(self._touching_foreground, classes, touching[:, 1:].any(axis=1))
        self._areas.append(areas.astype(np.int32))
        self._pieces.append(pieces)
        self._largest.append(largest)

    @property
    def areas(self) -> NDArray[np.int32]:
        """Pixels of each class in each image, [N, C]."""
        return np.concatenate([np.zeros((0, len(self.names)), np.int32), *self._areas])

    @property
    def shares(self) -> NDArray[np.float64]:
        """Share of each image's pixels that each class covers, 0 to 1, [N, C]."""
        height, width = self.size or (1, 1)
        return self.areas / (height * width)

    def result(self) -> dict[str, Any]:
        """JSON-ready figures; None where a class that never occurs has none.

        images, size [height, width], share_edges (SHARE_EDGES), and classes.NAME with
            presence_percent, presence4_percent     images with at least one, four pixels
            pixels_percent                          mean over all images of the share of pixels
            area_pixels, median_area_pixels         mean and median area where present
            components                              8-connected pieces an image where present, mean
            largest_share                           area of the largest piece over the class's area, mean where present
            boundary_per_pixel                      pixel sides that meet another class, over the area of the class
            touching_percent.OTHER                  components with an 8-neighbour of that class
            touching_foreground_percent             components with an 8-neighbour of any other class but the first
            histogram                               images by share: 0, then up to each of SHARE_EDGES

        Raises:
            ValueError: no maps were added.
        """
        areas, size = self.areas, self.size
        if size is None or not len(areas):
            raise ValueError("LabelStatistics: no label maps were added")
        pieces, largest = np.concatenate(self._pieces), np.concatenate(self._largest)
        classes: dict[str, Any] = {}
        for c, name in enumerate(self.names):
            present = areas[:, c] > 0
            area, total, found = areas[present, c], int(areas[:, c].sum()), int(pieces[:, c].sum())
            bins = np.searchsorted(SHARE_EDGES, self.shares[present, c])
            classes[name] = {
                "presence_percent": 100 * float(present.mean()),
                "presence4_percent": 100 * float((areas[:, c] >= 4).mean()),
                "pixels_percent": 100 * total / (len(areas) * size[0] * size[1]),
                "area_pixels": float(area.mean()) if total else None,
                "median_area_pixels": float(np.median(area)) if total else None,
                "components": float(pieces[present, c].mean()) if total else None,
                "largest_share": float((largest[present, c] / area).mean()) if total else None,
                "boundary_per_pixel": float(self._boundary[c]) / total if total else None,
                "touching_percent": {
                    other: 100 * int(self._touching[c, o]) / found if found else None
                    for o, other in enumerate(self.names)
                    if o != c
                },
                "touching_foreground_percent": 100 * int(self._touching_foreground[c]) / found if found else None,
                "histogram": [int((~present).sum()), *np.bincount(bins, minlength=len(SHARE_EDGES)).tolist()],
            }
        return {"images": len(areas), "size": list(size), "share_edges": list(SHARE_EDGES), "classes": classes}


def components(
    maps: NDArray[np.intp], present: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """8-connected pieces of equal class in maps [n, H, W], for the class indices in `present`.

    Returns:
        the number of each pixel's piece [n, H, W], from 0; and of each piece its image, its class, its pixels.
    """
    numbers = np.zeros(maps.shape, np.intp)
    classes: list[int] = []
    for c in present:
        mask = maps == c
        labelled, found = ndimage.label(mask, IN_PLANE)
        numbers[mask] = labelled[mask] - 1 + len(classes)
        classes += [int(c)] * found
    owners = np.zeros(len(classes), np.intp)
    owners[numbers] = np.arange(len(maps))[:, None, None]
    return numbers, owners, np.array(classes, np.intp), np.bincount(numbers.ravel(), minlength=len(classes))


def neighbours() -> list[tuple[tuple[slice, ...], tuple[slice, ...]]]:
    """Each pair of 8-neighbours once: index of the one, index of the other, into [n, H, W]."""
    every, head, tail = slice(None), slice(None, -1), slice(1, None)
    pairs = [((every, head), (every, tail)), ((head, every), (tail, every)), ((head, head), (tail, tail))]
    pairs.append(((head, tail), (tail, head)))
    return [((every, *here), (every, *there)) for here, there in pairs]


def compare(
    real: LabelStatistics, generated: LabelStatistics, *, asked: Mapping[str, float] | None = None
) -> dict[str, Any]:
    """Generated labels beside real ones, JSON-ready.

    asked: by class, the presence that was asked of the generator over the real one, where it is not 1.

    Returns:
        images {real, generated}, classes.NAME {real, generated: as of `result`; wasserstein: first Wasserstein distance
        of the images' shares, 0 to 1; presence_ratio, pixels_ratio: generated over real, None where real has none},
        warnings: a line each.

    Raises:
        ValueError: other classes or map sizes, or a side without maps.
    """
    if real.names != generated.names:
        raise ValueError(f"compare: classes must be equal, got {list(real.names)} and {list(generated.names)}")
    left, right = real.result(), generated.result()
    if left["size"] != right["size"]:
        raise ValueError(f"compare: maps must be of one size, got {left['size']} and {right['size']}")
    real_shares, generated_shares = real.shares, generated.shares
    classes: dict[str, Any] = {}
    warnings: list[str] = []
    for c, name in enumerate(real.names):
        ours, theirs = right["classes"][name], left["classes"][name]
        classes[name] = {
            "real": theirs,
            "generated": ours,
            "wasserstein": float(stats.wasserstein_distance(real_shares[:, c], generated_shares[:, c])),
            "presence_ratio": ratio(ours["presence_percent"], theirs["presence_percent"]),
            "pixels_ratio": ratio(ours["pixels_percent"], theirs["pixels_percent"]),
        }
        if c > 0:
            counts = left["images"], right["images"]
            warnings += class_warnings(name, classes[name], *counts, asked=(asked or {}).get(name, 1.0))
    return {"images": {"real": left["images"], "generated": right["images"]}, "classes": classes, "warnings": warnings}


def class_warnings(
    name: str, figures: dict[str, Any], real_images: int, generated_images: int, *, asked: float = 1.0
) -> list[str]:
    """What a class's labels say against a generator of which `asked` times the real presence is wanted."""
    real, ours = figures["real"], figures["generated"]
    if real["presence_percent"] and not ours["presence_percent"]:
        shown = f"{real['presence_percent']:.1f} % of the real ones"
        return [f"{name}: vanished; none of {generated_images} generated labels has it, {shown} do"]
    if real_images * real["presence_percent"] / 100 < ENOUGH_IMAGES:
        return []
    lines = []
    drawn, expected = (
        generated_images * percent / 100 for percent in (ours["presence_percent"], asked * real["presence_percent"])
    )
    wanted = f"real {real['presence_percent']:.1f} %" + (f", times {asked:.2g} asked" if asked != 1 else "")
    if drawn < FEW * expected and figures["pixels_ratio"] > SLAB_PIXELS * asked and drawn >= ENOUGH_IMAGES:
        lines.append(
            f"{name}: slabs; in {ours['presence_percent']:.1f} % of images ({wanted}), "
            f"yet {ours['pixels_percent']:.3f} % of pixels (real {real['pixels_percent']:.3f} %)"
        )
    elif max(drawn, expected) >= ENOUGH_EXPECTED and not FEW * expected <= drawn <= TWICE * expected:
        much = "often" if drawn > expected else "rarely"
        lines.append(f"{name}: too {much}; in {ours['presence_percent']:.1f} % of images, {wanted}")
    if drawn < ENOUGH_IMAGES:
        return lines
    if ours["components"] > TWICE * real["components"]:
        lines.append(f"{name}: crumbs; {ours['components']:.1f} pieces an image, real {real['components']:.1f}")
    if ours["area_pixels"] > TWICE * real["area_pixels"]:
        lines.append(f"{name}: blobs; {ours['area_pixels']:.1f} pixels where present, real {real['area_pixels']:.1f}")
    usual = real["touching_percent"] | {"any other class": real["touching_foreground_percent"]}
    met = ours["touching_percent"] | {"any other class": ours["touching_foreground_percent"]}
    missed = [other for other in usual if usual[other] >= 100 * USUAL and met[other] < ADRIFT * usual[other]]
    if missed:
        touched = ", ".join(f"{other} {met[other]:.0f} % (real {usual[other]:.0f} %)" for other in missed)
        lines.append(f"{name}: adrift; of its pieces touch {touched}")
    return lines


def ratio(value: float, reference: float) -> float | None:
    return value / reference if reference else None


SINGLE_COLUMNS = {  # heading: figure, decimals
    "images %": ("presence_percent", 1),
    ">= 4 px %": ("presence4_percent", 1),
    "pixels %": ("pixels_percent", 3),
    "area px": ("area_pixels", 1),
    "pieces": ("components", 2),
    "largest": ("largest_share", 2),
    "edge/px": ("boundary_per_pixel", 2),
}
PAIR_COLUMNS = {key: SINGLE_COLUMNS[key] for key in ("images %", "pixels %", "area px", "pieces", "edge/px")}


def statistics_table(result: dict[str, Any]) -> str:
    """Plain text of `LabelStatistics.result`: a class a line, and below how many images show how much of it."""
    rows = [
        [name, *(number(figures[key], places) for key, places in SINGLE_COLUMNS.values())]
        for name, figures in result["classes"].items()
    ]
    bins = ["none", *(f"<= {100 * edge:g} %" for edge in result["share_edges"])]
    shares = [[name, *map(str, figures["histogram"])] for name, figures in result["classes"].items()]
    figures, histogram = aligned([["class", *SINGLE_COLUMNS], *rows]), aligned([["class", *bins], *shares])
    return f"{result['images']} label maps\n{figures}\nimages by the share of their pixels\n{histogram}"


def table(compared: dict[str, Any]) -> str:
    """Plain text of `compare`: real / generated a cell, the distance, then the warnings."""
    rows = []
    for name, figures in compared["classes"].items():
        cells = [
            " / ".join(number(figures[side][key], places) for side in ("real", "generated"))
            for key, places in PAIR_COLUMNS.values()
        ]
        rows.append([name, *cells, number(figures["wasserstein"], 5)])
    count = compared["images"]
    lines = [f"{count['real']} real / {count['generated']} generated label maps"]
    lines.append(aligned([["class", *PAIR_COLUMNS, "W1 of shares"], *rows]))
    return "\n".join([*lines, *(f"! {line}" for line in compared["warnings"])])


def number(value: float | None, places: int) -> str:
    return "-" if value is None else f"{value:.{places}f}"


def aligned(rows: list[list[str]]) -> str:
    """Columns padded to their widest cell: the first to the left, figures to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    )
