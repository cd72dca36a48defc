"""Scenes without sport, and pictures of sportspeople that show little of their sport."""

from __future__ import annotations

from dataclasses import replace
from math import cos, pi, sin
from random import Random

from sports_clip_pipeline.sample.backdrops import SURFACES, backdrop, crowd, ground, sky, trees
from sports_clip_pipeline.sample.camera import Point
from sports_clip_pipeline.sample.canvas import (
    HAIRS,
    PALETTE,
    SKINS,
    Canvas,
    Colour,
    jitter,
    mix,
    shade,
)
from sports_clip_pipeline.sample.figures import Body, Kit, kit, person
from sports_clip_pipeline.sample.story import Scene

SAND: Colour = (224, 202, 154)
SEA: Colour = (70, 140, 176)


def daily(canvas: Canvas, scene: Scene, rng: Random) -> None:
    """One of `story.DAILY`."""
    canvas.view(
        rng.uniform(-30, 30),
        rng.uniform(5, 9),
        rng.uniform(0.9, 2.2),
        (0, 0.8, 0),
        rng.uniform(24, 36),
        back=rng.uniform(10, 25),
    )
    {
        "dog_grass": _dog_grass,
        "dog_beach": _dog_beach,
        "beach": _beach,
        "street": _street,
        "snow": _snow,
        "playground": _playground,
        "concert": _concert,
        "lake": _lake,
        "bicycle": _bicycle,
    }[scene.kind](canvas, scene, rng)


def clothes(name: str, scene: Scene, rng: Random) -> Kit:
    """Everyday wear in a named colour."""
    shirt = jitter(PALETTE[name], rng)
    legs = jitter(rng.choice(((58, 72, 110), (70, 66, 62), (150, 132, 104))), rng)
    return Kit(
        shirt,
        legs,
        None,
        sleeves=rng.random() < 0.5,
        trousers=rng.random() < 0.7,
        long_hair=scene.female,
    )


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


COATS: dict[str, Colour] = {
    "brown": (136, 92, 56),
    "black": (46, 44, 46),
    "white": (232, 228, 218),
    "tan": (204, 164, 112),
}


def coat_of(scene: Scene) -> str:
    """The dog's colour, decided by the scene's facts so that captions can tell it."""
    return sorted(COATS)[(len(scene.colour) + len(scene.rival)) % len(COATS)]


def _dog(canvas: Canvas, scene: Scene, rng: Random) -> None:
    ahead = rng.choice((1, -1))
    if scene.several:
        person(
            canvas,
            (-ahead * 1.6, 0, 0.8),
            rng.choice(("walk", "stand", "run")),
            clothes(scene.colour, scene, rng),
            rng,
            ahead=ahead,
            size=0.8 if scene.young else 1,
        )
    dog(
        canvas,
        (0.2, 0, 0),
        jitter(COATS[coat_of(scene)], rng),
        rng,
        ahead=ahead,
        run=rng.random() < 0.7,
    )
    if rng.random() < 0.6:
        canvas.ball(
            (ahead * rng.uniform(1, 1.8), rng.uniform(0.05, 0.9), -0.1),
            0.08,
            jitter(PALETTE[scene.rival], rng),
        )


def _dog_grass(canvas: Canvas, scene: Scene, rng: Random) -> None:
    backdrop(canvas, rng.choice(("park", "hills", "street")), rng)
    ground(canvas, SURFACES["green"], rng)
    _dog(canvas, scene, rng)


def _shore(canvas: Canvas, rng: Random) -> None:
    sky(canvas, rng)
    ground(canvas, SEA, rng)
    edge = rng.uniform(1.5, 5)
    canvas.area(-60, -20, 60, edge, jitter(SAND, rng))
    for i in range(4):
        z = edge + i * rng.uniform(0.6, 1.4)
        for x in range(-14, 14, 2):
            canvas.stripe(
                (x + rng.uniform(-1, 1), z),
                (x + rng.uniform(1, 2.4), z + rng.uniform(-0.1, 0.2)),
                0.14,
                (240, 246, 248),
            )


def _dog_beach(canvas: Canvas, scene: Scene, rng: Random) -> None:
    _shore(canvas, rng)
    _dog(canvas, scene, rng)


def _beach(canvas: Canvas, scene: Scene, rng: Random) -> None:
    _shore(canvas, rng)
    if rng.random() < 0.6:
        x = rng.uniform(-2.5, 2.5)
        canvas.pole((x, 0, 1), (x, 2.0, 1), 0.06, (220, 220, 216))
        top = [(x + 1.3 * cos(t * pi / 8), 1.7 + 0.7 * sin(t * pi / 8), 1.0) for t in range(9)]
        canvas.face(top, jitter(PALETTE[scene.rival], rng))
    for i in range(1 + scene.several * rng.randrange(1, 3)):
        suit = jitter(PALETTE[scene.colour if i == 0 else scene.rival], rng)
        wear = Kit(
            suit if scene.female else None, suit, None, shoes=SKINS[1], long_hair=scene.female
        )
        person(
            canvas,
            (i * 1.3 - 0.4, 0, i * 0.6),
            rng.choice(("walk", "stand", "run", "cheer")),
            wear,
            rng,
            ahead=rng.choice((1, -1)),
            size=0.75 if scene.young else 1,
        )


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


def _street(canvas: Canvas, scene: Scene, rng: Random) -> None:
    backdrop(canvas, "street", rng)
    ground(canvas, (150, 150, 152), rng)
    canvas.area(-60, 1.2, 60, 7, jitter((90, 92, 98), rng))
    for x in range(-20, 20, 3):
        canvas.stripe((x, 4), (x + 1.5, 4), 0.14, (230, 230, 224))
    for x in (rng.uniform(-5, -1), rng.uniform(2, 6)):
        if rng.random() < 0.75:
            car(
                canvas,
                x,
                rng.uniform(2.2, 5),
                PALETTE[rng.choice((scene.rival, "gray", "white", "red"))],
                rng,
            )
    for i in range(1 + scene.several * rng.randrange(1, 4)):
        name = scene.colour if i == 0 else rng.choice(("gray", "black", scene.rival))
        person(
            canvas,
            (i * rng.uniform(0.8, 1.5) - 0.5, 0, rng.uniform(-0.5, 0.8)),
            rng.choice(("walk", "stand")),
            replace(clothes(name, scene, rng), trousers=True),
            rng,
            ahead=rng.choice((1, -1)),
            size=0.8 if scene.young else 1,
        )


def _snow(canvas: Canvas, scene: Scene, rng: Random) -> None:
    sky(canvas, rng)
    trees(canvas, canvas.horizon + 4, rng, rng.uniform(40, 110))
    ground(canvas, (234, 240, 246), rng)
    for i in range(1 + scene.several):
        wear = Kit(
            jitter(PALETTE[scene.colour if i == 0 else scene.rival], rng),
            (50, 56, 70),
            None,
            sleeves=True,
            trousers=True,
            padding=1.25,
            cap=jitter(PALETTE[scene.rival], rng),
            gloves=(50, 50, 56),
        )
        body = person(
            canvas,
            (i * 1.6 - 0.4, 0, i * 0.8),
            rng.choice(("walk", "stand", "ready", "cheer")),
            wear,
            rng,
            ahead=rng.choice((1, -1)),
            size=0.8 if scene.young else 1,
        )
        if i == 0 and rng.random() < 0.5:
            u, v, z = body.foot[0], body.foot[1], body.zoom
            canvas.limb(
                (u - 0.9 * z, v + 0.12 * z), (u + 0.9 * z, v + 0.06 * z), 0.12 * z, (170, 60, 50)
            )
    for _ in range(60):
        canvas.disc(
            rng.uniform(0, canvas.width),
            rng.uniform(0, canvas.height),
            rng.uniform(1, 3),
            (255, 255, 255, 210),
        )


def _playground(canvas: Canvas, scene: Scene, rng: Random) -> None:
    backdrop(canvas, "park", rng)
    ground(canvas, rng.choice((SURFACES["green"], SAND)), rng)
    x, paint = rng.uniform(-1.8, -0.6), jitter(PALETTE[scene.rival], rng)
    for dx in (0, 2.4):
        canvas.pole((x + dx, 0, 0.4), (x + dx, 2.2, 0.9), 0.1, paint)
        canvas.pole((x + dx, 0, 1.4), (x + dx, 2.2, 0.9), 0.1, paint)
    canvas.pole((x, 2.2, 0.9), (x + 2.4, 2.2, 0.9), 0.1, paint)
    for dx in (0.6, 1.7):
        canvas.pole((x + dx, 2.2, 0.9), (x + dx, 0.6, 0.7), 0.03, (90, 90, 90))
        canvas.pole((x + dx + 0.4, 2.2, 0.9), (x + dx + 0.4, 0.6, 0.7), 0.03, (90, 90, 90))
        canvas.pole((x + dx - 0.05, 0.58, 0.7), (x + dx + 0.45, 0.58, 0.7), 0.08, (60, 50, 44))
    for i in range(1 + scene.several * 2):
        name = scene.colour if i == 0 else rng.choice((scene.rival, "yellow", "red"))
        person(
            canvas,
            (i * 1.2 + 0.4, 0, i * 0.3),
            rng.choice(("run", "cheer", "stand", "walk")),
            clothes(name, scene, rng),
            rng,
            ahead=rng.choice((1, -1)),
            size=rng.uniform(0.6, 0.75),
        )


def _concert(canvas: Canvas, scene: Scene, rng: Random) -> None:
    canvas.gradient((24, 16, 40), (96, 44, 104), 0, canvas.horizon)
    ground(canvas, (60, 50, 64), rng)
    for _ in range(6):
        u = rng.uniform(0, canvas.width)
        glow = rng.choice(tuple(PALETTE.values()))
        canvas.shape(
            [
                (u - 4, 0),
                (u + 4, 0),
                (u + rng.uniform(30, 120), canvas.horizon),
                (u - rng.uniform(30, 120), canvas.horizon),
            ],
            (*glow, 60),
        )
    for i in range(1 + scene.several * 2):
        body = person(
            canvas,
            (i * 1.5 - 1.2, 0, 0.5),
            rng.choice(("ready", "cheer", "stand")),
            clothes(scene.colour if i == 0 else scene.rival, scene, rng),
            rng,
            ahead=rng.choice((1, -1)),
        )
        guitar(canvas, body, rng)
    crowd(
        canvas,
        canvas.height - rng.uniform(50, 90),
        canvas.height,
        rng.uniform(26, 40),
        rng,
        dim=0.35,
    )


def guitar(canvas: Canvas, body: Body, rng: Random) -> None:
    """A guitar across the hips."""
    (u, v), z = body.hip, body.zoom
    wood = jitter(rng.choice(((190, 90, 40), (40, 40, 46), (200, 40, 40))), rng)
    canvas.limb((u, v - 0.15 * z), (u + body.ahead * 0.75 * z, v - 0.4 * z), 0.06 * z, (90, 64, 40))
    canvas.disc(u - 0.05 * z, v - 0.1 * z, 0.2 * z, wood, 0.8)


def _lake(canvas: Canvas, scene: Scene, rng: Random) -> None:
    backdrop(canvas, "hills", rng)
    water = ground(canvas, SEA, rng)
    canvas.area(-60, -20, 60, rng.uniform(-0.5, 0.6), jitter((120, 140, 84), rng))
    for _ in range(40):
        x, z = rng.uniform(-10, 10), rng.uniform(1, 14)
        canvas.stripe((x, z), (x + rng.uniform(0.4, 2), z), 0.05, mix(water, (255, 255, 255), 0.3))
    x = rng.uniform(-3, 3)
    hull = [(x - 1.6, 0.5, 5), (x + 1.6, 0.5, 5), (x + 1.1, 0, 5), (x - 1.1, 0, 5)]
    canvas.face(hull, jitter(PALETTE[scene.rival], rng))
    for i in range(1 + scene.several):
        person(
            canvas,
            (i * 0.9 - 0.5, 0, -0.4),
            rng.choice(("stand", "kneel")),
            clothes(scene.colour if i == 0 else scene.rival, scene, rng),
            rng,
            ahead=rng.choice((1, -1)),
            size=0.8 if scene.young else 1,
        )


def _bicycle(canvas: Canvas, scene: Scene, rng: Random) -> None:
    backdrop(canvas, scene.place, rng)
    ground(canvas, rng.choice((SURFACES["gray"], SURFACES["brown"], SURFACES["green"])), rng)
    ahead = rng.choice((1, -1))
    s, paint = canvas.camera.scale((0, 0, 0)), jitter(PALETTE[scene.rival], rng)
    u, v = canvas.camera.pixel((0, 0, 0))
    wear = replace(clothes(scene.colour, scene, rng), helmet=jitter(PALETTE[scene.rival], rng))
    for dx in (-0.55, 0.55):
        c, r = (u + dx * s, v - 0.34 * s), 0.34 * s
        canvas.pen.ellipse(
            (c[0] - r, c[1] - r, c[0] + r, c[1] + r),
            outline=(34, 34, 38),
            width=max(2, round(0.05 * s)),
        )
    for a, b in (
        ((-0.55, 0.34), (-0.1, 0.34)),
        ((-0.1, 0.34), (0.45, 0.8)),
        ((-0.55, 0.34), (-0.2, 0.85)),
        ((-0.2, 0.85), (0.45, 0.8)),
        ((-0.1, 0.34), (-0.2, 0.85)),
        ((0.45, 0.95), (0.55, 0.34)),
    ):
        canvas.limb(
            (u + ahead * a[0] * s, v - a[1] * s),
            (u + ahead * b[0] * s, v - b[1] * s),
            0.05 * s,
            paint,
        )
    person(
        canvas, (-ahead * 0.2, 0, 0), "ride", wear, rng, ahead=ahead, size=0.8 if scene.young else 1
    )


def portrait(canvas: Canvas, scene: Scene, rng: Random) -> None:
    """Sportspeople who pose, with little around them that tells of their sport."""
    canvas.view(
        rng.uniform(-20, 20),
        rng.uniform(3.2, 5),
        rng.uniform(1.2, 1.7),
        (0, 1.3, 0),
        rng.uniform(18, 26),
        back=rng.uniform(4, 10),
    )
    backdrop(canvas, rng.choice((scene.place, "gym", "park", "street")), rng)
    ground(canvas, SURFACES[rng.choice(("green", "gray", "wooden"))], rng)
    count = rng.randrange(2, 5) if scene.several else 1
    for i in range(count):
        at = ((i - (count - 1) / 2) * 0.75, 0.0, rng.uniform(0, 0.4))
        wear = outfit(scene, rng)
        body = person(
            canvas,
            at,
            rng.choice(("stand", "cheer", "stand", "walk")),
            wear,
            rng,
            ahead=rng.choice((1, -1)),
            size=0.85 if scene.young else 1,
        )
        if i == 0 and rng.random() < 0.4:
            _cup(canvas, body)


def outfit(scene: Scene, rng: Random) -> Kit:
    """What people of this sport wear."""
    colour, dark = jitter(PALETTE[scene.colour], rng), jitter((50, 54, 66), rng)
    if scene.kind == "boxing":
        return Kit(
            None if not scene.female else colour,
            colour,
            None,
            gloves=jitter(PALETTE["red"], rng) if rng.random() < 0.5 else None,
            glove_size=1.4,
        )
    if scene.kind == "ice_hockey":
        return Kit(
            colour,
            dark,
            colour,
            sleeves=True,
            padding=1.3,
            helmet=colour if rng.random() < 0.5 else None,
        )
    if scene.kind == "formula1":
        return Kit(
            colour,
            colour,
            None,
            sleeves=True,
            trousers=True,
            cap=colour if rng.random() < 0.6 else None,
        )
    if scene.kind == "swimming":
        return Kit(
            colour if scene.female else None,
            colour,
            None,
            shoes=SKINS[2],
            cap=colour if rng.random() < 0.6 else None,
        )
    if scene.kind == "chess":
        return Kit(
            colour if rng.random() < 0.5 else dark,
            dark,
            None,
            sleeves=True,
            trousers=True,
            long_hair=scene.female,
        )
    return replace(
        kit(scene.colour, rng),
        long_hair=scene.female,
        skirt=scene.kind == "tennis" and scene.female,
    )


def _cup(canvas: Canvas, body: Body) -> None:
    (u, v), z, gold = body.hand, body.zoom, (226, 186, 66)
    canvas.shape(
        [
            (u - 0.13 * z, v - 0.36 * z),
            (u + 0.13 * z, v - 0.36 * z),
            (u + 0.04 * z, v - 0.12 * z),
            (u - 0.04 * z, v - 0.12 * z),
        ],
        gold,
    )
    canvas.box(u - 0.02 * z, v - 0.14 * z, u + 0.02 * z, v, gold)
    canvas.box(u - 0.08 * z, v - 0.02 * z, u + 0.08 * z, v + 0.03 * z, shade(gold, 0.7))


def spectators(canvas: Canvas, scene: Scene, rng: Random) -> None:
    """People who watch, in the colours of their side."""
    canvas.horizon = canvas.height * rng.uniform(0.2, 0.5)
    backdrop(canvas, rng.choice((scene.place, "stadium")) if scene.place != "room" else "gym", rng)
    ground(canvas, (96, 98, 108), rng)
    crowd(canvas, canvas.horizon, canvas.height, rng.uniform(26, 44), rng)
    for _ in range(rng.randrange(1, 5)):
        u, v = rng.uniform(0, canvas.width), rng.uniform(canvas.horizon, canvas.height * 0.9)
        canvas.limb((u, v), (u + 6, v - 120), 4, (150, 120, 80))
        flag = PALETTE[rng.choice((scene.colour, scene.rival))]
        canvas.shape(
            [(u + 6, v - 120), (u + 86, v - 110), (u + 82, v - 62), (u + 3, v - 70)],
            jitter(flag, rng),
        )


__all__ = ["COATS", "HAIRS", "coat_of", "daily", "portrait", "spectators"]
