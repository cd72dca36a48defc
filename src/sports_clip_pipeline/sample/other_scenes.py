"""Chess, motor racing and swimming: a table, a track and a pool."""

from __future__ import annotations

from math import pi, sin
from random import Random

from sports_clip_pipeline.sample.backdrops import SURFACES, backdrop, boards, ground, trees
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
from sports_clip_pipeline.sample.field_scenes import WHITE
from sports_clip_pipeline.sample.figures import Kit, person
from sports_clip_pipeline.sample.story import Scene

IVORY: Colour = (236, 222, 190)
EBONY: Colour = (52, 38, 32)


def chess(canvas: Canvas, scene: Scene, rng: Random) -> None:
    """A board with pieces: by itself, or with the players at the table."""
    backdrop_place = scene.place
    if scene.view == "close":
        canvas.view(
            rng.uniform(-35, 35),
            rng.uniform(0.8, 1.2),
            rng.uniform(1.15, 1.75),
            (0, 0.82, 0),
            rng.uniform(26, 36),
            back=5,
        )
    elif scene.view == "wide":
        canvas.view(
            rng.uniform(-30, 30),
            rng.uniform(4, 6),
            rng.uniform(1.4, 2.4),
            (0, 0.9, 0),
            rng.uniform(28, 38),
            back=5,
        )
    else:
        canvas.view(
            rng.uniform(-25, 25),
            rng.uniform(2.4, 3.4),
            rng.uniform(1.3, 1.9),
            (0, 0.92, 0),
            rng.uniform(28, 36),
            back=4,
        )
    backdrop(canvas, backdrop_place, rng)
    ground(
        canvas, SURFACES["green"] if scene.place == "park" else jitter((140, 104, 76), rng, 24), rng
    )
    if scene.view == "wide":
        for x in (-2.6, 2.6):
            _table(canvas, (x, 0, 1.4), scene, rng, players=True)
        _table(canvas, (0, 0, 0), scene, rng, players=True)
        return
    _table(canvas, (0, 0, 0), scene, rng, players=scene.view == "action")
    if scene.view == "close" and rng.random() < 0.5:
        _hand(canvas, scene, rng)


def _table(canvas: Canvas, at: Point, scene: Scene, rng: Random, *, players: bool) -> None:
    x, _, z = at
    top = 0.75
    if players:
        for side, name in ((-1, scene.colour), (1, scene.rival)):
            _chess_player(canvas, (x + side * 0.85, 0, z), name, -side, scene, rng)
    wood = jitter(rng.choice(((126, 84, 52), (96, 62, 42), (186, 150, 110), (70, 92, 78))), rng)
    for dx, dz in ((-0.5, -0.3), (0.5, -0.3), (-0.5, 0.35), (0.5, 0.35)):
        canvas.pole((x + dx, 0, z + dz), (x + dx, top, z + dz), 0.06, shade(wood, 0.7))
    for low, light in ((top - 0.06, 0.7), (top, 1.0)):
        canvas.face(
            [
                (x - 0.62, low, z - 0.42),
                (x + 0.62, low, z - 0.42),
                (x + 0.62, low, z + 0.45),
                (x - 0.62, low, z + 0.45),
            ],
            shade(wood, light),
        )
    canvas.face(
        [
            (x - 0.62, top - 0.06, z - 0.42),
            (x + 0.62, top - 0.06, z - 0.42),
            (x + 0.62, top, z - 0.42),
            (x - 0.62, top, z - 0.42),
        ],
        shade(wood, 0.75),
    )
    chess_board(canvas, x, top + 0.01, z, 0.64, rng)
    if rng.random() < 0.4:
        _clock(canvas, (x + 0.1, top, z + 0.4), rng)


def _chess_player(
    canvas: Canvas, at: Point, name: str, ahead: int, scene: Scene, rng: Random
) -> None:
    suit = rng.random() < 0.35
    shirt = jitter((52, 56, 70) if suit else PALETTE[name], rng)
    wear = Kit(
        shirt,
        jitter((58, 62, 84), rng),
        None,
        sleeves=True,
        trousers=True,
        cap=jitter(PALETTE[name], rng) if rng.random() < 0.12 else None,
        long_hair=scene.female,
    )
    chair = (at[0] - ahead * 0.12, 0.0, at[2])
    canvas.pole(chair, (chair[0], 0.45, chair[2]), 0.3, (84, 62, 48))
    canvas.pole(
        (chair[0] - ahead * 0.18, 0.4, chair[2]),
        (chair[0] - ahead * 0.24, 0.95, chair[2]),
        0.06,
        (84, 62, 48),
    )
    person(
        canvas,
        at,
        rng.choice(("think", "reach", "sit")),
        wear,
        rng,
        ahead=ahead,
        size=0.84 if scene.young else 1,
    )


def chess_board(canvas: Canvas, x: float, y: float, z: float, side: float, rng: Random) -> None:
    """A board of eight by eight squares on the table at (x, y, z), with pieces of a game."""
    light, dark = rng.choice(
        (
            (IVORY, (136, 92, 60)),
            ((240, 240, 236), (60, 60, 64)),
            ((238, 236, 208), (92, 138, 84)),
            (IVORY, (92, 60, 46)),
        )
    )
    cell, left, near = side / 8, x - side / 2, z - side / 2
    canvas.area(
        left - 0.03, near - 0.03, left + side + 0.03, near + side + 0.03, shade(dark, 0.7), y
    )
    for i in range(8):
        for j in range(8):
            colour = light if (i + j) % 2 else dark
            canvas.area(
                left + i * cell,
                near + j * cell,
                left + (i + 1) * cell,
                near + (j + 1) * cell,
                colour,
                y + 0.004,
            )
    played = rng.uniform(0.15, 0.7)
    for j in range(7, -1, -1):
        for i in range(8):
            home = j in (0, 1, 6, 7)
            if rng.random() < (1 - played if home else played * 0.3):
                white = j < 4 if rng.random() < 0.85 else j >= 4
                tall = (0.055 if j in (1, 6) else rng.choice((0.075, 0.085, 0.1))) * side / 0.55
                piece(
                    canvas,
                    (left + (i + 0.5) * cell, y, near + (j + 0.5) * cell),
                    tall,
                    IVORY if white else EBONY,
                    rng,
                )


def piece(canvas: Canvas, at: Point, tall: float, colour: Colour, rng: Random) -> None:
    """A chess piece `tall` metres high: foot, body and a head that tells pawns from others."""
    zoom = canvas.camera.scale(at)
    u, v = canvas.camera.pixel(at)
    _, top = canvas.camera.pixel((at[0], at[1] + tall, at[2]))
    colour = jitter(colour, rng, 5)
    wide, high = 0.024 * zoom, v - top
    canvas.glass.ellipse(
        (u - wide * 1.2, v - wide * 0.4, u + wide * 1.5, v + wide * 0.6), fill=(0, 0, 0, 70)
    )
    canvas.disc(u, v, wide, shade(colour, 0.8), 0.5)
    canvas.shape(
        [
            (u - wide * 0.85, v),
            (u + wide * 0.85, v),
            (u + wide * 0.35, top + high * 0.3),
            (u - wide * 0.35, top + high * 0.3),
        ],
        colour,
    )
    canvas.disc(u, top + high * 0.22, wide * 0.6, mix(colour, (255, 255, 255), 0.12))
    if tall > 0.09:
        canvas.box(u - wide * 0.12, top - high * 0.1, u + wide * 0.12, top + high * 0.12, colour)
        canvas.box(u - wide * 0.35, top - high * 0.04, u + wide * 0.35, top + high * 0.03, colour)


def _clock(canvas: Canvas, at: Point, rng: Random) -> None:
    x, y, z = at
    canvas.face(
        [(x - 0.12, y, z), (x + 0.12, y, z), (x + 0.12, y + 0.1, z), (x - 0.12, y + 0.1, z)],
        jitter((110, 70, 44), rng, 30),
    )
    for dx in (-0.055, 0.055):
        u, v = canvas.camera.pixel((x + dx, y + 0.05, z))
        canvas.disc(u, v, 0.04 * canvas.camera.scale(at), (240, 240, 236))


def _hand(canvas: Canvas, scene: Scene, rng: Random) -> None:
    skin = rng.choice(SKINS)
    z = canvas.camera.scale((0, 0.9, 0))
    u, v = canvas.camera.pixel((rng.uniform(-0.1, 0.15), 0.86, rng.uniform(-0.1, 0.1)))
    side = rng.choice((-1, 1))
    elbow = (u + side * 0.6 * z, v - rng.uniform(0.1, 0.3) * z)
    canvas.limb(
        elbow, (u + side * 0.14 * z, v - 0.05 * z), 0.1 * z, jitter(PALETTE[scene.colour], rng)
    )
    canvas.limb(
        (u + side * 0.16 * z, v - 0.06 * z), (u + side * 0.06 * z, v - 0.02 * z), 0.07 * z, skin
    )
    for dv in (-0.015, 0.0, 0.018):
        canvas.limb(
            (u + side * 0.06 * z, v + dv * z - 0.02 * z),
            (u, v + dv * z * 0.4),
            0.02 * z,
            shade(skin, 0.95),
        )


def formula1(canvas: Canvas, scene: Scene, rng: Random) -> None:
    """Racing cars with open wheels on a track with kerbs."""
    near = {"close": (5.0, 7.5), "action": (8, 12), "wide": (15, 24)}.get(scene.view, (8, 12))
    height = rng.uniform(0.8, 2.4) if scene.view != "wide" else rng.uniform(3, 7)
    around = rng.uniform(-70, 70)
    canvas.view(
        around,
        rng.uniform(*near),
        height,
        (0, 0.6, 0),
        rng.uniform(22, 30),
        back=rng.uniform(16, 30),
    )
    backdrop(canvas, scene.place, rng)
    ground(canvas, rng.choice((SURFACES["green"], SURFACES["green"], (196, 178, 140))), rng)
    road = jitter(SURFACES[scene.ground], rng)
    canvas.area(-80, -3.5, 80, 4.5, road)
    canvas.stripe((-80, -3.2), (80, -3.2), 0.15, WHITE)
    _kerbs(canvas, 4.5, rng)
    if rng.random() < 0.5:
        _kerbs(canvas, -4.1, rng)
    if scene.several:
        for x in sorted((rng.uniform(-14, 14) for _ in range(rng.randrange(1, 4))), key=abs):
            if abs(x) > 5.5:
                racing_car(canvas, x, rng.uniform(1.2, 3.2), PALETTE[scene.rival], rng)
    racing_car(canvas, 0, 0, PALETTE[scene.colour], rng)


def _kerbs(canvas: Canvas, z: float, rng: Random) -> None:
    first = rng.choice(((206, 44, 44), (206, 44, 44), (40, 80, 180)))
    for i in range(-30, 30):
        canvas.area(i, z, i + 1, z + 0.7, first if i % 2 else WHITE)


def racing_car(canvas: Canvas, x: float, z: float, paint: Colour, rng: Random) -> None:
    """An open-wheel car along the x axis, its nose at +x or -x."""
    paint, nose = jitter(paint, rng), rng.choice((1, -1))
    trim = jitter(
        rng.choice((PALETTE["white"], PALETTE["yellow"], PALETTE["black"], PALETTE["red"])), rng
    )

    def at(along: float, y: float, across: float) -> Point:
        return x + nose * along, y, z + across

    canvas.face([at(-2.6, 0, -1), at(2.7, 0, -1), at(2.7, 0, 1), at(-2.6, 0, 1)], (0, 0, 0, 90))
    back = canvas.camera.eye[2] < z
    for across in (0.8, -0.8) if back else (-0.8, 0.8):
        if across == (-0.8 if back else 0.8):
            _car_body(canvas, at, paint, trim, rng)
        for along, radius in ((-1.75, 0.36), (1.65, 0.34)):
            _wheel(canvas, at(along, radius, across), radius, rng)


def _car_body(canvas: Canvas, at: object, paint: Colour, trim: Colour, rng: Random) -> None:
    place = at  # type: ignore[assignment]
    dark = shade(paint, 0.72)

    def slab(points: list[tuple[float, float]], across: float, colour: Colour) -> None:
        canvas.face([place(a, y, across) for a, y in points], colour)  # type: ignore[operator]

    side = [
        (-2.3, 0.15),
        (1.0, 0.12),
        (2.7, 0.16),
        (2.7, 0.28),
        (0.9, 0.56),
        (0.3, 0.6),
        (-0.3, 0.62),
        (-0.5, 0.95),
        (-0.9, 0.92),
        (-2.3, 0.5),
    ]
    canvas.face(
        [
            place(2.5, 0.2, -0.9),
            place(2.85, 0.2, -0.9),
            place(2.85, 0.2, 0.9),
            place(2.5, 0.2, 0.9),
        ],
        trim,
    )  # type: ignore[operator]
    slab(side, 0.3, dark)
    canvas.face(
        [
            place(2.7, 0.28, -0.2),
            place(0.9, 0.56, -0.3),
            place(0.9, 0.56, 0.3),
            place(2.7, 0.28, 0.2),
        ],
        mix(paint, (255, 255, 255), 0.15),
    )  # type: ignore[operator]
    slab(side, -0.3, paint)
    slab(
        [(-1.4, 0.12), (0.6, 0.12), (0.5, 0.45), (-1.4, 0.48)],
        -0.62,
        mix(paint, (255, 255, 255), 0.08),
    )
    slab([(-1.2, 0.24), (0.3, 0.24), (0.3, 0.34), (-1.2, 0.34)], -0.63, trim)
    canvas.face(
        [
            place(-2.45, 0.95, -0.75),
            place(-2.0, 0.9, -0.75),
            place(-2.0, 0.9, 0.75),
            place(-2.45, 0.95, 0.75),
        ],
        trim,
    )  # type: ignore[operator]
    for across in (-0.75, 0.75):
        slab(
            [(-2.5, 0.45), (-1.95, 0.45), (-1.95, 1.0), (-2.5, 1.0)],
            across,
            dark if across > 0 else paint,
        )
    u, v = canvas.camera.pixel(place(0.1, 0.74, 0))  # type: ignore[operator]
    r = 0.17 * canvas.camera.scale(place(0.1, 0.7, 0))  # type: ignore[operator]
    canvas.disc(
        u,
        v,
        r,
        jitter(
            rng.choice((PALETTE["yellow"], PALETTE["white"], PALETTE["red"], PALETTE["blue"])), rng
        ),
    )
    canvas.box(u - r * 0.8, v - r * 0.25, u + r * 0.8, v + r * 0.2, (30, 32, 40))


def _wheel(canvas: Canvas, at: Point, radius: float, rng: Random) -> None:
    from math import cos

    for across, colour in ((0.16, (20, 20, 22)), (-0.16, (34, 34, 38))):
        rim = [
            (at[0] + radius * cos(t * pi / 9), at[1] + radius * sin(t * pi / 9), at[2] + across)
            for t in range(18)
        ]
        canvas.face(rim, colour)
    hub = [
        (
            at[0] + radius * 0.5 * cos(t * pi / 9),
            at[1] + radius * 0.5 * sin(t * pi / 9),
            at[2] - 0.165,
        )
        for t in range(18)
    ]
    canvas.face(hub, rng.choice(((150, 152, 158), (96, 96, 100))))


def swimming(canvas: Canvas, scene: Scene, rng: Random) -> None:
    """Swimmers in lanes, from the side or above, or someone about to dive."""
    distance = {
        "close": rng.uniform(3, 4),
        "action": rng.uniform(5, 8),
        "wide": rng.uniform(11, 18),
    }[scene.view]
    height = rng.uniform(1.2, 2.5) if scene.view != "wide" else rng.uniform(4, 9)
    canvas.view(
        rng.uniform(-35, 35),
        distance,
        height,
        (0, 0.25, 0),
        rng.uniform(26, 36),
        back=rng.uniform(10, 22),
    )
    backdrop(canvas, scene.place, rng)
    deck = jitter((206, 204, 194), rng)
    ground(canvas, deck, rng)
    water = jitter(SURFACES[scene.ground], rng, 16)
    far = rng.uniform(5, 9)
    canvas.area(-60, -14, 60, far, water)
    _ripples(canvas, water, far, rng)
    lane = rng.uniform(1.8, 2.4)
    dry = rng.random() < 0.12 and scene.view != "close"
    for i in range(4, -3, -1):
        z = (i - 0.5) * lane
        if z < far - 0.3 and rng.random() < 0.95:
            _rope(canvas, z, rng)
        if i == 0 or (scene.several and i > 0 and i * lane < far and rng.random() < 0.75):
            swimmer(canvas, rng.uniform(-2, 2) if i else 0.0, i * lane, scene, rng)
    if dry or rng.random() < 0.18:
        _diver(canvas, scene, rng)


def _ripples(canvas: Canvas, water: Colour, far: float, rng: Random) -> None:
    for _ in range(110):
        x, z = rng.uniform(-9, 9), rng.uniform(-5, far)
        wide = rng.uniform(0.15, 0.7)
        canvas.stripe(
            (x, z),
            (x + wide, z),
            rng.uniform(0.02, 0.06),
            rng.choice((mix(water, (255, 255, 255), 0.35), shade(water, 0.86))),
        )


def _rope(canvas: Canvas, z: float, rng: Random) -> None:
    a, b = rng.choice(
        (((220, 50, 50), WHITE), ((40, 80, 190), WHITE), ((230, 200, 50), (40, 120, 80)))
    )
    for i in range(-24, 24):
        canvas.pole((i * 0.5, 0.03, z), (i * 0.5 + 0.5, 0.03, z), 0.1, a if i % 2 else b)


def swimmer(canvas: Canvas, x: float, z: float, scene: Scene, rng: Random) -> None:
    """Head with cap and goggles, one or two arms out of the water, foam around."""
    s, ahead = canvas.camera.scale((x, 0, z)) * (0.85 if scene.young else 1), rng.choice((1, -1))
    u, v = canvas.camera.pixel((x, 0.05, z))
    skin, cap = (
        rng.choice(SKINS),
        jitter(PALETTE[rng.choice((scene.colour, scene.rival, "white", "yellow"))], rng),
    )
    for _ in range(rng.randrange(8, 22)):
        canvas.disc(
            u + rng.uniform(-0.9, 0.7) * s * ahead,
            v + rng.uniform(-0.12, 0.12) * s,
            rng.uniform(0.03, 0.12) * s,
            (250, 253, 255, 190),
            0.6,
        )
    canvas.limb(
        (u - ahead * 0.8 * s, v + 0.02 * s),
        (u - ahead * 0.15 * s, v - 0.02 * s),
        0.2 * s,
        shade(skin, 0.94),
    )
    strokes = ((1,), (1, -1))[rng.random() < 0.3]
    for side in strokes:
        elbow = (u + ahead * 0.1 * s + side * 0.12 * s, v - rng.uniform(0.3, 0.42) * s)
        canvas.limb((u - ahead * 0.12 * s, v - 0.06 * s), elbow, 0.1 * s, skin)
        canvas.limb(
            elbow,
            (elbow[0] + ahead * side * rng.uniform(0.2, 0.36) * s, v - rng.uniform(0.05, 0.2) * s),
            0.08 * s,
            skin,
        )
    head = (u + ahead * 0.16 * s, v - 0.1 * s)
    canvas.disc(*head, 0.14 * s, skin)
    r = 0.145 * s
    canvas.pen.chord(
        (head[0] - r, head[1] - r, head[0] + r, head[1] + r),
        175,
        5,
        fill=cap if rng.random() < 0.85 else rng.choice(HAIRS),
    )
    canvas.limb(
        (head[0] + ahead * 0.02 * s, head[1]),
        (head[0] + ahead * 0.12 * s, head[1]),
        0.05 * s,
        (28, 30, 40),
    )
    for _ in range(6):
        canvas.disc(
            u + rng.uniform(-0.3, 0.5) * s,
            v + rng.uniform(0, 0.1) * s,
            rng.uniform(0.04, 0.1) * s,
            (252, 254, 255, 200),
            0.5,
        )


def _diver(canvas: Canvas, scene: Scene, rng: Random) -> None:
    at = (rng.uniform(-1.5, 1.5), 0.6, rng.uniform(0.5, 3))
    suit = jitter(PALETTE[scene.colour], rng)
    wear = Kit(
        suit if scene.female else None,
        suit,
        None,
        shoes=rng.choice(SKINS),
        cap=jitter(PALETTE[scene.rival], rng),
    )
    person(canvas, at, "plunge", wear, rng, ahead=rng.choice((1, -1)), shadow=False)


__all__ = ["boards", "chess", "formula1", "swimming", "trees"]
