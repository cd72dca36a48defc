"""Basketball and boxing: sports of halls and arenas."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from math import cos, pi, sin
from random import Random

from sports_clip_pipeline.sample.backdrops import SURFACES, backdrop, ground
from sports_clip_pipeline.sample.camera import Point
from sports_clip_pipeline.sample.canvas import PALETTE, WHITE, Canvas, Colour, jitter, shade
from sports_clip_pipeline.sample.field_scenes import stand_off
from sports_clip_pipeline.sample.figures import Body, Kit, kit, person
from sports_clip_pipeline.sample.story import Scene


def basketball(canvas: Canvas, scene: Scene, rng: Random) -> None:
    """Players with an orange ball, under the basket or on their way to it."""
    distance, height, field = stand_off(scene.view, rng)
    canvas.view(
        rng.uniform(-40, 40),
        distance,
        height,
        (rng.uniform(-0.05, 0.05) * distance, 1.4, 0),
        field,
        back=rng.uniform(8, 18),
    )
    backdrop(canvas, scene.place, rng)
    floor = ground(canvas, SURFACES[scene.ground], rng)
    if scene.ground == "wooden":
        _planks(canvas, floor)
    x = rng.uniform(-3, 3)
    lane = jitter(rng.choice((PALETTE["red"], PALETTE["blue"], PALETTE["green"], floor)), rng)
    canvas.area(x - 2.4, -1, x + 2.4, 5, lane)
    canvas.frame(x - 2.4, -1, x + 2.4, 5, 0.08, WHITE)
    canvas.stripe((-30, 5.2), (30, 5.2), 0.1, WHITE)
    pose = rng.choice(("dribble", "shoot", "dunk", "shoot", "run", "block"))
    ahead = rng.choice((1, -1))
    if pose in ("shoot", "dunk") or rng.random() < 0.4:
        _hoop(canvas, ahead * (1.0 if pose == "dunk" else rng.uniform(1.2, 2.6)), rng)
    if scene.several:
        for _ in range(rng.randrange(1, 5)):
            at = (rng.uniform(-3.5, 3.5), 0.0, rng.uniform(0.5, 3.5))
            name = rng.choice((scene.rival, scene.rival, scene.colour))
            guard = rng.choice(("block", "ready", "run", "stand", "cheer"))
            person(canvas, at, guard, _vest(name, rng), rng, ahead=-ahead)
    size = scene.size * 1.06
    wear = replace(_vest(scene.colour, rng), long_hair=scene.female)
    body = person(canvas, (0, 0, 0), pose, wear, rng, ahead=ahead, size=size)
    (u, v), (on, down), z = body.hand, _HELD[pose], body.zoom
    seamed_ball(canvas, u + on * z * body.ahead, v + down * z, 0.14 * z, rng)


def _vest(name: str, rng: Random) -> Kit:
    return kit(name, rng, other=name if rng.random() < 0.8 else "white")


# Where the ball is from the hand, in metres ahead and down.
_HELD = {
    "dribble": (0.1, 0.3),
    "shoot": (0.15, -0.25),
    "dunk": (0.1, -0.12),
    "run": (0.12, 0.05),
    "block": (0.3, -0.3),
}


def seamed_ball(canvas: Canvas, u: float, v: float, r: float, rng: Random) -> None:
    """An orange ball with dark seams, r pixels in radius."""
    colour = jitter((226, 118, 44), rng, 12)
    canvas.disc(u, v, r, shade(colour, 0.75))
    canvas.disc(u - r * 0.12, v - r * 0.12, r * 0.84, colour)
    if r > 4:
        ink, wide = (70, 36, 20), max(1, round(r * 0.1))
        canvas.pen.line([u - r, v, u + r, v], fill=ink, width=wide)
        canvas.pen.arc((u - r * 1.9, v - r, u - r * 0.2, v + r), 300, 60, fill=ink, width=wide)
        canvas.pen.arc((u + r * 0.2, v - r, u + r * 1.9, v + r), 120, 240, fill=ink, width=wide)


def _planks(canvas: Canvas, floor: Colour) -> None:
    for i in range(-30, 31):
        canvas.stripe((i * 0.5, -8), (i * 0.5, 30), 0.025, shade(floor, 0.9))


def _hoop(canvas: Canvas, x: float, rng: Random) -> None:
    """A backboard facing the spectator, ring and net below."""
    z = rng.uniform(0.8, 1.6)
    canvas.pole((x, 0, z + 1.2), (x, 3.0, z + 1.2), 0.16, (70, 74, 84))
    canvas.pole((x, 2.9, z + 1.2), (x, 3.1, z), 0.1, (70, 74, 84))
    board = [(x - 0.9, 2.75, z), (x + 0.9, 2.75, z), (x + 0.9, 3.8, z), (x - 0.9, 3.8, z)]
    canvas.face(board, jitter((236, 240, 244), rng, 8))
    red = jitter((206, 60, 40), rng)
    for y in (2.76, 3.8):
        canvas.pole((x - 0.9, y, z), (x + 0.9, y, z), 0.05, red)
    for a, b, y0, y1 in ((-0.3, 0.3, 3.5, 3.5), (-0.3, -0.3, 3.05, 3.5), (0.3, 0.3, 3.05, 3.5)):
        canvas.pole((x + a, y0, z), (x + b, y1, z), 0.05, red)
    ring = [(x + 0.28 * cos(t * pi / 8), 3.0, z - 0.35 + 0.28 * sin(t * pi / 8)) for t in range(17)]
    for a3, b3 in pairwise(ring):
        canvas.pole(a3, b3, 0.045, (232, 92, 34))
    for i in range(0, 16, 2):
        px, _, pz = ring[i]
        low = (x + (px - x) * 0.6, 2.55, z - 0.35 + (pz - z + 0.35) * 0.6)
        canvas.pole((px, 3.0, pz), low, 0.025, (240, 240, 240))
        nx, _, nz = ring[(i + 2) % 16]
        canvas.pole((nx, 3.0, nz), low, 0.025, (240, 240, 240))


def boxing(canvas: Canvas, scene: Scene, rng: Random) -> None:
    """Two boxers in a ring, or one at the bag."""
    distance, height, field = stand_off(scene.view, rng)
    canvas.view(
        rng.uniform(-40, 40),
        distance * 0.85,
        max(1.1, height),
        (0, 1.1, 0),
        field,
        back=rng.uniform(7, 14),
    )
    backdrop(canvas, scene.place, rng)
    ground(canvas, (46, 46, 54) if scene.place == "arena" else (124, 112, 98), rng)
    if scene.place == "gym" and rng.random() < 0.5:
        _bag(canvas, scene, rng)
        return
    side = rng.uniform(2.2, 3.0)
    canvas.area(-side, -side, side, side, jitter(SURFACES[scene.ground], rng))
    ropes = [
        jitter(PALETTE[name], rng) for name in rng.sample(("red", "white", "blue", "black"), 3)
    ]
    _ropes(canvas, ropes, [(-side, side), (side, side)])
    _ropes(canvas, ropes, [(-side, -side), (-side, side)])
    _ropes(canvas, ropes, [(side, -side), (side, side)])
    if scene.view == "wide" or rng.random() < 0.35:
        referee = Kit(jitter(PALETTE["white"], rng), (40, 40, 44), None, trousers=True)
        person(canvas, (rng.uniform(-1.2, 1.2), 0, 1.2), "stand", referee, rng)
    gap = rng.uniform(0.5, 0.75)
    left, right = rng.choice(
        (("punch", "reel"), ("guard", "guard"), ("uppercut", "guard"), ("guard", "punch"))
    )
    boxer(canvas, (-gap, 0, 0.1), left, scene, scene.colour, rng, 1)
    boxer(canvas, (gap, 0, 0), right, scene, scene.rival, rng, -1)
    if scene.view == "wide" or (scene.view == "action" and rng.random() < 0.5):
        _ropes(canvas, ropes, [(-side, -side), (side, -side)])


def boxer(
    canvas: Canvas, at: Point, pose: str, scene: Scene, name: str, rng: Random, ahead: int
) -> Body:
    """Someone in shorts and gloves, with a bare or a covered chest."""
    bare = not scene.female and rng.random() < 0.8
    shirt = None if bare else jitter(PALETTE[name], rng)
    head = jitter(PALETTE[name], rng) if rng.random() < 0.3 else None
    glove = jitter(PALETTE[rng.choice(("red", "red", "blue", "black", name))], rng)
    wear = Kit(
        shirt,
        jitter(PALETTE[name], rng),
        None,
        gloves=glove,
        helmet=head,
        glove_size=1.45,
        padding=1.06,
        long_hair=scene.female,
    )
    return person(canvas, at, pose, wear, rng, ahead=ahead, size=scene.size)


def _bag(canvas: Canvas, scene: Scene, rng: Random) -> None:
    x = 0.75
    canvas.pole((x, 2.0, 0), (x, 4.5, 0), 0.03, (90, 90, 96))
    canvas.pole(
        (x, 0.8, 0), (x, 2.0, 0), 0.42, jitter(PALETTE[rng.choice(("red", "black", "blue"))], rng)
    )
    canvas.pole((x, 1.75, 0), (x, 1.85, 0), 0.42, (226, 226, 226))
    boxer(
        canvas,
        (-0.1, 0, 0),
        rng.choice(("punch", "guard", "uppercut")),
        scene,
        scene.colour,
        rng,
        1,
    )


def _ropes(canvas: Canvas, colours: list[Colour], ends: list[tuple[float, float]]) -> None:
    (x0, z0), (x1, z1) = ends
    for y, colour in zip((0.5, 0.95, 1.4), colours, strict=True):
        canvas.pole((x0, y, z0), (x1, y, z1), 0.05, colour)
    for x, z in ends:
        canvas.pole((x, 0, z), (x, 1.5, z), 0.14, (60, 60, 66))
