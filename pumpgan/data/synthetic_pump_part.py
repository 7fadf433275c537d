"""The part that synthetic-pump photographs: the body of a gear pump, seen from above, and how it shines.

The body is a height over the plane; lengths and heights are pixels of a full photograph, the origin its middle, x to
the right and y down. How bright a place is follows from its tilt, minus the gradient of the height: metal mirrors a
lamp where its tilt meets the one that points half-way to the lamp, with a spread that is its roughness. Turned faces
are rougher across the tool's marks than along them, which gives them their bright sectors.
"""

from dataclasses import dataclass

import numpy as np

from pumpgan.data.canvas import Array, rounded_box, segment, smooth_step, smooth_union

WIDTH, HEIGHT = 3200, 2224  # of a full photograph
SHAFTS = ((-290.0, 0.0), (290.0, 0.0))
PORTS = ((0.0, -262.0), (0.0, 262.0))
BOLTS = tuple((sx * x, sy * y) for x, y in ((800.0, 330.0), (470.0, 690.0)) for sx in (-1, 1) for sy in (-1, 1))
PINS = ((-640.0, -560.0), (640.0, 560.0))
CHAMBER, SHAFT, PORT, BOLT, PIN = 370.0, 96.0, 84.0, 50.0, 27.0  # radii
SPOT_FACE, PAD = 96.0, 62.0  # radii of the turned rings around bolts and pins
BEVEL = 11.0  # width of a hole's
GROOVE, GROOVE_HALF = 92.0, 17.0  # distance of the sealing groove from the chamber, half its width
RIBS = (  # from, to; in all four quarters
    ((880.0, 380.0), (1180.0, 520.0)),
    ((500.0, 770.0), (600.0, 980.0)),
    ((700.0, 560.0), (1020.0, 840.0)),
    ((170.0, 600.0), (170.0, 980.0)),
)
RIB_HALF = 19.0
LIP = (-62.0, -22.0)  # a raised band along the rim, in distances from the body's outline

MILL = (-120.0, 1450.0, 400.0)  # the middle of the arcs on the face (x, y), and the smallest of their radii
LAMP = (0.64, 0.77)  # the way the first lamp's light goes over the part
LAMPS = ((-0.46, -0.56, 0.95), (0.62, 0.34, 0.50))  # tilt that mirrors it (x, y), strength
DOME, DOME_SPREAD = 0.50, 0.62  # the diffuse light around the lens
FACE, LEFT, RIGHT, SPOT = 0, 1, 2, 3  # what a tool turned, by its centre
MARK_RADII = (1700, 420, 420, 120)  # the furthest radius of each, in pixels
MARK_STARTS = tuple(int(n) for n in np.cumsum((0, *MARK_RADII[:-1])))  # where each begins in a table of marks


@dataclass
class Surface:
    """What there is to shade, arrays [H, W] over a window of the part.

    height: pixels. solid: 1 on metal, 0 in holes and beside the body. turned: 1 where a tool left rings, 0 as cast.
    outward_x, outward_y: the direction away from the rings' centre. mark: position in a table of marks, two a pixel.
    open: share of the light that reaches it. lamplight: share of the first lamp's, the rest is in shadow.
    backdrop: brightness where it is not solid.
    """

    height: Array
    solid: Array
    turned: Array
    outward_x: Array
    outward_y: Array
    mark: np.ndarray
    open: Array
    lamplight: Array
    backdrop: Array


Offset = tuple[Array, Array, Array]  # distance from a point, and how far right and down of it


def offset(x: Array, y: Array) -> Offset:
    return np.sqrt(x * x + y * y), x, y


def closer(first: Offset, second: Offset) -> Offset:
    nearer = first[0] < second[0]
    a, b, c = (np.where(nearer, f, s) for f, s in zip(first, second, strict=True))
    return a, b, c


def mirrored(x: Array, y: Array, point: tuple[float, float]) -> Offset:
    """From the nearest of a point in the lower right quarter and its images left, above and across."""
    return offset(x - np.copysign(np.float32(point[0]), x), y - np.copysign(np.float32(point[1]), y))


def chamber(x: Array, y: Array) -> Array:
    """Distance to the room of the two gears and its ports."""
    return np.minimum(mirrored(x, y, SHAFTS[1])[0] - CHAMBER, mirrored(x, y, PORTS[1])[0] - (PORT + 26))


def sealed(x: Array, y: Array) -> Array:
    """Distance to the two gears' room without its corners: the groove runs along it."""
    left, right = (offset(x - np.float32(sx), y)[0] - CHAMBER for sx, _ in SHAFTS)
    return smooth_union(left, right, 260.0)


def at_bolt(x: Array, y: Array) -> Offset:
    return closer(mirrored(x, y, BOLTS[0]), mirrored(x, y, BOLTS[-1]))


def face(x: Array, y: Array) -> Array:
    """Distance to the machined face, which carries the groove and the bolts."""
    return smooth_union(sealed(x, y) - 190, at_bolt(x, y)[0] - 140, 120.0)


def outside(x: Array, y: Array) -> Array:
    """Distance to the body's outline."""
    return rounded_box(x, y, 1292.0, 1058.0, 210.0)


def bevel(distance: Array, radius: float) -> Array:
    """What a bored hole takes off the height around it."""
    return np.clip(radius + BEVEL - distance, 0, BEVEL) * 0.9


def part(x: Array, y: Array) -> Surface:
    """The part over a window of coordinates, float32 [H, W] each."""
    body, top, room = outside(x, y), face(x, y), chamber(x, y)
    groove = np.abs(sealed(x, y) - GROOVE) - GROOVE_HALF
    bolt, port = at_bolt(x, y), mirrored(x, y, PORTS[1])[0]
    left, right = (offset(x - np.float32(sx), y) for sx, _ in SHAFTS)
    shaft = closer(left, right)
    pin = np.minimum(*(offset(x - np.float32(px), y - np.float32(py))[0] for px, py in PINS))
    quarter = np.abs(x), np.abs(y)
    rib = np.minimum.reduce([segment(*quarter, *ends) for ends in RIBS]) - RIB_HALF

    cast = 34 * smooth_step(rib, 13, -13)
    lip = np.maximum(body - LIP[1], LIP[0] - body)
    cast = np.maximum(cast, 26 * smooth_step(lip, 10, -10)) - 40 * smooth_step(body, -26, 0)
    cast = np.maximum(cast, 46 * smooth_step(pin - PAD, 12, -6))
    height = np.maximum(cast, 52 * smooth_step(top, 20, -4))
    height -= 16 * smooth_step(groove, 3.5, -3.5) + 5 * smooth_step(bolt[0] - SPOT_FACE, 2.5, -2.5)
    height -= np.clip(9 - room, 0, 9) * 0.8 + 110 * smooth_step(room + 14, 5, -9)
    for distance, bore in ((bolt[0], BOLT), (shaft[0], SHAFT), (port, PORT), (pin, PIN)):
        height -= bevel(distance, bore)

    void = np.minimum.reduce([bolt[0] - BOLT, shaft[0] - SHAFT, port - PORT, pin - PIN])
    floor, spot = room < -9, bolt[0] < SPOT_FACE
    cut_last = right[0] < CHAMBER  # the right bore's tool came after the left one's
    tool = np.where(spot, SPOT, np.where(floor, np.where(cut_last, RIGHT, LEFT), FACE))
    radius, away_x, away_y = (
        np.where(spot, at_spot, np.where(floor, np.where(cut_last, at_right, at_left), at_face))
        for at_spot, at_left, at_right, at_face in zip(bolt, left, right, offset(x - MILL[0], y - MILL[1]), strict=True)
    )
    within = np.clip(np.where(tool == FACE, radius - MILL[2], radius), 0, np.asarray(MARK_RADII)[tool] - 1)

    in_room = smooth_step(chamber(x - 52 * LAMP[0], y - 52 * LAMP[1]), 12, -16)
    by_face = smooth_step(face(x - 30 * LAMP[0], y - 30 * LAMP[1]), -14, 10)
    beyond = smooth_step(outside(x - 90 * LAMP[0], y - 90 * LAMP[1]), -60, 60)
    return Surface(
        height=height,
        solid=smooth_step(np.minimum(void, -body), -0.7, 0.7),
        turned=np.maximum(smooth_step(top, 1.0, -3.0), smooth_step(pin - PAD + 5, 1.0, -1.0)),
        outward_x=away_x / (radius + 1e-3),
        outward_y=away_y / (radius + 1e-3),
        mark=(2 * (np.asarray(MARK_STARTS)[tool] + within)).astype(np.int16),
        open=openness(top, room, groove, rib, pin),
        lamplight=np.where(floor, in_room, 1 - smooth_step(top, 0, 14) * (1 - by_face)),
        backdrop=np.where(body > 0, 0.055 + 0.045 * beyond, inside(x, bolt, shaft)),
    )


def openness(top: Array, room: Array, groove: Array, rib: Array, pin: Array) -> Array:
    """Share of the light that reaches a place: less beside walls and in the groove. Arguments are distances."""
    below = smooth_step(top, 0, 14)
    by_wall = 0.42 * np.exp(np.minimum(room, 0) / 45) * smooth_step(room, -6, -12)
    by_face = 0.40 * np.exp(-np.clip(top - 12, 0, None) / 30) * below * smooth_step(pin - PAD, -6, 6)
    by_rib = 0.25 * np.exp(-np.clip(rib - 8, 0, None) / 14) * smooth_step(rib, 0, 10) * below
    return (1 - by_wall) * (1 - by_face) * (1 - by_rib) * (1 - 0.38 * smooth_step(groove, 1, -5))


def inside(x: Array, bolt: Offset, shaft: Offset) -> Array:
    """What shows in the holes: the wall across from the lamp, threads in those for bolts."""
    dark = np.full_like(x, 0.035)
    for (distance, dx, dy), radius in ((bolt, BOLT), (shaft, SHAFT)):
        facing = (dx * LAMP[0] + dy * LAMP[1]) / (distance + 1e-3)
        wall = smooth_step(distance / radius, 0.62, 1.0) * (distance < radius)
        lit = wall * (0.05 + 0.30 * smooth_step(facing, 0.1, 1.0))
        dark += lit * (0.65 + 0.35 * np.sin(distance * 1.25)) if radius == BOLT else lit
    return dark


def shade(surface: Surface, pixel: float, swing: float = 0.0) -> tuple[Array, Array]:
    """Brightness of a window, 1 is white, and how much it grows with a mark's tilt away from the rings' centre.

    pixel: side of a pixel of the window, in units of the part. swing: moves the first lamp around, in tilt.
    """
    down, right = np.gradient(surface.height, np.float32(pixel))
    steepness = np.sqrt(1 + right * right + down * down)
    tilt_x, tilt_y = -right / steepness, -down / steepness
    turned = surface.turned
    across, along = 0.55 - 0.16 * turned, 0.55 - 0.40 * turned
    total = (0.44 + 0.66 * turned) * DOME * np.exp(-(tilt_x**2 + tilt_y**2) / (2 * DOME_SPREAD**2))
    gain = 0.42 * turned
    for number, (lamp_x, lamp_y, strength) in enumerate(LAMPS):
        dx, dy = lamp_x + (swing if number == 0 else 0) - tilt_x, lamp_y - (swing if number == 0 else 0) - tilt_y
        out = dx * surface.outward_x + dy * surface.outward_y
        round_ = dy * surface.outward_x - dx * surface.outward_y
        lobe = np.exp(-0.5 * ((out / across) ** 2 + (round_ / along) ** 2)) * (0.30 + 0.90 * turned) * strength
        if number == 0:
            lobe *= 0.12 + 0.88 * surface.lamplight
        total += lobe
        gain += lobe * np.clip(np.abs(out) / across**2, 0, 3) * turned
    total *= surface.open
    total = surface.backdrop + surface.solid * (total - surface.backdrop)
    return total, gain * surface.open * surface.solid
