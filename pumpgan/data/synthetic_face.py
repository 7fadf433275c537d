"""Procedural portraits with pixel labels, framed like CelebA-HQ: data for tests and a first run, made from a seed.

`draw_traits` decides what the person looks like, `paint` draws it from back to front. Class ids are those of
`FACE_CLASSES`; neck and clothes are drawn but belong to the background. As in CelebAMask-HQ, an eyeglass covers its
lenses, but eyes and brows seen through it keep their own class.
"""

import numpy as np
from numpy.typing import NDArray

from pumpgan.data.canvas import Array, ellipse, noise, rounded_box, segment, smooth_step
from pumpgan.data.synthetic_face_hair import grow_hair, paint_back_hair, paint_front_hair, paint_hat
from pumpgan.data.synthetic_face_head import (
    BROWS,
    EARRING,
    EYE_HEIGHT,
    EYEGLASS,
    EYES,
    HAIR,
    SIDES,
    Head,
    darker,
    paint_beard,
    paint_brows,
    paint_ears,
    paint_eyes,
    paint_mouth,
    paint_neck,
    paint_nose,
    paint_skin,
    shade,
)
from pumpgan.data.synthetic_face_traits import Traits, draw_traits

SMALLEST, LARGEST = 32, 512  # pixels a side
DRAWING = 1  # raise it with every change to what is drawn: sets that are kept carry it in their name


def draw(seed: int, index: int, size: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Face number `index` of the endless set `seed`.

    Args:
        seed, index: non-negative; the same pair gives the same person, at any size.
        size: pixels a side, 32 to 512.

    Returns:
        image uint8 [size, size, 3], label uint8 [size, size] with the ids of `FACE_CLASSES`.
    """
    return paint(draw_traits(seed, index), size)


def paint(traits: Traits, size: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The portrait of given traits; `dataclasses.replace` and a second call show the same person changed."""
    if not SMALLEST <= size <= LARGEST:
        raise ValueError(f"synthetic face: size must be {SMALLEST} to {LARGEST} pixels, got {size}")
    head = Head(traits, size, samples=3 if size <= 128 else 1)
    shade(head)
    hair = grow_hair(head)
    paint_backdrop(head)
    if hair is not None:
        paint_back_hair(head, hair)
    paint_neck(head)
    paint_clothes(head)
    paint_ears(head)
    paint_skin(head)
    for feature in (paint_beard, paint_nose, paint_mouth, paint_eyes, paint_brows):
        feature(head)
    if hair is not None:
        paint_front_hair(head, hair)
    paint_glasses(head)
    paint_hat(head)
    paint_earrings(head)
    image, label = head.finish()
    image = image + head.texture("grain").standard_normal(image.shape, np.float32) * np.float32(0.008)
    return np.round(np.clip(image, 0, 1) * 255).astype(np.uint8), label


def paint_backdrop(head: Head) -> None:
    """Out of focus, behind everything: a gradient, blobs, lights or a wall with edges."""
    t = head.traits
    random = head.texture("background")
    x, y = head.frame_x, head.frame_y
    first, second = (np.asarray(c, np.float32)[:, None, None] for c in t.backdrop_colours)
    angle = random.uniform(0, 2 * np.pi)
    mix = smooth_step(x * np.float32(np.cos(angle)) + y * np.float32(np.sin(angle)), -1.2, 1.2)
    if t.backdrop == "blobs":
        mix = np.clip(mix + 0.45 * noise(random, head, 4), 0, 1)
    head.image[:] = first + mix * (second - first)
    if t.backdrop == "blobs":
        head.darken(1 + 0.10 * noise(random, head, 7))
    elif t.backdrop == "lights":
        for _ in range(int(random.integers(5, 14))):
            at, radius, tint = random.uniform(-1, 1, 2), random.uniform(0.06, 0.2), random.uniform(0.5, 1, 3)
            spot = head.window(at[0] - radius, at[1] - radius, at[0] + radius, at[1] + radius)
            disc = ellipse(spot.frame_x - np.float32(at[0]), spot.frame_y - np.float32(at[1]), radius, radius)
            spot.paint(disc, tint, opacity=random.uniform(0.15, 0.5), softness=0.03)
    elif t.backdrop == "wall":
        for _ in range(int(random.integers(1, 4))):
            edge, tilt, factor = random.uniform(-0.9, 0.9), random.normal(0, 0.08), random.uniform(0.6, 1.35)
            head.darken(1 + np.float32(factor - 1) * smooth_step(x - edge + tilt * y, -0.02, 0.02))
        head.darken(1 + 0.03 * noise(random, head, 40))


def paint_clothes(head: Head) -> None:
    """Shoulders with a neckline or collar; background to the label."""
    t = head.traits
    random = head.texture("cloth")
    part = head.window(-1.1, 0.5, 1.1, 1.1)
    x, y = part.x, part.y
    shoulders = t.chin + 0.13 + 0.24 * smooth_step(np.abs(x), 0.32, 1.1) - y
    neckline = {"round": 0.26, "v": 0.46, "collar": 0.38, "turtle": -0.2}[t.clothes]
    if t.clothes == "v" or t.clothes == "collar":
        cut = y - (t.chin + 0.02 + neckline * (1 - np.abs(x) / 0.36))
    else:
        cut = y - (t.chin + neckline * np.sqrt(np.clip(1 - (x / 0.42) ** 2, 0, 1)))
    cloth = np.maximum(shoulders, np.where(np.abs(x) < 0.42, -cut, -1))
    folds = 1 + 0.10 * noise(random, part, 6) + 0.05 * np.sin((x + 0.15 * noise(random, part, 5)) * 24)
    lamp = np.clip(t.ambient + 0.30 + 0.35 * x * t.light[0] + 0.25 * smooth_step(y, 1.1, 0.8), 0.25, 1.2)
    shade_under = 1 - 0.35 * smooth_step(np.abs(x), 0.5, 0.2) * smooth_step(y, t.chin + 0.35, t.chin)
    colour = np.asarray(t.cloth, np.float32)[:, None, None] * (folds * lamp * shade_under)
    part.paint(cloth, colour, 0)
    rim = np.maximum(np.abs(cut) - 0.02, shoulders)
    if t.clothes == "collar":
        flap = np.maximum(np.abs(cut + 0.06) - 0.07, np.abs(x) - 0.45)
        part.paint(np.maximum(flap, shoulders - 0.1), colour * 1.25, 0)
    else:
        part.paint(rim, colour * 0.72, opacity=0.7 * (np.abs(x) < 0.42), softness=0.02)


def paint_glasses(head: Head) -> None:
    """Lenses, bridge and temple arms; sunglasses hide the eyes from image and label."""
    t = head.traits
    if t.glasses == "none":
        return
    part = head.around(0.0, EYE_HEIGHT + 0.02, 0.62, 0.26)
    side, v = np.abs(part.u), part.v - EYE_HEIGHT - 0.025
    across = side - t.eye_distance
    if t.glasses == "round":
        lens = ellipse(across, v, 0.185, 0.165)
    elif t.glasses == "square":
        lens = rounded_box(across, v - 0.05 * across, 0.19, 0.125, 0.05)
    else:
        lens = rounded_box(across, v - 0.12 * across, 0.215, 0.155, 0.10)
    rim = np.abs(lens) - (0.013 if t.glasses != "sun" else 0.018)
    bridge = segment(side, v, (0.0, -0.045), (t.eye_distance - 0.16, -0.035)) - 0.014
    arm = segment(side, v, (t.eye_distance + 0.18, -0.05), (t.half_width + 0.02, -0.07)) - 0.014
    arm = np.maximum(arm, part.egg - 1.04)
    frame = np.minimum(np.minimum(rim, bridge), arm)
    part.darken(1 - 0.16 * smooth_step(lens - 0.02, 0.05, 0.0))  # shadow on the cheeks
    glare = 0.5 * smooth_step(np.abs(across + 0.6 * v + 0.05 * np.sign(part.u)), 0.045, 0.015)
    if t.glasses == "sun":
        tint = 0.05 + 0.22 * smooth_step(v, -0.15, 0.16)
        part.paint(lens, tint * np.array([0.9, 0.95, 1.0], np.float32)[:, None, None], opacity=0.95)
        part.blend(0.45 * glare * (lens < 0), (0.75, 0.82, 0.9))
    else:
        part.paint(lens, (0.86, 0.92, 0.96), opacity=0.10 + 0.28 * glare)
    part.paint(frame, part.lit(t.frame, 0.35))
    covered = np.minimum(lens, frame) < 0
    if t.glasses != "sun":
        covered &= (part.label != EYES) & (part.label != BROWS)
    part.label[covered & ~((arm < 0) & (part.label == HAIR))] = EYEGLASS


def paint_earrings(head: Head) -> None:
    """What hangs from a free lobe."""
    t = head.traits
    s = t.earring_size
    dark, bright = np.asarray(darker(t.metal, 0.45)), np.clip(np.asarray(t.metal) * 1.25 + 0.08, 0, 1)
    for side, worn in zip(SIDES, t.earrings, strict=True):
        if not worn:
            continue
        lobe_x = side * (t.half_width + 0.040) - 0.13 * np.sin(t.yaw)
        lobe_y = 0.265 + 0.3 * t.pitch
        part = head.window(lobe_x - 0.45, lobe_y - 0.25, lobe_x + 0.45, lobe_y + 0.85)
        x, y = part.x - np.float32(lobe_x), part.y - np.float32(lobe_y)
        metal = dark[:, None, None] + (bright - dark)[:, None, None] * (0.5 + 0.5 * np.sin(55 * x - 38 * y)) ** 2
        metal = metal.astype(np.float32)
        if t.earring == "stud":
            jewel(part, x, y, 0.050 * s, t.gem if s > 0.95 else t.metal)
        elif t.earring == "hoop":
            radius = 0.125 * s
            ring = np.abs(ellipse(x, y - radius, 0.82 * radius, radius)) - 0.019
            part.paint(ring, metal, EARRING)
        elif t.earring == "drop":
            part.paint(segment(x, y, (0, 0), (0, 0.13 * s)) - 0.016, metal, EARRING)
            jewel(part, x, y, 0.026, t.metal)
            jewel(part, x, (y - 0.20 * s) * 0.8, 0.068 * s, t.gem)
        else:
            part.paint(
                np.maximum(np.abs(x) - 0.018 - 0.014 * np.sin(y * 60), np.abs(y - 0.22 * s) - 0.22 * s), metal, EARRING
            )
            for k in range(3):
                jewel(part, x, y - (0.10 + 0.16 * k) * s, (0.034 + 0.010 * k) * s, t.gem)


def jewel(part: Head, x: Array, y: Array, radius: float, colour: tuple[float, float, float]) -> None:
    """A round stone or pearl: dark below, a spark towards the lamp."""
    fall = np.clip((x * part.traits.light[0] + y * part.traits.light[1]) / radius, -1, 1)
    base = np.asarray(colour, np.float32)[:, None, None] * (0.72 + 0.45 * fall)
    part.paint(ellipse(x, y, radius, radius), base, EARRING)
    part.paint(
        ellipse(x - 0.3 * radius * np.sign(part.traits.light[0]), y + 0.35 * radius, 0.3 * radius, 0.3 * radius),
        (1, 1, 1),
    )
