"""Formula 1: racing cars with open wheels on a track with kerbs."""

from collections.abc import Callable
from math import cos, pi, sin
from random import Random

from sports_clip_sample.canvas import PALETTE, WHITE, Canvas, Colour, Point, jitter, mix, shade
from sports_clip_sample.scenes import Scene
from sports_clip_sample.venues import SURFACES, backdrop, ground

Place = Callable[[float, float, float], Point]
"""From (along, up, across) of a car in metres to the world."""

# The outline of a car from the side: (along, up), the nose at +2.7.
_SIDE = [
    (-2.3, 0.15), (1.0, 0.12), (2.7, 0.16), (2.7, 0.28), (0.9, 0.56),
    (0.3, 0.6), (-0.3, 0.62), (-0.5, 0.95), (-0.9, 0.92), (-2.3, 0.5),
]  # fmt: skip
_FAR = {"close": (6.5, 9.0), "action": (8.5, 12.5), "wide": (15.0, 24.0)}


def formula1(canvas: Canvas, scene: Scene, rng: Random) -> None:
    """Racing cars with open wheels on a track with kerbs."""
    height = rng.uniform(3, 7) if scene.view == "wide" else rng.uniform(0.8, 2.4)
    distance, field = rng.uniform(*_FAR[scene.view]), rng.uniform(22, 30)
    canvas.view(
        rng.uniform(-70, 70), distance, height, (0, 0.6, 0), field, back=rng.uniform(16, 30)
    )
    backdrop(canvas, scene.venue, rng)
    ground(canvas, rng.choice((SURFACES["green"], SURFACES["green"], (196, 178, 140))), rng)
    canvas.area(-80, -3.5, 80, 4.5, jitter(SURFACES[scene.ground], rng))
    canvas.stripe((-80, -3.2), (80, -3.2), 0.15, WHITE)
    _kerbs(canvas, 4.5, rng)
    if rng.random() < 0.5:
        _kerbs(canvas, -4.1, rng)
    if scene.several:
        for x in (rng.uniform(-14, 14) for _ in range(rng.randrange(1, 4))):
            if abs(x) > 5.5:
                racing_car(canvas, x, rng.uniform(1.2, 3.2), PALETTE[scene.rival], rng)
    racing_car(canvas, 0, 0, PALETTE[scene.colour], rng)


def _kerbs(canvas: Canvas, z: float, rng: Random) -> None:
    first = rng.choice((PALETTE["red"], PALETTE["red"], PALETTE["blue"]))
    for i in range(-30, 30):
        canvas.area(i, z, i + 1, z + 0.7, first if i % 2 else WHITE)


def racing_car(canvas: Canvas, x: float, z: float, paint: Colour, rng: Random) -> None:
    """An open-wheel car along the x axis, its nose at +x or -x."""
    paint, nose = jitter(paint, rng), rng.choice((1, -1))
    trim = jitter(PALETTE[rng.choice(("white", "yellow", "black", "red"))], rng)

    def at(along: float, up: float, across: float) -> Point:
        return x + nose * along, up, z + across

    plate(canvas, at, (-2.6, 2.7), 0.0, (1.0, 1.0), (0, 0, 0, 90))
    axles = ((-1.75, 0.36), (1.65, 0.34))
    for along, radius in axles:
        _wheel(canvas, at(along, radius, 0.8), radius, rng)
    _car_body(canvas, at, paint, trim)
    _driver(canvas, at, rng)
    for along, radius in axles:
        _wheel(canvas, at(along, radius, -0.8), radius, rng)


def plate(
    canvas: Canvas, at: Place, along: tuple[float, float], up: float, half: tuple[float, float],
    colour: tuple[int, ...],
) -> None:  # fmt: skip
    """A level plate from along[0] to along[1], `half` as wide to each side at either end."""
    (a, b), (wide_a, wide_b) = along, half
    corners = [at(a, up, -wide_a), at(b, up, -wide_b), at(b, up, wide_b), at(a, up, wide_a)]
    canvas.face(corners, colour)


def _car_body(canvas: Canvas, at: Place, paint: Colour, trim: Colour) -> None:
    dark, light = shade(paint, 0.72), mix(paint, (255, 255, 255), 0.12)

    def side(outline: list[tuple[float, float]], across: float, colour: Colour) -> None:
        canvas.face([at(along, up, across) for along, up in outline], colour)

    plate(canvas, at, (2.5, 2.85), 0.2, (0.9, 0.9), trim)
    side(_SIDE, 0.3, dark)
    bonnet = [(2.7, 0.28, -0.2), (0.9, 0.56, -0.3), (0.9, 0.56, 0.3), (2.7, 0.28, 0.2)]
    canvas.face([at(*corner) for corner in bonnet], light)
    side(_SIDE, -0.3, paint)
    side([(-1.4, 0.12), (0.6, 0.12), (0.5, 0.45), (-1.4, 0.48)], -0.62, light)
    side([(-1.2, 0.24), (0.3, 0.24), (0.3, 0.34), (-1.2, 0.34)], -0.63, trim)
    plate(canvas, at, (-2.45, -2.0), 0.93, (0.75, 0.75), trim)
    for across, colour in ((0.75, dark), (-0.75, paint)):
        side([(-2.5, 0.45), (-1.95, 0.45), (-1.95, 1.0), (-2.5, 1.0)], across, colour)


def _driver(canvas: Canvas, at: Place, rng: Random) -> None:
    u, v = canvas.camera.pixel(at(0.1, 0.74, 0))
    r = 0.17 * canvas.camera.scale(at(0.1, 0.7, 0))
    canvas.disc(u, v, r, jitter(PALETTE[rng.choice(("yellow", "white", "red", "blue"))], rng))
    canvas.box(u - r * 0.8, v - r * 0.25, u + r * 0.8, v + r * 0.2, (30, 32, 40))


def _wheel(canvas: Canvas, at: Point, radius: float, rng: Random) -> None:
    hub = rng.choice(((150, 152, 158), (96, 96, 100)))
    for across, share, colour in (
        (0.16, 1.0, (20, 20, 22)), (-0.16, 1.0, (34, 34, 38)), (-0.165, 0.5, hub),
    ):  # fmt: skip
        r = radius * share
        rim = [
            (at[0] + r * cos(t * pi / 9), at[1] + r * sin(t * pi / 9), at[2] + across)
            for t in range(18)
        ]
        canvas.face(rim, colour)
