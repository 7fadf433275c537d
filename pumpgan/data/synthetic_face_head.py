"""The head of a synthetic portrait: its coordinates and light, neck, ears, skin, eyes, brows, nose, mouth, beard."""

import numpy as np

from pumpgan.data.canvas import Array, Canvas, bell, ellipse, noise, segment, smooth_step, squircle
from pumpgan.data.synthetic_face_traits import Rgb, Traits

SKIN, NOSE, EYES, BROWS, EARS, MOUTH, HAIR, HAT, EYEGLASS, EARRING = range(1, 11)  # the ids of FACE_CLASSES
EGG_CENTRE = -0.05  # height of the widest place of the head
EYE_HEIGHT, NOSE_TOP, MOUTH_HEIGHT = -0.05, -0.04, 0.49
SIDES = (-1, 1)  # the viewer's left and right
TEXTURES = ("grain", "background", "cloth", "skin", "hair", "edge", "hat", "beard")  # each has draws of its own


class Head(Canvas):
    """A canvas that knows one person. x, y move with the head; u, v lie on the turned face and place its features."""

    def __init__(self, traits: Traits, size: int, samples: int) -> None:
        super().__init__(size, samples)
        self.traits = traits
        turn, away = np.sin(traits.yaw), -0.55 * np.sin(traits.yaw) * traits.half_width
        cos, sin = np.cos(traits.roll) / traits.scale, np.sin(traits.roll) / traits.scale
        shifted = self.frame_x - np.float32(away)
        self.x = (shifted * cos + self.frame_y * sin).astype(np.float32)
        self.y = (self.frame_y * cos - shifted * sin).astype(np.float32)
        self.egg = self.egg_radius()
        depth = face_depth(self.x / np.float32(traits.half_width))
        self.u: Array = (self.x * np.cos(traits.yaw) - 0.9 * traits.half_width * depth * turn).astype(np.float32)
        self.v: Array = (self.y + traits.pitch * depth).astype(np.float32)
        self.light: Array = np.ones((3, *self.x.shape), np.float32)
        self.gleam: Array = np.zeros(self.x.shape, np.float32)

    def egg_radius(self) -> Array:
        """0 in the middle of the head, 1 on its outline: round above, tapered below."""
        t = self.traits
        down = (self.y - EGG_CENTRE) / (t.chin - EGG_CENTRE)
        up = (EGG_CENTRE - self.y) / (EGG_CENTRE - t.crown)
        narrow = t.half_width * (1 - t.taper * smooth_step(down, 0.1, 1.15))
        return squircle(np.abs(self.x) / narrow, np.maximum(down, up), t.squareness)

    def texture(self, name: str) -> np.random.Generator:
        """Draws for one kind of texture, whatever else is painted."""
        return np.random.Generator(np.random.PCG64([*self.traits.seed, 1 + TEXTURES.index(name)]))

    def around(self, u: float, v: float, half_width: float, half_height: float) -> "Head":
        """The window around a place on the face, wide enough whatever the pose."""
        t = self.traits
        depth = float(face_depth(np.array(u / t.half_width)))
        x = (u + 0.9 * t.half_width * depth * np.sin(t.yaw)) * t.scale - 0.55 * np.sin(t.yaw) * t.half_width
        reach = abs(t.roll) + 0.07
        return self.window(
            x - half_width - reach, v - half_height - reach, x + half_width + reach, v + half_height + reach
        )

    def lit(self, colour: Rgb | tuple[float, ...], shine: float = 0.0) -> Array:
        """A colour [3, H, W] under the light of the face; `shine` adds the gleam."""
        flat = np.asarray(colour, np.float32)[:, None, None]
        return flat * self.light + np.float32(shine) * self.gleam if shine else flat * self.light


def face_depth(across: Array) -> Array:
    """How far the face stands out, 1 in its middle; a parabola, so that the sides of a turned face stay smooth."""
    return np.clip(1 - 0.8 * across * across, 0.05, 1)


def shade(head: Head) -> None:
    """Light on the face: a lamp, ambient light and gleam over the slope of a height field."""
    t = head.traits
    height = 0.62 * t.half_width * np.sqrt(np.clip(1.02 - head.egg**2, 0.004, None))
    part = head.around(0.0, 0.1, 0.62, 0.75)
    rows, columns = extent(head, part)
    u, v, side = part.u, part.v, np.abs(part.u)
    tip = NOSE_TOP + t.nose_length
    ridge = (
        0.075 * np.exp(-0.5 * (u / 0.046) ** 2) * smooth_step(v, NOSE_TOP - 0.14, tip) * smooth_step(v, tip + 0.09, tip)
    )
    relief = (
        ridge
        + 0.055 * bell(u, v - tip + 0.03, 0.062, 0.055)
        + 0.026 * bell(side - 0.6 * t.nose_width, v - tip, 0.040, 0.045)
        - 0.060 * bell(side - t.eye_distance, v - EYE_HEIGHT, 0.125, 0.068)
        + 0.032 * bell(side - t.eye_distance, v - EYE_HEIGHT, 0.075, 0.045)
        + 0.030 * bell(side - 0.22, v + 0.20, 0.14, 0.045)
        + 0.034 * bell(side - 0.31, v - 0.17, 0.13, 0.12)
        + 0.030 * bell(u, v - MOUTH_HEIGHT, 0.20, 0.12)
        - 0.012 * bell(u, v - MOUTH_HEIGHT + 0.10, 0.022, 0.04)
        - 0.020 * bell(u, v - MOUTH_HEIGHT - 0.115, 0.11, 0.03)
        + 0.034 * bell(u, v - t.chin + 0.10, 0.12, 0.07)
        - (0.006 + 0.012 * max(t.smile, 0) + 0.012 * t.age)
        * np.exp(-0.5 * ((side - 0.145 - 0.42 * np.clip(v - tip + 0.05, 0, 1)) / 0.028) ** 2)
        * smooth_step(v, tip - 0.06, tip + 0.03)
        * smooth_step(v, 0.56, 0.42)
    )
    height[rows, columns] += relief
    slope_y, slope_x = np.gradient(height, head.step)
    # seen in relief: the egg falls away steeply at its edge, so slopes are softened before they meet the lamp
    length = np.sqrt(1 + slope_x**2 + slope_y**2)
    lamp = np.asarray(t.light, np.float32)
    facing = (lamp[2] - slope_x * lamp[0] - slope_y * lamp[1]) / length
    soft = np.clip((facing + 0.12) / 1.12, 0, 1.2)
    warm = np.array([1 + t.warmth, 1.0, 1 - t.warmth], np.float32)
    half_shadow = soft * (1 - soft)
    for c, scattered in enumerate((0.16, 0.0, -0.08)):  # light scattered under the skin reddens the edge of shadows
        head.light[c] = (t.ambient + (1.06 - t.ambient) * (soft + scattered * half_shadow)) * warm[c]
    halfway = lamp + np.array([0, 0, 1], np.float32)
    halfway /= np.linalg.norm(halfway)
    mirror = np.clip((halfway[2] - slope_x * halfway[0] - slope_y * halfway[1]) / length, 0, 1)
    mirror *= mirror * mirror  # to the 24th power
    mirror *= mirror
    mirror *= mirror
    head.gleam[:] = mirror * mirror


def extent(head: Head, part: Head) -> tuple[slice, slice]:
    """Where a window lies in the whole picture."""
    top = int(np.searchsorted(head.frame_y[:, 0], part.frame_y[0, 0]))
    left = int(np.searchsorted(head.frame_x[0], part.frame_x[0, 0]))
    return slice(top, top + part.x.shape[0]), slice(left, left + part.x.shape[1])


def paint_neck(head: Head) -> None:
    """Neck in the shadow of the jaw; background to the label."""
    t = head.traits
    part = head.window(-0.75, 0.25, 0.75, 1.0)
    half = 0.80 * t.half_width * (1 - 0.3 * t.taper) + 0.10 * smooth_step(part.y, 0.8, 1.1)
    around = np.clip(part.x / half, -1, 1)
    lamp = 0.75 + 0.35 * np.clip(0.6 * t.light[2] + around * t.light[0] - 0.5 * around**2, -0.9, 0.8)
    under_jaw = 1 - 0.42 * smooth_step(part.y, t.chin + 0.28, t.chin - 0.10)
    cords = 1 + 0.05 * np.exp(-(((np.abs(part.x) - 0.22 + 0.18 * (part.y - 0.7)) / 0.035) ** 2))
    skin = np.asarray(t.skin, np.float32)[:, None, None] * (lamp * under_jaw * cords)
    skin *= np.array([1, 0.96, 0.93], np.float32)[:, None, None]
    part.paint(np.maximum(np.abs(part.x) - half, 0.35 - part.y), skin, 0)


def paint_ears(head: Head) -> None:
    """Both ears, the far one mostly behind the head."""
    t = head.traits
    for side in SIDES:
        out = t.half_width + 0.018 - 0.16 * side * np.sin(t.yaw)
        part = head.window(side * out - 0.25 - 0.2, -0.35, side * out + 0.25 + 0.2, 0.55)
        x, y = side * part.x - out, part.y - 0.10 - 0.3 * t.pitch
        x = x + 0.10 * (y + 0.1)  # the top leans outward
        outline = ellipse(x, y + 0.2 * x, 0.070, 0.170)
        lamp = t.ambient + (1 - t.ambient) * (0.62 + 0.38 * np.clip(side * t.light[0] * 1.4, -1, 1))
        skin = np.asarray(t.skin, np.float32) * np.array([1.0, 0.90, 0.87], np.float32) * lamp
        part.paint(outline, skin, EARS)
        part.paint(ellipse(x + 0.012, y + 0.03, 0.046, 0.115), skin * 0.68, softness=0.03, opacity=0.75)
        part.paint(np.abs(ellipse(x + 0.004, y + 0.02, 0.055, 0.14)) - 0.008, skin * 1.12, softness=0.02, opacity=0.7)
        part.paint(ellipse(x + 0.035, y - 0.03, 0.025, 0.045), skin * 0.5, softness=0.03, opacity=0.6)


def paint_skin(head: Head) -> None:
    """Face and forehead with blush, freckles and the lines of age."""
    t = head.traits
    part = head.around(0.0, 0.0, 0.72, 0.95)
    u, v, side = part.u, part.v, np.abs(part.u)
    tone = np.asarray(t.skin, np.float32)[:, None, None]
    red = 0.10 * t.blush * bell(side - 0.29, v - 0.20, 0.10, 0.09) + 0.05 * bell(u, v - 0.25, 0.09, 0.07)
    mottle = 0.012 * noise(part.texture("skin"), part, 14)
    albedo = tone * (1 + mottle + red * np.array([0.3, -1.1, -0.9], np.float32)[:, None, None])
    if t.freckles:
        spots = smooth_step(noise(part.texture("skin"), part, 70), 1.2, 1.7) * bell(u, v - 0.17, 0.33, 0.13)
        albedo *= 1 - spots * np.array([0.13, 0.24, 0.30], np.float32)[:, None, None]
    if t.age > 0.35:
        folds = np.sin((v + 0.06 * u * u) * 62) ** 8 * bell(u, v + 0.38, 0.24, 0.09)
        bags = bell(side - t.eye_distance, v - EYE_HEIGHT - 0.085, 0.09, 0.014)
        albedo *= 1 - (t.age - 0.2) * (0.10 * folds + 0.22 * bags)
    part.paint((part.egg - 1) * 0.5, albedo * part.light + 0.9 * t.gloss * part.gleam, SKIN)


def paint_eyes(head: Head) -> None:
    """Socket, lids, white, iris, pupil, a spark of the lamp, lashes."""
    t = head.traits
    for side in SIDES:
        part = head.around(side * t.eye_distance, EYE_HEIGHT, 0.26, 0.18)
        out, v = side * part.u - t.eye_distance, part.v - EYE_HEIGHT  # out: towards the temple
        v = v + t.eye_tilt * out
        w, open_ = t.eye_width, t.eye_openness
        arch = np.clip(1 - (out / w) ** 2, 0, 1)
        beyond = np.abs(out) - w
        upper = -1.12 * open_ * arch * (1 - 0.25 * out / w)
        lower = 0.72 * open_ * arch * (1 + 0.25 * out / w)
        inside = np.maximum(np.maximum(upper - v, v - lower) * 0.85, beyond)
        lid = v - upper
        if t.eye_shadow:
            tint = np.array([0.42, 0.30, 0.34], np.float32)
            reach = smooth_step(lid, -0.13, -0.01) * smooth_step(lid, 0.02, -0.01) * smooth_step(beyond, 0.05, -0.05)
            part.blend(0.55 * t.eye_shadow * reach, part.lit((0.5 * tint[0], 0.5 * tint[1], 0.5 * tint[2])))
        crease = np.abs(lid + 0.036 + 0.010 * (out / w) ** 2) - 0.006
        part.paint(np.maximum(crease, beyond), part.lit(darker(t.skin, 0.55)), opacity=0.5, softness=0.014)
        white = np.array([0.93, 0.91, 0.90], np.float32)[:, None, None]
        cover = 0.72 + 0.28 * smooth_step(lid, 0.0, 0.03)  # the lid's shadow
        part.paint(inside, white * np.clip(part.light, 0.45, 1.0) * cover * (1 - 1.6 * out * out / w), EYES)
        part.paint(
            np.maximum(ellipse(out + w - 0.012, v, 0.016, 0.016), inside), part.lit((0.80, 0.50, 0.46)), softness=0.012
        )
        ball_u, ball_v = part.u - side * (t.eye_distance + 0.011) - t.gaze[0], v + 0.006 - t.gaze[1]
        reach = np.sqrt(ball_u**2 + ball_v**2)
        radius = 0.050
        rays = 0.85 + 0.55 * smooth_step(reach, 0.018, 0.036) + 0.25 * np.clip(ball_v / radius, -0.6, 1)
        rim = 1 - 0.65 * smooth_step(reach, radius - 0.012, radius)
        iris = np.asarray(t.iris, np.float32)[:, None, None] * (rays * rim * cover)
        part.paint(np.maximum(reach - radius, inside), iris)
        part.paint(np.maximum(reach - 0.021, inside), (0.02, 0.02, 0.02))
        spark_u, spark_v = ball_u - 0.024 * np.sign(t.light[0]), ball_v + 0.018
        part.paint(np.maximum(ellipse(spark_u, spark_v, 0.0125, 0.0125), inside - 0.005), (0.98, 0.98, 1.0))
        line = np.abs(v - upper) - (0.006 + 0.009 * t.lashes) * (0.75 + 0.5 * np.clip(out / w, -1, 1))
        part.paint(np.maximum(line, np.abs(out + 0.004) - w - 0.012 * t.lashes), (0.07, 0.05, 0.05), opacity=0.92)
        below = np.maximum(np.abs(v - lower) - 0.005, np.abs(out) - 0.95 * w)
        part.paint(below, part.lit(darker(t.skin, 0.5)), opacity=0.35 + 0.3 * t.lashes, softness=0.012)
        if t.lashes > 0.6:
            wing = segment(out, v, (0.9 * w, -0.2 * open_), (w + 0.04 * t.lashes, -0.045 * t.lashes)) - 0.005
            part.paint(wing, (0.07, 0.05, 0.05), opacity=0.85)


def paint_brows(head: Head) -> None:
    """Tapered arcs of strokes in the colour of the hair."""
    t = head.traits
    colour = tuple(0.62 * c + 0.03 for c in t.hair) if sum(t.hair) < 1.8 else tuple(0.55 * c for c in t.hair)
    for side in SIDES:
        part = head.around(side * 0.27, -0.2, 0.26, 0.14)
        out, v = side * part.u, part.v
        along = np.clip((out - 0.105) / 0.315, 0, 1)  # nose to temple
        middle = -0.178 - t.brow_raise - t.brow_arch * np.sin(np.pi * along**1.25) * 1.3 + 0.028 * (along - 0.4)
        half = t.brow_thickness * (1.1 - 0.75 * along**1.6) * smooth_step(along, -0.05, 0.12)
        distance = np.maximum(np.abs(v - middle) - half, np.abs(out - 0.2625) - 0.1575)
        strokes = 0.92 + 0.08 * np.sin(170 * out + 260 * (v - middle))
        shape = np.asarray(colour, np.float32)[:, None, None] * strokes * np.clip(part.light, 0.5, 1.1)
        part.paint(distance, shape, BROWS, opacity=0.88, softness=0.018)


def paint_nose(head: Head) -> None:
    """Nostrils and the shadows of the wings; its relief is already in the light. The label is a rounded wedge."""
    t = head.traits
    part = head.around(0.0, 0.15, 0.25, 0.32)
    side, tip = np.abs(part.u), NOSE_TOP + t.nose_length
    bottom = tip + 0.055
    down = np.clip((part.v - NOSE_TOP + 0.03) / (bottom - NOSE_TOP + 0.03), 0, 1)
    half = 0.050 + (t.nose_width - 0.05) * smooth_step(down, 0.35, 0.86) + 0.01
    half = half * np.sqrt(np.clip(1.0 - ((down - 0.86) / 0.14).clip(0, 1) ** 2 * 0.75, 0, 1))
    distance = np.maximum(side - half, np.abs(part.v - (NOSE_TOP - 0.03 + bottom) / 2) - (bottom - NOSE_TOP + 0.03) / 2)
    part.label[distance < 0] = NOSE
    shadow = part.lit(darker(t.skin, 0.45))
    part.paint(
        np.abs(ellipse(part.u, part.v - tip - 0.01, t.nose_width, 0.06)) - 0.006,
        shadow,
        softness=0.03,
        opacity=0.45 * smooth_step(side, 0.5 * t.nose_width, t.nose_width),
    )
    part.paint(
        ellipse(part.u, part.v - bottom + 0.002, 0.6 * t.nose_width, 0.014), shadow, softness=0.035, opacity=0.55
    )
    nostril = ellipse(
        side - 0.50 * t.nose_width, part.v - tip - 0.038 + 0.25 * (side - 0.5 * t.nose_width), 0.030, 0.0125
    )
    part.paint(nostril, part.lit(darker(t.skin, 0.22)), softness=0.014, opacity=0.9)


def paint_beard(head: Head) -> None:
    """Hair on cheeks, chin and lip; to the label it is skin."""
    t = head.traits
    if t.beard == "none":
        return
    part = head.around(0.0, 0.4, 0.62, 0.6)
    u, v, side = part.u, part.v, np.abs(part.u)
    tip = NOSE_TOP + t.nose_length
    moustache = np.abs(v - (tip + 0.115 + 0.55 * side**2)) - 0.036 * (1 - smooth_step(side, 0.10, 0.24))
    moustache = np.maximum(moustache, side - 0.22)
    chin = np.maximum(ellipse(u, v - t.chin + 0.06, 0.17, 0.19), -ellipse(u, v - MOUTH_HEIGHT, 0.13, 0.085))
    jaw = 0.62 - 0.6 * side - 1.8 * side * side - v  # the cheeks stay free
    jaw = np.maximum(jaw, -ellipse(u, v - MOUTH_HEIGHT, 0.15, 0.09))
    region = {
        "stubble": np.minimum(jaw, moustache),
        "moustache": moustache,
        "goatee": np.minimum(chin, moustache),
        "full": np.minimum(jaw, moustache),
    }[t.beard]
    strokes = noise(part.texture("beard"), part, 90)
    density = smooth_step(-region, -0.05, 0.09) * np.clip(0.88 + 0.06 * strokes, 0, 1) * smooth_step(v, -0.12, 0.06)
    density *= 0.30 if t.beard == "stubble" else 0.92
    dark = np.asarray(t.hair, np.float32)[:, None, None] * (0.72 + 0.07 * strokes)
    part.blend(density * smooth_step(part.egg, 1.0, 0.96), dark * np.clip(part.light, 0.35, 1.1))


def paint_mouth(head: Head) -> None:
    """Two lips with a cupid's bow; between them, if open, teeth over dark."""
    t = head.traits
    part = head.around(0.0, MOUTH_HEIGHT + 0.03, t.mouth_width + 0.08, 0.17)
    across = part.u / t.mouth_width
    arch = np.clip(1 - across**2, 0, 1)
    beyond = np.abs(part.u) - t.mouth_width
    line = MOUTH_HEIGHT + 0.055 * max(t.smile, -0.4) * (arch - 0.5) + 0.006 * np.cos(across * 9) * arch
    bow = 1 + 0.28 * bell(np.abs(across) - 0.24, across * 0, 0.16, 1.0) - 0.10 * np.exp(-((across / 0.1) ** 2))
    top = line - 0.047 * t.lip_fullness * arch**0.8 * bow * (1 - 0.22 * max(t.smile, 0))
    gap = line + t.mouth_gap * arch
    bottom = gap + 0.070 * t.lip_fullness * arch**0.75 * (1 - 0.15 * max(t.smile, 0))
    v = part.v
    whole = np.maximum(np.maximum(top - v, v - bottom), beyond)
    natural = np.asarray(t.skin, np.float32) * np.array([0.90, 0.62, 0.62], np.float32)
    lips = (1 - t.lipstick) * natural + t.lipstick * np.asarray(t.lip_colour, np.float32)
    lower = v > gap
    round_ = np.where(lower, 1.08 - 6.0 * np.clip(v - gap - 0.02, 0, 1), 0.86 + 2.5 * (v - top))
    wet = (0.10 + 0.35 * t.lipstick) * bell(part.u + 0.03 * t.light[0], v - gap - 0.026, 0.055, 0.010)
    creases = 1 + 0.05 * np.sin(part.u * 190)
    part.paint(
        whole, lips[:, None, None] * (np.clip(part.light, 0.4, 1.15) * round_ * creases) + wet, MOUTH, softness=0.012
    )
    corner = ellipse(np.abs(part.u) - t.mouth_width + 0.004, v - line, 0.014, 0.010)
    part.paint(corner, part.lit(darker(t.skin, 0.4)), softness=0.02, opacity=0.6)
    if t.mouth_gap:
        hole = np.maximum(np.maximum(line - v, v - gap), beyond + 0.012)
        part.paint(hole, (0.20, 0.05, 0.06))
        part.paint(np.maximum(hole, ellipse(part.u, v - gap - 0.01, 0.6 * t.mouth_width, 0.035)), (0.62, 0.25, 0.27))
        teeth = np.maximum(hole, v - line - np.minimum(0.8 * t.mouth_gap, 0.055) * arch)
        gaps = 1 - 0.10 * np.exp(-((np.sin(part.u * 68) / 0.22) ** 2))
        edge = (1 - 0.45 * smooth_step(np.abs(across), 0.35, 0.95)) * np.clip(part.light[1], 0.5, 1.0) * gaps
        part.paint(teeth, np.array([0.97, 0.95, 0.90], np.float32)[:, None, None] * edge)
    else:
        part.paint(
            np.maximum(np.abs(v - line) - 0.006, beyond), part.lit(darker(t.skin, 0.25)), opacity=0.8, softness=0.012
        )
    under = bell(part.u, v - bottom.max() - 0.03, 0.10, 0.018)
    part.darken(1 - 0.16 * under)


def darker(colour: Rgb, factor: float) -> Rgb:
    red, green, blue = colour
    return red * factor, green * factor * 0.92, blue * factor * 0.92
