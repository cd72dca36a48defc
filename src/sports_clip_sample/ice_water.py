"""Ice hockey and swimming: rink and pool, padded skaters, swimmers and divers."""

from itertools import pairwise
from math import cos, pi, sin
from random import Random

from sports_clip_sample.ball_sports import stand_off
from sports_clip_sample.canvas import (
    HAIRS,
    PALETTE,
    SKINS,
    WHITE,
    Canvas,
    Colour,
    Pixel,
    Point,
    jitter,
    mix,
    shade,
)
from sports_clip_sample.people import Body, Kit, person
from sports_clip_sample.scenes import Scene
from sports_clip_sample.venues import SURFACES, backdrop, boards, ground, venue


def ice_hockey(canvas: Canvas, scene: Scene, rng: Random) -> None:
    """Padded players on skates with sticks and a puck."""
    distance, height, field = stand_off(scene.view, rng)
    canvas.view(
        rng.uniform(-40, 40), distance, height, (rng.uniform(-0.05, 0.05) * distance, 0.95, 0),
        field, back=rng.uniform(7, 18),
    )  # fmt: skip
    ice = venue(canvas, scene.venue, SURFACES["white"], rng)
    _rink(canvas, ice, rng)
    goalie = rng.random() < 0.35
    if goalie:
        _cage(canvas, rng.uniform(-1, 1), 1.6)
    if scene.several:
        for _ in range(rng.randrange(1, 6) if scene.view == "wide" else rng.randrange(1, 3)):
            at = (rng.uniform(-4, 4), 0.0, rng.uniform(0.8, 5))
            skater(
                canvas, at, rng.choice(("skate", "slap", "ready", "stand")),
                rng.choice((scene.rival, scene.colour)), scene, rng,
            )  # fmt: skip
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
        shirt, dark, shirt, shoes=(30, 30, 34), sleeves=True, helmet=jitter(rng.choice((shirt,
        PALETTE["white"], PALETTE["black"])), rng), gloves=dark, padding=1.32,
        pads=pose == "goalie", glove_size=1.1,
    )  # fmt: skip
    ahead = rng.choice((1, -1))
    body = person(canvas, at, pose, wear, rng, ahead=ahead, size=scene.size)
    z = body.zoom
    low = canvas.camera.pixel(at)[1] - 0.03 * z
    stick(canvas, body, (body.hand[0] + body.ahead * rng.uniform(0.45, 0.8) * z, low), rng)
    for spot in (body.foot, body.far_foot):
        canvas.box(
            spot[0] - 0.12 * z, spot[1] + 0.07 * z, spot[0] + 0.2 * z, spot[1] + 0.095 * z, (210,
            216, 222),
        )  # fmt: skip
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
        [(x - 0.9, 0, z + 0.6), (x + 0.9, 0, z + 0.6), (x + 0.9, 1.2, z + 0.4), (x - 0.9, 1.2,
        z + 0.4)], (240, 244, 246, 120),
    )  # fmt: skip
    for i in range(13):
        dx = x - 0.9 + 1.8 * i / 12
        canvas.pole((dx, 1.2, z), (dx, 0, z + 0.6), 0.015, (232, 236, 240))
    for a, b in (((-0.9, 0), (-0.9, 1.22)), ((0.9, 0), (0.9, 1.22)), ((-0.9, 1.22), (0.9, 1.22))):
        canvas.pole((x + a[0], a[1], z), (x + b[0], b[1], z), 0.08, red)


def swimming(canvas: Canvas, scene: Scene, rng: Random) -> None:
    """Swimmers in lanes, from the side or above, or someone about to dive."""
    distance = {
        "close": rng.uniform(3, 4), "action": rng.uniform(5, 8), "wide": rng.uniform(11, 18),
    }[scene.view]  # fmt: skip
    height = rng.uniform(1.2, 2.5) if scene.view != "wide" else rng.uniform(4, 9)
    canvas.view(
        rng.uniform(-35, 35), distance, height, (0, 0.25, 0), rng.uniform(26, 36),
        back=rng.uniform(10, 22),
    )  # fmt: skip
    backdrop(canvas, scene.venue, rng)
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
            (x, z), (x + wide, z), rng.uniform(0.02, 0.06), rng.choice((mix(water, (255, 255, 255),
            0.35), shade(water, 0.86))),
        )  # fmt: skip


def _rope(canvas: Canvas, z: float, rng: Random) -> None:
    a, b = rng.choice(
        (((220, 50, 50), WHITE), ((40, 80, 190), WHITE), ((230, 200, 50), (40, 120, 80)))
    )
    for i in range(-24, 24):
        canvas.pole((i * 0.5, 0.03, z), (i * 0.5 + 0.5, 0.03, z), 0.1, a if i % 2 else b)


def swimmer(canvas: Canvas, x: float, z: float, scene: Scene, rng: Random) -> None:
    """Head with cap and goggles, one or two arms out of the water, foam around."""
    s, ahead = canvas.camera.scale((x, 0, z)) * scene.size, rng.choice((1, -1))
    u, v = canvas.camera.pixel((x, 0.05, z))
    skin, cap = (
        rng.choice(SKINS),
        jitter(PALETTE[rng.choice((scene.colour, scene.rival, "white", "yellow"))], rng),
    )
    for _ in range(rng.randrange(8, 22)):
        canvas.disc(
            u + rng.uniform(-0.9, 0.7) * s * ahead, v + rng.uniform(-0.12, 0.12) * s,
            rng.uniform(0.03, 0.12) * s, (250, 253, 255, 190), 0.6,
        )  # fmt: skip
    canvas.limb(
        (u - ahead * 0.8 * s, v + 0.02 * s), (u - ahead * 0.15 * s, v - 0.02 * s), 0.2 * s,
        shade(skin, 0.94),
    )  # fmt: skip
    strokes = ((1,), (1, -1))[rng.random() < 0.3]
    for side in strokes:
        elbow = (u + ahead * 0.1 * s + side * 0.12 * s, v - rng.uniform(0.3, 0.42) * s)
        canvas.limb((u - ahead * 0.12 * s, v - 0.06 * s), elbow, 0.1 * s, skin)
        canvas.limb(
            elbow, (elbow[0] + ahead * side * rng.uniform(0.2, 0.36) * s, v - rng.uniform(0.05,
            0.2) * s), 0.08 * s, skin,
        )  # fmt: skip
    head = (u + ahead * 0.16 * s, v - 0.1 * s)
    canvas.disc(*head, 0.14 * s, skin)
    r = 0.145 * s
    canvas.pen.chord(
        (head[0] - r, head[1] - r, head[0] + r, head[1] + r), 175, 5,
        fill=cap if rng.random() < 0.85 else rng.choice(HAIRS),
    )  # fmt: skip
    canvas.limb(
        (head[0] + ahead * 0.02 * s, head[1]), (head[0] + ahead * 0.12 * s, head[1]), 0.05 * s,
        (28, 30, 40),
    )  # fmt: skip
    for _ in range(6):
        canvas.disc(
            u + rng.uniform(-0.3, 0.5) * s, v + rng.uniform(0, 0.1) * s, rng.uniform(0.04,
            0.1) * s, (252, 254, 255, 200), 0.5,
        )  # fmt: skip


def _diver(canvas: Canvas, scene: Scene, rng: Random) -> None:
    at = (rng.uniform(-1.5, 1.5), 0.6, rng.uniform(0.5, 3))
    suit = jitter(PALETTE[scene.colour], rng)
    wear = Kit(
        suit if scene.female else None, suit, None, shoes=rng.choice(SKINS),
        cap=jitter(PALETTE[scene.rival], rng),
    )  # fmt: skip
    person(canvas, at, "plunge", wear, rng, shadow=False)
