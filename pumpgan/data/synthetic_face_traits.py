"""What a synthetic person looks like: every choice behind a portrait, drawn at the class frequencies of CelebAMask-HQ.

Frequencies: Lee et al. 2020, arXiv:1907.11922, counted at 64 pixels. Painting is elsewhere (`synthetic_face`).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Rgb = tuple[float, float, float]

SKIN_TONES = np.array(
    [
        [0.97, 0.83, 0.74],
        [0.94, 0.76, 0.64],
        [0.86, 0.65, 0.50],
        [0.74, 0.52, 0.37],
        [0.56, 0.37, 0.25],
        [0.38, 0.24, 0.17],
    ]
)
HAIR_COLOURS: dict[str, Rgb] = {
    "black": (0.10, 0.08, 0.08),
    "dark brown": (0.22, 0.14, 0.10),
    "brown": (0.37, 0.24, 0.15),
    "auburn": (0.47, 0.22, 0.12),
    "dark blond": (0.60, 0.44, 0.26),
    "blond": (0.84, 0.68, 0.42),
    "platinum": (0.92, 0.85, 0.68),
    "grey": (0.62, 0.60, 0.58),
    "pink": (0.86, 0.45, 0.60),
}
HAIR_CHANCES = {  # in the order of HAIR_COLOURS, for light and for dark skin
    "light": [0.10, 0.20, 0.21, 0.09, 0.14, 0.15, 0.05, 0.05, 0.01],
    "dark": [0.58, 0.26, 0.07, 0.02, 0.01, 0.02, 0.00, 0.04, 0.00],
}
IRIS_COLOURS: list[Rgb] = [
    (0.28, 0.17, 0.09),
    (0.42, 0.27, 0.13),
    (0.36, 0.42, 0.22),
    (0.30, 0.48, 0.64),
    (0.45, 0.52, 0.56),
]
METALS: list[Rgb] = [(0.93, 0.76, 0.34), (0.82, 0.83, 0.87), (0.86, 0.58, 0.46)]
GEMS: list[Rgb] = [(0.95, 0.95, 0.93), (0.75, 0.08, 0.15), (0.10, 0.45, 0.75), (0.10, 0.62, 0.42), (0.12, 0.12, 0.14)]


@dataclass(frozen=True)
class Traits:
    """Everything about one portrait that is not texture. Lengths in units of half the frame, angles in radians.

    Pairs are (viewer's left, viewer's right). Colours are RGB in [0, 1].
    """

    seed: tuple[int, int]  # of the textures
    # pose and light
    yaw: float  # > 0: the face turns to the viewer's right
    pitch: float
    roll: float
    scale: float
    light: tuple[float, float, float]  # unit vector towards the lamp: right, down, out of the picture
    ambient: float
    warmth: float
    # head
    half_width: float
    crown: float
    chin: float
    taper: float
    squareness: float
    skin: Rgb
    blush: float
    gloss: float
    # features
    eye_distance: float
    eye_width: float
    eye_openness: float
    eye_tilt: float
    iris: Rgb
    gaze: tuple[float, float]
    eye_shadow: float
    lashes: float
    brow_thickness: float
    brow_arch: float
    brow_raise: float
    nose_width: float
    nose_length: float
    mouth_width: float
    smile: float
    mouth_gap: float
    lip_fullness: float
    lipstick: float
    lip_colour: Rgb
    beard: str  # none, stubble, moustache, goatee, full
    freckles: bool
    age: float
    # hair
    style: str  # bald, buzz, short, tied, bob, long, curly
    hair: Rgb
    hairline: float
    part: float
    fringe: str  # none, straight, swept
    volume: float
    length: float
    wave: float
    tucked: tuple[bool, bool]  # the ear is free
    # things worn
    glasses: str  # none, round, square, sun
    frame: Rgb
    hat: str  # none, beanie, cap, brim
    hat_colour: Rgb
    earrings: tuple[bool, bool]
    earring: str  # stud, hoop, drop, chain
    earring_size: float
    metal: Rgb
    gem: Rgb
    clothes: str  # round, v, collar, turtle
    cloth: Rgb
    # background
    backdrop: str  # gradient, blobs, lights, wall
    backdrop_colours: tuple[Rgb, Rgb]


def draw_traits(seed: int, index: int) -> Traits:
    """The person behind (seed, index)."""
    if seed < 0 or index < 0:
        raise ValueError(f"synthetic face: seed and index must not be negative, got seed {seed}, index {index}")
    random = np.random.Generator(np.random.PCG64([seed, index, 0]))
    chance = lambda p: bool(random.random() < p)  # noqa: E731
    between = lambda low, high: float(random.uniform(low, high))  # noqa: E731
    about = lambda mean, spread: float(mean + spread * np.clip(random.standard_normal(), -2, 2))  # noqa: E731

    feminine, tone, age = chance(0.63), float(random.beta(1.1, 1.9)), float(random.beta(1.3, 2.2))
    skin = np.stack([np.interp(tone * 5, range(6), SKIN_TONES[:, c]) for c in range(3)]) * random.uniform(0.96, 1.03, 3)
    style = pick(
        random,
        {"long": 0.54, "bob": 0.17, "tied": 0.16, "curly": 0.11, "short": 0.02}
        if feminine
        else {"short": 0.70, "buzz": 0.12, "bald": 0.07, "bob": 0.04, "long": 0.04, "curly": 0.03},
    )
    hair_name = pick(random, dict(zip(HAIR_COLOURS, HAIR_CHANCES["dark" if tone > 0.55 else "light"], strict=True)))
    if age > 0.7 and chance(0.5):
        hair_name = "grey"
    hat = pick(random, {"beanie": 0.4, "cap": 0.3, "brim": 0.3}) if chance(0.05) else "none"
    free = {"bald": 1.0, "buzz": 1.0, "short": 0.88, "tied": 0.97, "bob": 0.16, "long": 0.22, "curly": 0.2}[style]
    both = chance(free)
    tucked = (both or chance(0.10), both or chance(0.10))
    glasses = pick(random, {"round": 0.35, "square": 0.40, "sun": 0.25}) if chance(0.05) else "none"
    wears = any(tucked) and chance(0.97 if feminine else 0.16)
    both_rings = chance(0.85)
    smile = float(np.clip(random.normal(0.45, 0.45), -0.4, 1.2))
    light = np.array([random.normal(0, 0.75), random.uniform(-0.9, 0.0), random.uniform(0.7, 1.2)])
    light /= np.linalg.norm(light)
    return Traits(
        seed=(seed, index),
        yaw=float(np.clip(random.normal(0, 0.16), -0.38, 0.38)),
        pitch=about(0, 0.035),
        roll=about(0, 0.035),
        scale=about(1.05, 0.03),
        light=(float(light[0]), float(light[1]), float(light[2])),
        ambient=between(0.36, 0.62),
        warmth=about(0.02, 0.03),
        half_width=about(0.545 if feminine else 0.565, 0.018),
        crown=about(-0.80, 0.03),
        chin=about(0.79 if feminine else 0.83, 0.025),
        taper=about(0.25 if feminine else 0.18, 0.06),
        squareness=about(0.18 if feminine else 0.36, 0.08),
        skin=rgb(skin),
        blush=between(0.1, 0.9) if feminine else between(0, 0.4),
        gloss=between(0.05, 0.32),
        eye_distance=about(0.262, 0.010),
        eye_width=about(0.112, 0.008),
        eye_openness=about(0.046 if feminine else 0.040, 0.006) * (1 - 0.2 * max(smile - 0.5, 0)),
        eye_tilt=about(0.06, 0.08),
        iris=IRIS_COLOURS[int(random.integers(2)) if tone > 0.5 else int(random.integers(5))],
        gaze=(about(0, 0.014), about(0, 0.006)),
        eye_shadow=between(0.1, 0.7) if feminine and chance(0.6) else 0.0,
        lashes=between(0.6, 1.0) if feminine else between(0.15, 0.4),
        brow_thickness=about(0.033 if feminine else 0.040, 0.005),
        brow_arch=about(0.045 if feminine else 0.025, 0.012),
        brow_raise=about(0.0, 0.014),
        nose_width=about(0.115 if feminine else 0.13, 0.012) * (1 + 0.15 * tone),
        nose_length=about(0.315, 0.018),
        mouth_width=about(0.200, 0.012) + 0.045 * max(smile, 0),
        smile=smile,
        mouth_gap=between(0.02, 0.085) if chance(0.25 + 0.5 * (smile > 0.45)) else 0.0,
        lip_fullness=about(1.12 if feminine else 0.88, 0.14) * (1 + 0.15 * tone),
        lipstick=between(0.35, 0.95) if feminine and chance(0.6) else 0.0,
        lip_colour=rgb(np.array([0.72, 0.14, 0.2]) + random.uniform([-0.2, -0.06, -0.05], [0.15, 0.22, 0.22])),
        beard="none"
        if feminine
        else pick(random, {"none": 0.42, "stubble": 0.28, "moustache": 0.06, "goatee": 0.1, "full": 0.14}),
        freckles=tone < 0.35 and chance(0.15),
        age=age,
        style=style,
        hair=rgb(np.array(HAIR_COLOURS[hair_name]) * random.uniform(0.85, 1.15) + random.uniform(-0.02, 0.02, 3)),
        hairline=about(-0.56, 0.035) - (0.1 * age if not feminine else 0.0),
        part=float(random.choice([-1, 1])) * between(0, 0.28),
        fringe=pick(
            random,
            {"none": 0.58, "straight": 0.17, "swept": 0.25}
            if feminine
            else {"none": 0.66, "straight": 0.1, "swept": 0.24},
        ),
        volume=between(0.0, 1.0),
        length=between(0.95, 2.0),
        wave=float(random.beta(1, 1.6)),
        tucked=tucked,
        glasses=glasses,
        frame=rgb(
            np.array(pick_of(random, [(0.08, 0.07, 0.07), (0.32, 0.18, 0.1), (0.6, 0.5, 0.35), (0.5, 0.1, 0.12)]))
        ),
        hat=hat,
        hat_colour=rgb(random.uniform(0.08, 0.85, 3)),
        earrings=(wears and tucked[0] and (both_rings or not tucked[1]), wears and tucked[1]),
        earring=pick(random, {"stud": 0.36, "hoop": 0.25, "drop": 0.26, "chain": 0.13}),
        earring_size=between(0.75, 1.35),
        metal=pick_of(random, METALS),
        gem=pick_of(random, GEMS),
        clothes=pick(random, {"round": 0.4, "v": 0.3, "collar": 0.2, "turtle": 0.1}),
        cloth=rgb(random.uniform(0.05, 0.9, 3) if chance(0.5) else np.full(3, random.uniform(0.06, 0.9))),
        backdrop=pick(random, {"gradient": 0.3, "blobs": 0.35, "lights": 0.2, "wall": 0.15}),
        backdrop_colours=backdrop_colours(random),
    )


def backdrop_colours(random: np.random.Generator) -> tuple[Rgb, Rgb]:
    """Two shades of one hue, or two hues; dull ones more often than bright ones."""
    value, saturation = random.uniform(0.08, 0.95), random.beta(1.2, 2)
    hue = random.uniform(0, 1, 3)
    first = value * (1 - saturation * hue)
    second = np.clip(first * random.uniform(0.45, 1.5) + random.uniform(-0.12, 0.12, 3), 0, 1)
    return rgb(first), rgb(second)


def pick(random: np.random.Generator, chances: dict[str, float]) -> str:
    """One of the names, by their chances (sum 1)."""
    return str(random.choice(list(chances), p=list(chances.values())))


def pick_of(random: np.random.Generator, colours: list[Rgb]) -> Rgb:
    return colours[int(random.integers(len(colours)))]


def rgb(values: NDArray[np.floating]) -> Rgb:
    """Three floats, clipped to [0.01, 1]: a colour that light can still change."""
    red, green, blue = (float(v) for v in np.clip(values, 0.01, 1))
    return red, green, blue
