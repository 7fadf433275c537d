"""Hair and hats of a synthetic portrait: outlines, openings for the face, strands that follow the outline."""

from typing import NamedTuple

import numpy as np

from pumpgan.data.canvas import Array, Grain, ellipse, noise, rounded_box, smooth_step, smooth_union, squircle
from pumpgan.data.synthetic_face_head import EGG_CENTRE, HAIR, HAT, Head

FALLING = ("bob", "long", "curly")  # styles that go below the ears


class Hair(NamedTuple):
    """Distances over the whole picture and the colour that strands have there."""

    outline: Array  # everything that is hair, behind the head or in front
    opening: Array  # where the face shows; negative inside
    colour: Array  # [3, H, W]


def grow_hair(head: Head) -> Hair | None:
    """The hair of a person, not yet painted; None for the bald."""
    if head.traits.style == "bald":
        return None
    outline, opening = outer_outline(head), face_opening(head)
    colour = strands(head, outline, opening)
    return Hair(outline + ripple(head), opening, colour)


def outer_outline(head: Head) -> Array:
    t = head.traits
    thick = {"buzz": 0.018, "short": 0.05 + 0.06 * t.volume, "tied": 0.035 + 0.03 * t.volume}.get(
        t.style, 0.10 + 0.10 * t.volume
    )
    thick += 0.09 * (t.style == "curly")
    top = EGG_CENTRE - t.crown + 1.25 * thick
    cap = ellipse(head.x, head.y - EGG_CENTRE + 0.05, t.half_width + thick, top)
    if t.style not in FALLING:
        cap = -smooth_union(-cap, 0.46 - head.y - 0.6 * np.abs(head.x), 0.1)  # cropped at the nape
    if t.style not in FALLING:
        outline = cap
        if t.style == "tied" and t.volume > 0.45:
            outline = np.minimum(outline, ellipse(head.x - 0.3 * t.part, head.y + top + 0.02, 0.21, 0.17))
        if t.style == "tied" and t.volume < 0.3:  # a ponytail over one shoulder
            side = np.sign(t.part)
            tail = np.abs(side * head.x - 0.56 - 0.05 * np.sin(5 * head.y)) - 0.10 * smooth_step(head.y, 0.0, 0.4)
            outline = np.minimum(outline, np.maximum(tail, 0.15 - head.y))
        return outline
    end = {"bob": 0.35 + 0.40 * (t.length - 0.95), "curly": 0.35 + 0.75 * (t.length - 0.95)}.get(t.style, t.length)
    flare = (0.10 + 0.16 * t.volume) * smooth_step(head.y, -0.3, 0.5) + 0.05 * t.wave * np.sin(
        7 * head.y + 3 * np.sign(head.x) + 6 * t.part
    ) * smooth_step(head.y, 0.0, 0.4)
    if t.style == "bob":
        flare = flare - 0.12 * smooth_step(head.y, 0.35, 0.85)
    fall = np.maximum(np.abs(head.x) - (t.half_width + thick + flare), EGG_CENTRE - 0.05 - head.y)
    ragged = 0.04 * noise(head.texture("edge"), head, 20)
    fall = np.maximum(fall, head.y - end + ragged + 0.35 * np.maximum(np.abs(head.x) - 0.5, 0))
    return smooth_union(cap, fall, 0.22)


def ripple(head: Head) -> Array:
    """Loose strands and curls on the outline, as a change of its distance."""
    t = head.traits
    rough = {"buzz": 0.003, "short": 0.008, "tied": 0.005, "curly": 0.03}.get(t.style, 0.006 + 0.012 * t.wave)
    random = head.texture("edge")
    return rough * noise(random, head, 16) + 0.4 * rough * noise(random, head, 50)


def face_opening(head: Head) -> Array:
    """Where hair leaves the face free: hairline above, temples, then past the ears or over them."""
    t = head.traits
    u, v = head.u, head.v
    lock = 0.009 * noise(head.texture("hair"), head, 30)
    hairline = np.full_like(u, t.hairline)
    away = np.abs(u - t.part)
    if t.fringe == "straight" and t.style != "buzz":
        hairline = hairline + (-0.27 - t.hairline) + 0.35 * u * u + 1.6 * lock
    elif t.fringe == "swept" and t.style != "buzz":
        from_part = np.sign(t.part) * (t.part - u)
        hairline = (
            hairline + 0.30 * smooth_step(from_part, -0.05, 0.55) + 0.10 * smooth_step(-from_part, 0.0, 0.3) + lock
        )
    elif t.style in FALLING:
        hairline = hairline + 0.32 * smooth_step(away, 0.02, 0.62) + lock
    else:
        hairline = hairline + (0.05 if t.style == "tied" else -0.03 - 0.08 * t.age) * away + lock
    temple = 0.93 * t.half_width
    widths = []
    for side, free in zip((-1, 1), t.tucked, strict=True):
        if free:
            ear = smooth_step(v, -0.24, -0.10) if t.style != "short" else smooth_step(v, -0.16, 0.02)
            back = smooth_step(v, 0.34, 0.62) if t.style in FALLING else 0.0
            width = temple + (0.24 - 0.10 * side * np.sin(t.yaw)) * ear * (1 - back) - 0.02 * back
        else:
            width = temple * (0.97 - 0.13 * t.volume * np.sin(np.clip((v + 0.25) / 0.9, 0, 1) * np.pi)) + 0 * v
        drape = smooth_step(v, 0.75, 1.1) if t.style in FALLING else 0.0
        widths.append(width - 0.20 * (1 - t.volume) * drape + 0.03 * t.wave * np.sin(6 * v + 4 * t.part * side))
    half = np.where(u < 0, widths[0], widths[1])
    across, up = np.abs(u) / half, np.clip((v - 0.1) / (hairline - 0.1), 0, None)
    radius = squircle(across, up, 1.0 if t.fringe == "straight" else 0.45)
    return (radius - 1) * 0.5 + (lock if t.style in FALLING else 0.3 * lock)


def strands(head: Head, outline: Array, opening: Array) -> Array:
    """Colour of the hair: strands along the outline or down from the part, a band of gleam, dark in the depth."""
    t = head.traits
    random = head.texture("hair")
    fine, broad = Grain(random, (23, 47, 71, 113)), Grain(random, (5, 9, 14))
    bend = noise(random, head, 7)
    if t.style in FALLING or t.style == "tied":
        along = np.clip(outline, -0.9, 0) if t.fringe == "none" else np.clip(outline, -0.9, 0) * 0.6 + 0.35 * opening
        s = 1.15 * along + 0.012 * bend + 0.02 * t.wave * np.sin(11 * head.y + 1.2 * bend)
    else:
        s = 0.32 * np.arctan2(head.x - 0.5 * t.part, 1.0 + head.y) + 0.02 * bend
    if t.style == "curly":
        curls = 1 - np.abs(noise(random, head, 30)) - 0.4 * np.abs(noise(random, head, 55))  # ridges wind like curls
        value: Array = 0.92 + 0.24 * np.clip(curls, -1, 1)
    elif t.style == "buzz":
        value = 1 + 0.10 * noise(random, head, 80)
    else:
        value = 1 + 0.10 * fine(s) + 0.06 * broad(s)
    lamp = t.light
    radius = np.clip(1 + outline / 0.75, 0, 1)  # 0 deep inside, 1 at the silhouette
    facing = 0.78 + 0.42 * (np.clip(head.x, -0.8, 0.8) * lamp[0] + np.clip(head.y + 0.1, -0.8, 0.5) * lamp[1])
    edge = 1 - 0.30 * smooth_step(radius, 0.75, 1.05)
    depth = 1 - 0.50 * smooth_step(opening, 0.14, -0.01)  # shadow where hair meets the face
    low = 1 - 0.35 * smooth_step(head.y, 0.2, 1.0)
    band = -0.62 + 0.30 * lamp[1] + 0.45 * head.x**2 + 0.05 * bend
    gleam = np.exp(-(((head.y - band) / 0.085) ** 2)) * (0.55 + 0.45 * np.clip(fine(s), -1, 1.5))
    gleam *= np.clip(1 + 1.2 * head.x * lamp[0], 0.2, 1.6) * (0.3 if t.style in ("curly", "buzz") else 1.0)
    shine = 0.26 * (0.35 + sum(t.hair) / 3)
    tone = np.clip(t.ambient + 0.62 * facing, 0.3, 1.35) * value * edge * depth * low
    base = np.asarray(t.hair, np.float32)[:, None, None]
    return base * tone + shine * gleam * (0.5 * base + 0.5)


def paint_back_hair(head: Head, hair: Hair) -> None:
    """What lies behind neck and shoulders, darker."""
    head.paint(hair.outline, hair.colour * 0.62, HAIR)


def paint_front_hair(head: Head, hair: Hair) -> None:
    """Hair over the head, with its shadow on the skin."""
    shadow = smooth_step(hair.opening, -0.11, 0.0) * 0.34 * (head.label != 0)
    if head.traits.style != "buzz":
        head.darken(1 - shadow)
    front = np.maximum(hair.outline, -hair.opening)
    if head.traits.style == "buzz":
        head.paint(front, hair.colour, HAIR, opacity=0.8, softness=0.05)
    else:
        head.paint(front, hair.colour, HAIR)


def paint_hat(head: Head) -> None:
    """A knitted beanie, a cap with a peak, or a felt hat with a brim."""
    t = head.traits
    if t.hat == "none":
        return
    random = head.texture("hat")
    x, y = head.x, head.y
    wide = t.half_width + (0.16 if t.style in (*FALLING, "short") else 0.08)
    base = np.asarray(t.hat_colour, np.float32)[:, None, None]
    lamp = np.clip(t.ambient + 0.55 + 0.6 * (x * t.light[0] + (y + 0.7) * t.light[1]) - 0.5 * (x / wide) ** 4, 0.2, 1.3)
    weave = 1 + 0.03 * noise(random, head, 60)
    line = -0.40 + 0.10 * (x / wide) ** 2  # lower edge
    dome = np.maximum(ellipse(x, y + 0.38, wide, 0.66), y - line)
    head.darken(1 - 0.30 * smooth_step(y - line, 0.16, 0.0) * (head.egg < 1) * (y > line))
    if t.hat == "beanie":
        ribs = 1 + 0.13 * np.sin(x / np.sqrt(np.clip(1.1 - (x / wide) ** 2, 0.1, 1)) * 55)
        head.paint(dome, base * lamp * weave * ribs, HAT)
        cuff = rounded_box(x, y - line + 0.10, wide + 0.015, 0.11, 0.04)
        head.paint(cuff, base * 0.88 * lamp * ribs, HAT)
        head.paint(np.abs(y - line + 0.21) - 0.006, base * 0.5, opacity=0.6 * (np.abs(x) < wide), softness=0.02)
    elif t.hat == "cap":
        seams = np.minimum(np.abs(x), np.abs(np.abs(x) - 0.34 * np.sqrt(np.clip(1 - ((y + 0.38) / 0.66) ** 2, 0, 1))))
        head.paint(dome, base * lamp * weave * (1 - 0.25 * smooth_step(seams, 0.012, 0.0)), HAT)
        turn = x - 0.5 * np.sin(t.yaw)
        peak = ellipse(turn, y - line - 0.045 + 0.22 * turn**2, 0.94 * wide, 0.13)
        sheen = 0.75 + 0.5 * smooth_step(y - line, 0.06, -0.08)
        head.paint(peak, base * 0.85 * lamp * sheen, HAT)
    else:
        head.paint(dome, base * lamp * weave * (1 - 0.2 * np.exp(-((x / 0.12) ** 2)) * (y < -0.75)), HAT)
        band = np.maximum(np.maximum(np.abs(y - line + 0.10) - 0.07, np.abs(x) - wide), dome)
        head.paint(band, base * 0.35 * lamp, HAT)
        brim = ellipse(x, y - line + 0.16 * x**2 - 0.01, wide + 0.30, 0.085)
        head.paint(brim, base * lamp * (0.75 + 0.35 * smooth_step(y - line, 0.07, -0.05)) * weave, HAT)
