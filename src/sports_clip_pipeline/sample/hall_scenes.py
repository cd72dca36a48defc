"""Basketball, boxing and ice hockey: sports of halls and arenas."""

from __future__ import annotations

from dataclasses import replace
from math import cos, pi, sin
from random import Random

from sports_clip_pipeline.sample.backdrops import SURFACES, backdrop, boards, ground
from sports_clip_pipeline.sample.camera import Point
from sports_clip_pipeline.sample.canvas import PALETTE, Canvas, Colour, jitter, shade
from sports_clip_pipeline.sample.field_scenes import WHITE, stand_off
from sports_clip_pipeline.sample.figures import Body, Kit, kit, person
from sports_clip_pipeline.sample.story import Scene


def basketball(canvas: Canvas, scene: Scene, rng: Random) -> None:
    """Players with an orange ball, under the basket or on their way to it."""
    distance, height, field = stand_off(scene.view, rng)
    canvas.view(
        rng.uniform(-40, 40),
        distance,
        height,
        (rng.uniform(-0.6, 0.6), 1.4, 0),
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
    size = 0.82 if scene.young else 1.06
    wear = replace(_vest(scene.colour, rng), long_hair=scene.female)
    body = person(canvas, (0, 0, 0), pose, wear, rng, ahead=ahead, size=size)
    _basketball_ball(canvas, body, pose, rng)


def _vest(name: str, rng: Random) -> Kit:
    return kit(name, rng, other=name if rng.random() < 0.8 else "white")


def _basketball_ball(canvas: Canvas, body: Body, pose: str, rng: Random) -> None:
    u, v = body.hand
    z = body.zoom
    du, dv = {
        "dribble": (0.1, 0.3),
        "shoot": (0.15, -0.25),
        "dunk": (0.1, -0.12),
        "run": (0.12, 0.05),
        "block": (0.3, -0.3),
    }[pose]
    u, v, r = u + du * z * body.ahead, v + dv * z, 0.14 * z
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
    z, side = rng.uniform(0.8, 1.6), 1 if x > 0 else -1
    canvas.pole((x, 0, z + 1.2), (x, 3.0, z + 1.2), 0.16, (70, 74, 84))
    canvas.pole((x, 2.9, z + 1.2), (x, 3.1, z), 0.1, (70, 74, 84))
    board = [(x - 0.9, 2.75, z), (x + 0.9, 2.75, z), (x + 0.9, 3.8, z), (x - 0.9, 3.8, z)]
    canvas.face(board, jitter((236, 240, 244), rng, 8))
    red = jitter((206, 60, 40), rng)
    for a, b in ((-0.9, 0.9),):
        canvas.pole((x + a, 3.8, z), (x + b, 3.8, z), 0.05, red)
        canvas.pole((x + a, 2.76, z), (x + b, 2.76, z), 0.05, red)
    for a, b, y0, y1 in ((-0.3, 0.3, 3.5, 3.5), (-0.3, -0.3, 3.05, 3.5), (0.3, 0.3, 3.05, 3.5)):
        canvas.pole((x + a, y0, z), (x + b, y1, z), 0.05, red)
    ring = [(x + 0.28 * cos(t * pi / 8), 3.0, z - 0.35 + 0.28 * sin(t * pi / 8)) for t in range(17)]
    for a3, b3 in zip(ring, ring[1:], strict=False):
        canvas.pole(a3, b3, 0.045, (232, 92, 34))
    for i in range(0, 16, 2):
        px, _, pz = ring[i]
        low = (x + (px - x) * 0.6, 2.55, z - 0.35 + (pz - z + 0.35) * 0.6)
        canvas.pole((px, 3.0, pz), low, 0.025, (240, 240, 240))
        nx, _, nz = ring[(i + 2) % 16]
        canvas.pole((nx, 3.0, nz), low, 0.025, (240, 240, 240))
    del side


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
    return person(canvas, at, pose, wear, rng, ahead=ahead, size=0.85 if scene.young else 1)


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


def ice_hockey(canvas: Canvas, scene: Scene, rng: Random) -> None:
    """Padded players on skates with sticks and a puck."""
    distance, height, field = stand_off(scene.view, rng)
    canvas.view(
        rng.uniform(-40, 40),
        distance,
        height,
        (rng.uniform(-0.6, 0.6), 0.95, 0),
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
    body = person(canvas, at, pose, wear, rng, ahead=ahead, size=0.82 if scene.young else 1)
    z = body.zoom
    foot = canvas.camera.pixel(at)[1]
    blade = (body.hand[0] + ahead * rng.uniform(0.45, 0.8) * z, foot - 0.03 * z)
    canvas.limb(body.hand, blade, 0.05 * z, (190, 160, 110) if rng.random() < 0.5 else (50, 50, 56))
    canvas.limb(blade, (blade[0] + ahead * 0.26 * z, blade[1]), 0.08 * z, (36, 36, 40))
    for spot in (body.foot, body.far_foot):
        canvas.box(
            spot[0] - 0.12 * z,
            spot[1] + 0.07 * z,
            spot[0] + 0.2 * z,
            spot[1] + 0.095 * z,
            (210, 216, 222),
        )
    return body


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
        for a, b in zip(ring, ring[1:], strict=False):
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
