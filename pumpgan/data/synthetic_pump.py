"""Photographs of a machined part with pixel labels of its defects: a stand-in for a factory's own, made from a seed.

Every photograph shows the same part, the body of a gear pump, as an industrial camera would: the tool's marks, the
grain of the casting, exposure, lamps and the part's place differ a little from one to the next. About half of them
have defects. Photograph `index` of a `seed` is the same whatever else is drawn.

    part        its height and how it shines; rendered once a process
    defects     what is wrong with it, and where
    here        the photograph: marks and grain over the part, defects, light, noise
"""

import threading
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pumpgan.data.canvas import Array, spline
from pumpgan.data.synthetic_pump_defects import GOOD, Defect, apply, draw_defects
from pumpgan.data.synthetic_pump_part import HEIGHT, MARK_RADII, WIDTH, part, shade

DRAWING = 1  # raise it with every change to what is drawn
LARGEST_PLACEMENT = 8  # pixels of a full photograph that the part is off its place, either way
SMALLEST_SCALE = 1 / 16
ROWS = 64  # rows worked on at a time: they stay in the cache
SHEET = 1536  # pixels after which grain and noise repeat

rendering = threading.Lock()


@dataclass(frozen=True)
class Plate:
    """The part as it is, in its place and a margin around it, before marks and grain; float32 [H, W] each.

    image: brightness, 1 is white. swung: how it changes with the first lamp's place. gain: with a mark's tilt.
    grain: amplitude of the casting's. mark: int16, place in a table of marks.
    """

    image: Array
    swung: Array
    gain: Array
    grain: Array
    mark: NDArray[np.int16]
    margin: int


@dataclass(frozen=True)
class Setting:
    """What differs between two photographs of a part without defects.

    placement: (down, right) by which the part is off its place, pixels. exposure: factor. lamp: swing of the first
    lamp. slope: growth of brightness (down, right) over the frame.
    """

    placement: tuple[int, int]
    exposure: float
    lamp: float
    slope: tuple[float, float]


def frame_size(scale: float = 1.0) -> tuple[int, int]:
    """(height, width) of the photographs of a scale; 1 is 2224x3200."""
    return round(HEIGHT * scale), round(WIDTH * scale)


def placement(seed: int, index: int, scale: float = 1.0) -> tuple[int, int]:
    """How far (down, right) the part lies from where it lies in `ideal`, in pixels of that photograph."""
    return draw_setting(seed, index, scale).placement


def draw_setting(seed: int, index: int, scale: float = 1.0) -> Setting:
    random = generator(seed, index, 0)
    down, right = (round(float(n) * scale) for n in random.uniform(-LARGEST_PLACEMENT, LARGEST_PLACEMENT, 2))
    exposure, lamp, *slope = random.normal((1.0, 0, 0, 0), (0.055, 0.035, 0.025, 0.025))
    return Setting((down, right), float(np.clip(exposure, 0.86, 1.14)), float(lamp), (float(slope[0]), float(slope[1])))


def kind_of(seed: int, index: int) -> str:
    """The kind of a photograph's largest defect, or "good"."""
    defects = defects_of(seed, index)
    return max(defects, key=lambda d: d.area).kind if defects else GOOD


def defects_of(seed: int, index: int) -> list[Defect]:
    """What is wrong with the part of a photograph."""
    return draw_defects(generator(seed, index, 1))


def photograph(seed: int, index: int, scale: float = 1.0) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Photograph number `index` of the endless set `seed`.

    Args:
        seed, index: non-negative.
        scale: 1/16 to 1; 1 is 3200x2224 (width x height), less shows the same part and defects smaller.

    Returns:
        image uint8 [H, W], label uint8 [H, W]: 0, or 1 + the defect's position in `KINDS`.
    """
    plate, setting = render_plate(check_scale(scale)), draw_setting(seed, index, scale)
    random = generator(seed, index, 2)
    image = develop(plate, setting, random, scale)
    label = np.zeros(image.shape, np.uint8)
    for defect in defects_of(seed, index):
        apply(defect, image, label, setting.placement, scale)
    return expose(image, setting, random), label


def ideal(scale: float = 1.0) -> NDArray[np.uint8]:
    """The part in its place, without marks, grain, noise or defects, uint8 [H, W]: what to register against."""
    plate = render_plate(check_scale(scale))
    m = plate.margin
    return np.round(np.clip(plate.image[m:-m, m:-m], 0, 1) * 255).astype(np.uint8)


def check_scale(scale: float) -> float:
    if not SMALLEST_SCALE <= scale <= 1:
        raise ValueError(f"synthetic pump: scale must be {SMALLEST_SCALE} to 1, got {scale}")
    return scale


def generator(seed: int, index: int, purpose: int) -> np.random.Generator:
    if seed < 0 or index < 0:
        raise ValueError(f"synthetic pump: seed and index must not be negative, got seed {seed}, index {index}")
    return np.random.Generator(np.random.PCG64([seed, index, purpose]))


def render_plate(scale: float) -> Plate:
    """The plate of a scale, made by whichever thread comes first."""
    with rendering:
        return _render_plate(scale)


@lru_cache(2)
def _render_plate(scale: float) -> Plate:
    height, width = frame_size(scale)
    pixel, margin = 1 / scale, LARGEST_PLACEMENT + 1
    x = (np.arange(-margin, width + margin, dtype=np.float32) + 0.5 - width / 2) * np.float32(pixel)
    y = (np.arange(-margin, height + margin, dtype=np.float32) + 0.5 - height / 2) * np.float32(pixel)
    shape = len(y), len(x)
    image, swung, gain, grain = (np.empty(shape, np.float32) for _ in range(4))
    mark = np.empty(shape, np.int16)
    for top in range(0, len(y), ROWS):
        first, last = max(0, top - 1), min(len(y), top + ROWS + 1)  # a row more each way, for the gradient
        surface = part(*(a.copy() for a in np.broadcast_arrays(x, y[first:last, None])))
        rows, own = slice(top, top + ROWS), slice(top - first, top - first + ROWS)
        lit, marks = shade(surface, pixel)
        image[rows], gain[rows], mark[rows] = lit[own], marks[own], surface.mark[own]
        swung[rows] = ((shade(surface, pixel, 0.05)[0] - lit) / 0.05)[own]
        grain[rows] = (lit * surface.solid * (0.010 + 0.10 * (1 - surface.turned)))[own]
    return Plate(image, swung, gain, grain, mark, margin)


@lru_cache(1)
def sheets() -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    """Noise of a sensor and grain of a casting, int8 [SHEET + ROWS, SHEET + WIDTH]."""
    random = np.random.Generator(np.random.PCG64([DRAWING]))
    white = random.standard_normal((SHEET, SHEET), np.float32)
    grain = np.zeros_like(white)
    for sigma, weight in ((0.9, 0.6), (1.9, 0.6), (5.0, 0.3)):
        layer = ndimage.gaussian_filter(
            np.roll(white, (int(170 * sigma), int(290 * sigma)), (0, 1)), sigma, mode="wrap", truncate=3.0
        )
        grain += layer * np.float32(weight / layer.std())
    grain -= 0.12 * grain * grain  # pores are fewer and deeper than bumps
    grain -= grain.mean()
    return quantised(white), quantised(grain)


def quantised(noise: Array) -> NDArray[np.int8]:
    """In 24ths of its standard deviation, and repeated so far that any `ROWS` rows of a photograph are a slice."""
    levels = np.clip(np.round(noise * (24 / noise.std())), -127, 127).astype(np.int8)
    return np.pad(levels, ((0, ROWS), (0, WIDTH)), mode="wrap")


def develop(plate: Plate, setting: Setting, random: np.random.Generator, scale: float) -> Array:
    """Brightness of the part in its place with marks of the tool and grain, as the lamps light it; float32 [H, W]."""
    height, width = frame_size(scale)
    top, left = plate.margin - setting.placement[0], plate.margin - setting.placement[1]
    marks, grain = draw_marks(random), sheets()[1]
    down, right = random.integers(0, SHEET, 2)
    image = np.empty((height, width), np.float32)
    for first in range(0, height, ROWS):
        last = min(height, first + ROWS)
        there = slice(top + first, top + last), slice(left, left + width)
        row = (down + first) % SHEET
        rows = np.multiply(grain[row : row + last - first, right : right + width], np.float32(1 / 24))
        rows *= plate.grain[there]
        rows += plate.image[there]
        rows += marks.take(plate.mark[there]) * plate.gain[there]
        rows += plate.swung[there] * np.float32(setting.lamp)
        image[first:last] = rows
    return image


def draw_marks(random: np.random.Generator) -> Array:
    """Tilt of the surface away from the rings' centre, two a pixel of radius, for each of the tool's passes."""
    tables = []
    for radii, feed in zip(MARK_RADII, (15.0, 9.0, 9.0, 7.0), strict=True):
        count = 2 * radii
        at = np.arange(count, dtype=np.float32)
        wander = ndimage.gaussian_filter1d(random.standard_normal(count), 30, mode="wrap") * 9
        tool = np.sin(2 * np.pi * at / (2 * feed) + wander)
        rough = ndimage.gaussian_filter1d(random.standard_normal(count), 1.6, mode="wrap") * 2.4
        bands = ndimage.gaussian_filter1d(random.standard_normal(count), 45, mode="wrap") * 8
        tables.append(0.022 * tool + 0.030 * rough + 0.012 * bands)
    return np.concatenate(tables).astype(np.float32)


def expose(image: Array, setting: Setting, random: np.random.Generator) -> NDArray[np.uint8]:
    """Eight bits of a brightness: exposure, uneven light over the frame, and the noise of photons and sensor."""
    height, width = image.shape
    noise = sheets()[0]
    lattice = random.standard_normal((7, 7)).astype(np.float32)
    across = spline(-1.0, 2 / width, width, 4)
    down = spline(-1.0, 2 / height, height, 4)
    uneven = (0.008 * lattice @ across.T).astype(np.float32)
    tilt_down, tilt_right = setting.slope
    x = np.linspace(-1, 1, width, dtype=np.float32) * np.float32(tilt_right)
    y = np.linspace(-1, 1, height, dtype=np.float32) * np.float32(tilt_down)
    result = np.empty(image.shape, np.uint8)
    for first in range(0, height, ROWS):
        last = min(height, first + ROWS)
        light = down[first:last] @ uneven
        light += x + (y[first:last, None] + 1)
        light *= np.float32(255 * setting.exposure)
        light *= image[first:last]
        np.clip(light, 1, None, out=light)
        top, left = random.integers(0, SHEET, 2)
        grains = np.sqrt(light)
        grains *= np.float32(0.16 / 24)
        grains *= noise[top : top + last - first, left : left + width]
        light += grains
        light += 0.5
        result[first:last] = np.clip(light, 0, 255, out=light)
    return result
