"""A picture and its label map, painted together from the same geometry: distance in, colour and class out.

Shapes are signed distances (negative inside) in units where the frame spans [-1, 1] both ways, x to the right and y
down. The image is sampled several times a pixel and averaged; the label is the one at the pixel's centre.
"""

import copy
from collections.abc import Sequence
from functools import lru_cache
from typing import Self

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
Colour = Sequence[float] | Array  # three values in [0, 1], or an array [3, H, W] of them


class Canvas:
    """Square picture under work. `window` gives a view of a part of it, which paints into the same memory.

    Every array that is set as an attribute (coordinates, shading) is cut along with the picture.
    """

    def __init__(self, size: int, samples: int = 3) -> None:
        """A black picture, `size` pixels a side, `samples` samples a pixel along each axis: odd, so one is central."""
        if size < 1 or samples < 1 or samples % 2 == 0:
            raise ValueError(f"Canvas: size must be positive and samples odd, got size {size}, samples {samples}")
        side = size * samples
        centres = ((np.arange(side, dtype=np.float32) + 0.5) * (2 / side) - 1).astype(np.float32)
        self.size, self.samples = size, samples
        self.step = 2 / side  # units a sample
        self.frame_x: Array = np.broadcast_to(centres, (side, side)).copy()
        self.frame_y: Array = np.broadcast_to(centres[:, None], (side, side)).copy()
        self.x, self.y = self.frame_x, self.frame_y  # a painter may move these
        self.image: Array = np.zeros((3, side, side), np.float32)
        self.label: NDArray[np.uint8] = np.zeros((side, side), np.uint8)

    def window(self, left: float, top: float, right: float, bottom: float) -> Self:
        """The part between the given edges (units), at least one sample, clipped to the frame."""
        across, down = self.frame_x[0], self.frame_y[:, 0]
        first = np.searchsorted(across, left), np.searchsorted(down, top)
        last = np.searchsorted(across, right), np.searchsorted(down, bottom)
        columns = slice(min(first[0], len(across) - 1), max(last[0], first[0] + 1))
        rows = slice(min(first[1], len(down) - 1), max(last[1], first[1] + 1))
        part = copy.copy(self)
        for name, value in vars(self).items():
            if isinstance(value, np.ndarray):
                setattr(part, name, value[..., rows, columns])
        return part

    def paint(
        self,
        distance: Array,
        colour: Colour,
        label: int | None = None,
        *,
        opacity: float | Array = 1.0,
        softness: float = 0.0,
    ) -> None:
        """Covers the inside of a shape. `softness` (units) widens the edge of the image, never that of the label."""
        alpha = 0.5 - distance / max(self.step, softness)
        np.clip(alpha, 0, 1, out=alpha)
        self.blend(alpha * np.asarray(opacity, np.float32), colour)
        if label is not None:
            self.label[distance < 0] = label

    def blend(self, alpha: Array, colour: Colour) -> None:
        """Mixes a colour in, `alpha` 1 replacing what was there."""
        target = np.asarray(colour, np.float32)
        self.image += alpha * ((target if target.ndim == 3 else target[:, None, None]) - self.image)

    def darken(self, factor: Array) -> None:
        """Multiplies the picture by `factor` [H, W]."""
        self.image *= factor

    def finish(self) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Image float32 [size, size, 3] in [0, 1] and label uint8 [size, size]."""
        n, middle = self.samples, self.samples // 2
        total = sum(self.image[:, row::n, column::n] for row in range(n) for column in range(n))
        image = np.asarray(total, np.float32).transpose(1, 2, 0) / (n * n)
        return np.clip(image, 0, 1), np.ascontiguousarray(self.label[middle::n, middle::n])


def ellipse(x: Array, y: Array, a: float | Array, b: float | Array) -> Array:
    """First-order distance to an ellipse around the origin with half-axes a and b."""
    radius = np.sqrt((x / a) ** 2 + (y / b) ** 2)
    slope = np.sqrt((x / (a * a)) ** 2 + (y / (b * b)) ** 2)
    return (radius - 1) * radius / (slope + 1e-6)


def segment(x: Array, y: Array, start: tuple[float, float], end: tuple[float, float]) -> Array:
    """Distance to the line between two points; subtract half the line's width."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    along = np.clip(((x - start[0]) * dx + (y - start[1]) * dy) / (dx * dx + dy * dy + 1e-12), 0, 1)
    return np.sqrt((x - start[0] - along * dx) ** 2 + (y - start[1] - along * dy) ** 2)


def rounded_box(x: Array, y: Array, a: float, b: float, radius: float) -> Array:
    """Distance to a box around the origin, half-sides a and b, corners rounded by `radius`."""
    qx, qy = np.abs(x) - (a - radius), np.abs(y) - (b - radius)
    outside = np.sqrt(np.maximum(qx, 0) ** 2 + np.maximum(qy, 0) ** 2)
    return outside + np.minimum(np.maximum(qx, qy), 0) - radius


def smooth_step(x: Array, low: float, high: float) -> Array:
    """0 up to `low`, 1 from `high` on (or falling, if high < low), with a smooth ramp between."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def squircle(across: Array, down: Array, squareness: float) -> Array:
    """Radius in a norm between round (0) and nearly square (1); across and down must not be negative."""
    a, b = across * across, down * down
    return (1 - squareness) * np.sqrt(a + b) + squareness * np.sqrt(np.sqrt(a * a + b * b))


def smooth_union(first: Array, second: Array, width: float) -> Array:
    """Distance to both shapes together, the notch between them filled over `width`."""
    bridge = np.clip(width - np.abs(first - second), 0, None)
    return np.minimum(first, second) - bridge * bridge / (4 * width)


def bell(x: Array, y: Array, sx: float, sy: float) -> Array:
    """A Gaussian hill of height 1 at the origin."""
    return np.exp(-0.5 * ((x / sx) ** 2 + (y / sy) ** 2))


def noise(random: np.random.Generator, canvas: Canvas, cells: int) -> Array:
    """Smooth noise over the canvas, standard deviation about 1, `cells` lattice cells across the frame.

    Cubic B-spline of a lattice of normal draws; the same picture at any size.
    """
    lattice = random.standard_normal((cells + 3, cells + 3)).astype(np.float32)
    down, across = (
        spline(float(at[0]), canvas.step, len(at), cells) for at in (canvas.frame_y[:, 0], canvas.frame_x[0])
    )
    return down @ lattice @ across.T


@lru_cache(64)
def spline(start: float, step: float, count: int, cells: int) -> Array:
    """Weights [count, cells + 3] of a uniform cubic B-spline over [-1, 1], scaled to keep the spread of the lattice."""
    at = (start + 1 + step * np.arange(count, dtype=np.float32)) * (cells / 2)
    distance = np.abs(at[:, None] - (np.arange(cells + 3, dtype=np.float32) - 1))
    near = 2 / 3 - distance**2 + distance**3 / 2
    return (1.45 * np.where(distance < 1, near, np.clip(2 - distance, 0, None) ** 3 / 6)).astype(np.float32)


class Grain:
    """A random function of one coordinate, for strands of hair: `grain(s)` has standard deviation 1 and period 1."""

    RESOLUTION = 1024

    def __init__(self, random: np.random.Generator, octaves: Sequence[int]) -> None:
        """`octaves` are numbers of waves a period; coarse ones weigh more."""
        at = np.arange(self.RESOLUTION, dtype=np.float32) * (2 * np.pi / self.RESOLUTION)
        total = np.zeros(self.RESOLUTION, np.float32)
        for waves in octaves:
            phase, bend = random.uniform(0, 2 * np.pi, 2)
            total += np.sin(waves * at + phase + np.sin(at * max(waves // 3, 1) + bend)) * waves**-0.3
        self.table = (total / total.std()).astype(np.float32)

    def __call__(self, s: Array) -> Array:
        return self.table[(s * self.RESOLUTION).astype(np.int32) & (self.RESOLUTION - 1)]
