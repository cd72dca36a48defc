"""Ice hockey: a rink with boards, padded players with sticks."""

from __future__ import annotations

from itertools import pairwise
from math import cos, pi, sin
from random import Random

from sports_clip_pipeline.sample.backdrops import SURFACES, backdrop, boards, ground
from sports_clip_pipeline.sample.camera import Pixel, Point
from sports_clip_pipeline.sample.canvas import PALETTE, Canvas, Colour, jitter, shade
from sports_clip_pipeline.sample.field_scenes import stand_off
from sports_clip_pipeline.sample.figures import Body, Kit, person
from sports_clip_pipeline.sample.story import Scene


def ice_hockey(canvas: Canvas, scene: Scene, rng: Random) -> None:
    """Padded players on skates with sticks and a puck."""
    distance, height, field = stand_off(scene.view, rng)
    canvas.view(
        rng.uniform(-40, 40),
        distance,
        height,
        (rng.uniform(-0.05, 0.05) * distance, 0.95, 0),
        field,
        back=rng.uniform(7, 18),
    )
    backdrop(canvas, scene.place, rng)
    ice = ground(canvas, SURFACES["white"], rng)
    _rink(canvas, ice, rng)
    goalie = rng.random() < 0.35
    if goalie:
        _cage(canvas, rng.uniform(-1, 1), 1.6)
    if scene.several:
        for _ in range(rng.randrange(1, 6) if scene.view == "wide" else rng.randrange(1, 3)):
            at = (rng.uniform(-4, 4), 0.0, rng.uniform(0.8, 5))
            skater(
                canvas,
                at,
                rng.choice(("skate", "slap", "ready", "stand")),
                rng.choice((scene.rival, scene.colour)),
                scene,
                rng,
            )
    pose = (
        "goalie"
        if goalie and rng.random() < 0.7
        else rng.choice(("skate", "skate", "slap", "ready"))
    )
    body = skater(canvas, (0, 0, 0), pose, scene.colour, scene, rng)
    puck = (body.ahead * rng.uniform(1.0, 1.7), 0.03, -0.2)
    u, v = canvas.camera.pixel(puck)
    canvas.disc(u, v, max(2.5, 0.08 * body.zoom), (24, 24, 28), 0.5)


def skater(canvas: Canvas, at: Point, pose: str, name: str, scene: Scene, rng: Random) -> Body:
    """An ice hockey player with helmet, pads and stick."""
    shirt = jitter(PALETTE[name], rng)
    dark = jitter(rng.choice(((40, 42, 50), (34, 48, 92), (120, 30, 36))), rng)
    wear = Kit(
        shirt,
        dark,
        shirt,
        shoes=(30, 30, 34),
        sleeves=True,
        helmet=jitter(rng.choice((shirt, PALETTE["white"], PALETTE["black"])), rng),
        gloves=dark,
        padding=1.32,
        pads=pose == "goalie",
        glove_size=1.1,
    )
    ahead = rng.choice((1, -1))
    body = person(canvas, at, pose, wear, rng, ahead=ahead, size=scene.size)
    z = body.zoom
    low = canvas.camera.pixel(at)[1] - 0.03 * z
    stick(canvas, body, (body.hand[0] + body.ahead * rng.uniform(0.45, 0.8) * z, low), rng)
    for spot in (body.foot, body.far_foot):
        canvas.box(
            spot[0] - 0.12 * z,
            spot[1] + 0.07 * z,
            spot[0] + 0.2 * z,
            spot[1] + 0.095 * z,
            (210, 216, 222),
        )
    return body


def stick(canvas: Canvas, body: Body, heel: Pixel, rng: Random) -> None:
    """A hockey stick from the nearer hand to its heel, with the blade ahead."""
    z = body.zoom
    wood = (190, 160, 110) if rng.random() < 0.5 else (50, 50, 56)
    canvas.limb(body.hand, heel, 0.05 * z, wood)
    canvas.limb(heel, (heel[0] + body.ahead * 0.26 * z, heel[1]), 0.08 * z, (36, 36, 40))


def _rink(canvas: Canvas, ice: Colour, rng: Random) -> None:
    for _ in range(30):
        x, z = rng.uniform(-8, 8), rng.uniform(-4, 10)
        canvas.stripe(
            (x, z), (x + rng.uniform(-2, 2), z + rng.uniform(-1, 1)), 0.03, shade(ice, 0.93)
        )
    red, blue = (206, 50, 56), (48, 84, 176)
    x = rng.uniform(-4, 4)
    canvas.stripe((x, -10), (x + rng.uniform(-2, 2), 40), 0.3, rng.choice((red, blue)))
    if rng.random() < 0.5:
        cx, cz = rng.uniform(-3, 3), rng.uniform(0, 3)
        ring = [(cx + 2.2 * cos(t * pi / 12), cz + 2.2 * sin(t * pi / 12)) for t in range(25)]
        for a, b in pairwise(ring):
            canvas.stripe(a, b, 0.09, red)
    if rng.random() < 0.8:
        high = rng.uniform(24, 46)
        canvas.box(0, canvas.horizon - high, canvas.width, canvas.horizon + 3, (236, 238, 240))
        if rng.random() < 0.7:
            boards(canvas, canvas.horizon - 4, high * 0.7, rng)
        canvas.box(0, canvas.horizon - 3, canvas.width, canvas.horizon + 3, (226, 196, 60))
        canvas.box(
            0, canvas.horizon - high * 2.2, canvas.width, canvas.horizon - high, (220, 236, 244, 46)
        )


def _cage(canvas: Canvas, x: float, z: float) -> None:
    red: Colour = (204, 44, 44)
    canvas.face(
        [
            (x - 0.9, 0, z + 0.6),
            (x + 0.9, 0, z + 0.6),
            (x + 0.9, 1.2, z + 0.4),
            (x - 0.9, 1.2, z + 0.4),
        ],
        (240, 244, 246, 120),
    )
    for i in range(13):
        dx = x - 0.9 + 1.8 * i / 12
        canvas.pole((dx, 1.2, z), (dx, 0, z + 0.6), 0.015, (232, 236, 240))
    for a, b in (((-0.9, 0), (-0.9, 1.22)), ((0.9, 0), (0.9, 1.22)), ((-0.9, 1.22), (0.9, 1.22))):
        canvas.pole((x + a[0], a[1], z), (x + b[0], b[1], z), 0.08, red)
