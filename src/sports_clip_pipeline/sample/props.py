"""Things of every day: dogs, cars, guitars, bicycles."""

from __future__ import annotations

from random import Random

from sports_clip_pipeline.sample.camera import Point
from sports_clip_pipeline.sample.canvas import Canvas, Colour, jitter, mix, shade
from sports_clip_pipeline.sample.figures import Body


def dog(
    canvas: Canvas, at: Point, coat: Colour, rng: Random, *, ahead: int = 1, run: bool = True
) -> None:
    """A dog, running or standing."""
    z = canvas.camera.scale(at)
    u, v = canvas.camera.pixel(at)
    canvas.shadow(at, 0.5)
    low = 0.1 if run else 0.0

    def spot(x: float, y: float) -> tuple[float, float]:
        return u + ahead * x * z, v - (y + low) * z

    swing = 0.26 if run else 0.04
    for x, step, light in (
        (-0.3, -swing, 0.75),
        (0.32, swing, 0.75),
        (-0.34, swing * 0.6, 1.0),
        (0.28, -swing * 0.5, 1.0),
    ):
        canvas.limb(spot(x, 0.4), spot(x + step, 0.04), 0.09 * z, shade(coat, light))
    canvas.limb(spot(-0.32, 0.47), spot(0.3, 0.5), 0.28 * z, coat)
    canvas.limb(spot(-0.42, 0.52), spot(-0.7, 0.75 + rng.uniform(-0.2, 0.1)), 0.06 * z, coat)
    canvas.limb(spot(0.34, 0.55), spot(0.52, 0.76), 0.16 * z, coat)
    canvas.disc(*spot(0.56, 0.8), 0.14 * z, coat)
    canvas.limb(spot(0.6, 0.77), spot(0.76, 0.74), 0.1 * z, mix(coat, (255, 255, 255), 0.2))
    canvas.disc(*spot(0.8, 0.76), 0.035 * z, (26, 24, 24))
    canvas.limb(spot(0.5, 0.88), spot(0.42, 0.7), 0.08 * z, shade(coat, 0.65))
    canvas.disc(*spot(0.62, 0.84), 0.022 * z, (20, 18, 18))


def car(canvas: Canvas, x: float, z: float, paint: Colour, rng: Random) -> None:
    """An everyday car from the side."""
    paint = jitter(paint, rng)
    canvas.face(
        [
            (x - 2.1, 0, z - 0.8),
            (x + 2.1, 0, z - 0.8),
            (x + 2.1, 0, z + 0.8),
            (x - 2.1, 0, z + 0.8),
        ],
        (0, 0, 0, 80),
    )
    side = [
        (-2.1, 0.25),
        (2.1, 0.25),
        (2.1, 0.75),
        (1.3, 0.85),
        (0.8, 1.4),
        (-1.0, 1.4),
        (-1.6, 0.88),
        (-2.1, 0.8),
    ]
    for dz, light in ((0.7, 0.7), (-0.7, 1.0)):
        canvas.face([(x + a, y, z + dz) for a, y in side], shade(paint, light))
    canvas.face(
        [(x + a, y, z - 0.71) for a, y in ((1.1, 0.9), (0.7, 1.3), (-0.9, 1.3), (-1.4, 0.9))],
        (150, 190, 210),
    )
    for dx in (-1.3, 1.3):
        u, v = canvas.camera.pixel((x + dx, 0.32, z - 0.72))
        s = canvas.camera.scale((x + dx, 0.3, z - 0.72))
        canvas.disc(u, v, 0.34 * s, (30, 30, 34))
        canvas.disc(u, v, 0.17 * s, (160, 162, 168))


def guitar(canvas: Canvas, body: Body, rng: Random) -> None:
    """A guitar across the hips."""
    (u, v), z = body.hip, body.zoom
    wood = jitter(rng.choice(((190, 90, 40), (40, 40, 46), (200, 40, 40))), rng)
    canvas.limb((u, v - 0.15 * z), (u + body.ahead * 0.75 * z, v - 0.4 * z), 0.06 * z, (90, 64, 40))
    canvas.disc(u - 0.05 * z, v - 0.1 * z, 0.2 * z, wood, 0.8)


def swing_set(canvas: Canvas, x: float, paint: Colour) -> None:
    """A frame with two swings, its left foot at x."""
    for dx in (0.0, 2.4):
        for z in (0.4, 1.4):
            canvas.pole((x + dx, 0, z), (x + dx, 2.2, 0.9), 0.1, paint)
    canvas.pole((x, 2.2, 0.9), (x + 2.4, 2.2, 0.9), 0.1, paint)
    for dx in (0.6, 1.7):
        for chain in (dx, dx + 0.4):
            canvas.pole((x + chain, 2.2, 0.9), (x + chain, 0.6, 0.7), 0.03, (90, 90, 90))
        canvas.pole((x + dx - 0.05, 0.58, 0.7), (x + dx + 0.45, 0.58, 0.7), 0.08, (60, 50, 44))


def bicycle(canvas: Canvas, ahead: int, paint: Colour) -> None:
    """A bicycle at the origin, facing right (1) or left (-1)."""
    s, (u, v) = canvas.camera.scale((0, 0, 0)), canvas.camera.pixel((0, 0, 0))
    for dx in (-0.55, 0.55):
        c, r = (u + dx * s, v - 0.34 * s), 0.34 * s
        box = (c[0] - r, c[1] - r, c[0] + r, c[1] + r)
        canvas.pen.ellipse(box, outline=(34, 34, 38), width=max(2, round(0.05 * s)))
    hub, crank, front, saddle, head = (
        (-0.55, 0.34),
        (-0.1, 0.34),
        (0.55, 0.34),
        (-0.2, 0.85),
        (0.45, 0.85),
    )
    for a, b in (
        (hub, crank), (crank, head), (hub, saddle), (saddle, head), (crank, saddle), (head, front),
    ):  # fmt: skip
        start, end = (u + ahead * a[0] * s, v - a[1] * s), (u + ahead * b[0] * s, v - b[1] * s)
        canvas.limb(start, end, 0.05 * s, paint)
