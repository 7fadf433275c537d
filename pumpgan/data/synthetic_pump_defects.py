"""What is wrong with the part of synthetic-pump: scratches, dents, pits, stains and burrs, and where they are.

A defect changes the part's height, how it reflects, or both, inside an outline; what that looks like follows from the
part's own shading, so a dent in a rib looks another than one in a face. The label is the inside of the outline.
Lengths are pixels of a full photograph, around the middle of the part.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pumpgan.data.canvas import Array, smooth_step
from pumpgan.data.synthetic_pump_part import (
    BOLT,
    BOLTS,
    CHAMBER,
    PIN,
    PINS,
    PORT,
    PORTS,
    RIBS,
    SHAFT,
    SHAFTS,
    part,
    shade,
)

GOOD = "good"
KINDS = ("scratch", "dent", "pit", "stain", "burr")
CHANCES = (0.32, 0.21, 0.19, 0.14, 0.14)
DEFECTIVE = 0.5  # share of the photographs
MORE = 1.9  # defects of such a photograph beyond the first, on average
MEDIAN_AREA, SPREAD = 1_350.0, 1.45  # log-normal, pixels: few are large
SMALLEST_AREA, LARGEST_AREA = 24.0, 40_000.0
HALF = 950.0  # a defect's middle lies within this of the part's, both ways
LONGEST = 460.0  # of a scratch

Edge = tuple[float, float, float]  # a circle: its middle's x and y, its radius
EDGES: tuple[Edge, ...] = (
    *((x, y, BOLT) for x, y in BOLTS),
    *((x, y, PIN) for x, y in PINS),
    *((x, y, SHAFT) for x, y in SHAFTS),
    *((x, y, PORT) for x, y in PORTS),
    *((x, y, CHAMBER + 6) for x, y in SHAFTS),
)


@dataclass(frozen=True)
class Defect:
    """One defect: its kind, about how many pixels it covers, its middle, direction, and the seed of its shape.

    edge: the circle that a burr sits on.
    """

    kind: str
    area: float
    x: float
    y: float
    angle: float
    seed: int
    edge: Edge | None = None


@dataclass
class Change:
    """What a defect does over a window, arrays [H, W].

    distance: negative inside. height: what is added to it there. tint: factor of the light that comes back.
    metal: 1 where it brings metal to where there was none. polish: what it leaves of the tool's work.
    """

    distance: Array
    height: Array | float = 0.0
    tint: Array | float = 1.0
    metal: Array | float = 0.0
    polish: float = 1.0


def draw_defects(random: np.random.Generator) -> list[Defect]:
    """The defects of one photograph; none for the good ones."""
    if random.random() >= DEFECTIVE:
        return []
    return [draw_defect(random) for _ in range(1 + random.poisson(MORE))]


def draw_defect(random: np.random.Generator) -> Defect:
    kind = KINDS[random.choice(len(KINDS), p=CHANCES)]
    area = float(np.clip(MEDIAN_AREA * np.exp(SPREAD * random.standard_normal()), SMALLEST_AREA, LARGEST_AREA))
    angle, seed = float(random.uniform(0, 2 * np.pi)), int(random.integers(2**32))
    while True:
        edge = None
        if kind == "burr":
            edge = EDGES[random.integers(len(EDGES))]
            area, turn = min(area, 0.85 * edge[2] ** 2), random.uniform(0, 2 * np.pi)
            x, y = edge[0] + edge[2] * np.cos(turn), edge[1] + edge[2] * np.sin(turn)
        elif kind == "dent" and random.random() < 0.35:
            (x0, y0), (x1, y1) = RIBS[random.integers(len(RIBS))]
            along, (left, up) = random.uniform(0.1, 0.9), random.choice((-1, 1), 2)
            x, y = left * (x0 + along * (x1 - x0)), up * (y0 + along * (y1 - y0))
        else:
            x, y = random.uniform(-HALF, HALF, 2)
        if max(abs(x), abs(y)) <= HALF and (sharp(x, y, edge) if edge else is_metal(x, y)):
            return Defect(kind, area, float(x), float(y), angle, seed, edge)


def is_metal(x: float, y: float) -> bool:
    """Whether the part has metal there and a bit around."""
    around = np.array([[[0, -9, 9, 0, 0]], [[0, 0, 0, -9, 9]]], np.float32)
    return bool(part(np.float32(x) + around[0], np.float32(y) + around[1]).solid.min() > 0.5)


def sharp(x: float, y: float, edge: Edge) -> bool:
    """Whether a circle is an edge there: not where another opening has taken it away."""
    return all(np.hypot(x - ox, y - oy) > radius + 25 for ox, oy, radius in crossing(edge))


def crossing(edge: Edge) -> list[Edge]:
    """The openings that may take a piece of an edge away: all others but those that it lies in."""
    x, y, radius = edge
    return [e for e in EDGES if e != edge and np.hypot(x - e[0], y - e[1]) + radius > e[2]]


def apply(defect: Defect, image: Array, label: NDArray[np.uint8], placement: tuple[int, int], scale: float) -> None:
    """Puts a defect into a photograph's brightness, float32 [H, W], and its id, 1 + position in KINDS, into the label.

    placement: (down, right) of the part in the photograph, pixels.
    """
    (height, width), (down, right) = image.shape, placement
    pixel = 1 / scale
    reach = reach_of(defect)
    row, column = height / 2 + down + defect.y * scale, width / 2 + right + defect.x * scale
    margin = reach * scale + 2
    rows = slice(max(0, int(row - margin)), min(height, int(row + margin) + 2))
    columns = slice(max(0, int(column - margin)), min(width, int(column + margin) + 2))
    x = ((np.arange(columns.start, columns.stop) + 0.5 - width / 2 - right) * pixel).astype(np.float32)
    y = ((np.arange(rows.start, rows.stop) + 0.5 - height / 2 - down) * pixel).astype(np.float32)
    x, y = (a.copy() for a in np.broadcast_arrays(x, y[:, None]))
    surface = part(x, y)
    change = SHAPES[defect.kind](defect, np.random.Generator(np.random.PCG64([defect.seed])), x, y)
    inside = change.distance < 0
    before = shade(surface, pixel)[0]
    solid = surface.solid
    surface.height = surface.height + np.where(inside, change.height, 0)
    surface.turned = surface.turned * np.where(inside, np.float32(change.polish), 1)
    surface.solid = np.maximum(solid, change.metal * inside)
    after = shade(surface, pixel)[0]
    steps = np.hypot(*np.gradient(change.distance))  # how much the distance grows from pixel to pixel
    cover = np.clip(0.5 - change.distance / (steps + 1e-6), 0, 1) * surface.solid
    labelled = inside & (surface.solid > 0.5)
    cover *= ndimage.binary_dilation(labelled)  # never seen beyond the pixels beside the label
    window = image[rows, columns]
    fresh = change.metal * (1 - solid)  # where there was nothing, nothing of it stays
    target = ((1 - fresh) * (window - before) + after) * change.tint
    window += cover * (np.maximum(target, 0.01) - window)
    label[rows, columns][labelled] = 1 + KINDS.index(defect.kind)


def reach_of(defect: Defect) -> float:
    """Half the side of a square that holds the defect."""
    radius = np.sqrt(defect.area / np.pi)
    if defect.kind == "scratch":
        return 0.5 * scratch_size(defect.area)[0] + 16
    if defect.edge is not None:
        length, width = burr_size(defect.area, defect.edge[2])
        return min(0.5 * length, 2 * defect.edge[2]) + 2 * width + 6
    return (4.2 if defect.kind == "pit" else 2.5) * radius + 8


def local(defect: Defect, x: Array, y: Array) -> tuple[Array, Array]:
    """Coordinates along and across the defect."""
    cos, sin = np.float32(np.cos(defect.angle)), np.float32(np.sin(defect.angle))
    dx, dy = x - np.float32(defect.x), y - np.float32(defect.y)
    return cos * dx + sin * dy, cos * dy - sin * dx


def bumps(random: np.random.Generator, u: Array, v: Array, cell: float) -> Array:
    """Smooth noise over the plane, standard deviation about 1, `cell` pixels from one draw to the next."""
    lattice = random.standard_normal((24, 24)).astype(np.float32)
    return 1.4 * ndimage.map_coordinates(lattice, (v / cell + 12, u / cell + 12), order=2, mode="grid-wrap")


def wave(random: np.random.Generator, s: Array, length: float, octaves: int = 3) -> Array:
    """A random function of one coordinate, standard deviation about 1; its longest wave is `length`."""
    total = np.zeros_like(s)
    for octave in range(octaves):
        phase, detune = random.uniform(0, 2 * np.pi), random.uniform(0.8, 1.25)
        total += np.sin(s * np.float32(2 * np.pi * 2**octave * detune / length) + np.float32(phase)) * 0.75**octave
    return total * np.float32(0.9)


def outline(random: np.random.Generator, u: Array, v: Array, radius: float, rough: float) -> Array:
    """Distance from the middle over that of an irregular outline: 1 on it; it holds about pi radius^2."""
    stretch = np.exp(np.clip(random.normal(0, 0.22), -0.4, 0.4))
    u, v = u * np.float32(stretch / radius), v * np.float32(1 / (stretch * radius))
    turn, reach = np.arctan2(v, u), np.ones_like(u)
    for waves in range(2, 6):
        reach += np.cos(waves * turn + np.float32(random.uniform(0, 2 * np.pi))) * np.float32(
            rough * waves**-0.8 * random.uniform(0.3, 1)
        )
    return np.hypot(u, v) / reach


def scratch_size(area: float) -> tuple[float, float]:
    """Length and width of all strokes of a scratch together."""
    width = max(2.2, 0.42 * area**0.31)
    return (area / width, width) if area / width < LONGEST else (LONGEST, area / LONGEST)


def scratch(defect: Defect, random: np.random.Generator, x: Array, y: Array) -> Change:
    """One stroke or several that something hard ploughed, with flanks that mirror the lamps."""
    u, v = local(defect, x, y)
    length, width = scratch_size(defect.area)
    strokes = int(np.clip(round(width / random.uniform(3.2, 6.5)), 1, 9))
    bend, swing = random.normal(0, 0.10), random.normal(0, 0.012) * length
    path = bend * (u * u / length - length / 12) + swing * wave(random, u, 1.3 * length, 2)
    distance, groove = np.full_like(u, 1e3), np.zeros_like(u)
    for stroke in range(strokes):
        shift = (stroke - (strokes - 1) / 2) * (width / strokes * 1.7 + random.uniform(1, 4))
        first, last = (random.uniform(0.36, 0.5) * length if strokes > 1 else 0.5 * length for _ in range(2))
        taper = np.clip(np.minimum(u + first, last - u) / (0.12 * length + 2), -1, 1)
        half = width / strokes / 2 * (0.35 + 0.75 * np.sqrt(np.maximum(taper, 0))) * (1 + 0.16 * wave(random, u, 46))
        across = np.abs(v - path - shift - 0.4 * wave(random, u, 23))
        d = np.where(taper > 0, across - np.maximum(half, 0.9), np.maximum(across, -taper * length))
        groove = np.where(d < 0, np.minimum(across - half, 0), groove)
        distance = np.minimum(distance, d)
    tint = random.choice((0.55, 0.70, 1.5)) + 0.10 * wave(random, u, 37)
    return Change(distance, height=1.15 * groove, tint=tint)


def dent(defect: Defect, random: np.random.Generator, x: Array, y: Array) -> Change:
    """A hollow that a blow left, its bottom crushed."""
    u, v = local(defect, x, y)
    radius = np.sqrt(defect.area / np.pi)
    rho = outline(random, u, v, radius, 0.13)
    depth = radius * random.uniform(0.55, 0.85) / (1 + radius / 90)
    crushed = bumps(random, u, v, max(4.0, 0.2 * radius)) * min(0.05 * radius, 1.5)
    fall = np.sqrt(np.clip(1 - rho, 0, 1))
    return Change(
        (rho - 1) * radius, height=(crushed - depth) * fall, tint=1.12 - 0.24 * smooth_step(rho, 0.75, 1.0), polish=0.35
    )


def pit(defect: Defect, random: np.random.Generator, x: Array, y: Array) -> Change:
    """Pores of the casting that were cut open: one or a family, dark, with a lit far edge."""
    u, v = local(defect, x, y)
    count = 1 + int(random.poisson(min(defect.area / 260, 9)))
    shares = random.dirichlet(np.full(count, 1.2))
    distance, depth = np.full_like(u, 1e3), np.zeros_like(u)
    ragged = 0.13 * bumps(random, u, v, 5)
    for share in np.maximum(shares, 12 / defect.area):
        radius = np.sqrt(share * defect.area / np.pi)
        away = 1.15 * np.sqrt(defect.area / np.pi) * (count > 1)
        au, av = np.clip(random.normal(0, away, 2), -2 * away, 2 * away)
        d = (outline(random, u - np.float32(au), v - np.float32(av), radius, 0.16) - 1 + ragged) * radius
        distance, depth = np.minimum(distance, d), np.maximum(depth, -d)
    wall = smooth_step(depth, 0, 4.0)
    rubble = bumps(random, u, v, 3.5)
    return Change(distance, height=-4 * wall - 0.4 * depth + rubble * wall, tint=0.80 - 0.42 * wall)


def stain(defect: Defect, random: np.random.Generator, x: Array, y: Array) -> Change:
    """A dried drop of oil or coolant: an even film, darker along its rim; some leave a matt white residue."""
    u, v = local(defect, x, y)
    radius = np.sqrt(defect.area / np.pi)
    rho = outline(random, u, v, radius, 0.17) + 0.09 * bumps(random, u, v, 0.5 * radius + 3)
    distance = (rho - 1) * radius
    rim = np.exp(-(((distance + 0.06 * radius + 1.5) / (0.07 * radius + 1.2)) ** 2))
    film = random.uniform(0.28, 0.46) + 0.05 * bumps(random, u, v, 0.35 * radius + 3)
    strength = film + 0.16 * rim
    if random.random() < 0.2:
        return Change(distance, tint=1 + 2.1 * strength, polish=0.0)
    return Change(distance, tint=1 - strength)


def burr(defect: Defect, random: np.random.Generator, x: Array, y: Array) -> Change:
    """Ragged metal that the tool left standing on an edge and pushed over it."""
    if defect.edge is None:
        raise ValueError("burr: needs the edge that it sits on")
    cx, cy, radius = defect.edge
    dx, dy = x - np.float32(cx), y - np.float32(cy)
    middle = np.arctan2(defect.y - cy, defect.x - cx)
    turn = np.arctan2(dy, dx) - np.float32(middle)
    s = (np.mod(turn + np.pi, 2 * np.pi) - np.pi) * np.float32(radius)
    r = np.hypot(dx, dy) - np.float32(radius)
    length, width = burr_size(defect.area, radius)
    envelope = np.sqrt(np.clip(1 - (2 * s / length) ** 2, 0, 1))
    inner = width * envelope * (0.55 + 0.30 * wave(random, s, 0.45 * length + 8) + 0.22 * wave(random, s, 13))
    outer = width * envelope * (0.38 + 0.10 * wave(random, s, 0.3 * length + 8))
    inner, outer = np.maximum(inner, 0.2 * width * envelope), np.maximum(outer, 0.15 * width * envelope)
    distance = np.where(envelope > 0, np.maximum(-r - inner, r - outer), np.abs(s) - length / 2 + 1)
    for ox, oy, opening in crossing(defect.edge):
        distance = np.maximum(distance, np.float32(opening + 2) - np.hypot(x - np.float32(ox), y - np.float32(oy)))
    at = np.clip((r + inner) / (inner + outer + 1e-3), 0, 1)
    ridge = width * (1 - (2 * at - 1) ** 2) * (0.55 + 0.2 * wave(random, s, 19))
    return Change(distance, height=ridge + 0.5 * bumps(random, x, y, 4), tint=1.12, metal=1.0, polish=0.6)


def burr_size(area: float, radius: float) -> tuple[float, float]:
    """Length along an edge of that radius, and width, of a burr."""
    width = float(np.clip(0.22 * np.sqrt(area), 3.0, 0.28 * radius))
    return float(min(1.35 * area / width, 4.2 * radius)), width


SHAPES: dict[str, Callable[[Defect, np.random.Generator, Array, Array], Change]] = {
    "scratch": scratch,
    "dent": dent,
    "pit": pit,
    "stain": stain,
    "burr": burr,
}
