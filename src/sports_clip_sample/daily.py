"""Scenes without sport, and leisure that looks like sport: dogs, beaches, streets, a cafe."""

from dataclasses import replace
from math import cos, pi, sin
from random import Random

from sports_clip_sample.canvas import (
    PALETTE,
    SKINS,
    WHITE,
    Canvas,
    Colour,
    Point,
    colours,
    jitter,
    mix,
    shade,
)
from sports_clip_sample.people import Body, Kit, person
from sports_clip_sample.scenes import Scene
from sports_clip_sample.venues import SURFACES, backdrop, crowd, ground, sky, trees, venue


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
        (-0.3, -swing, 0.75), (0.32, swing, 0.75), (-0.34, swing * 0.6, 1.0), (0.28, -swing * 0.5,
        1.0),
    ):  # fmt: skip
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
    canvas.area(x - 2.1, z - 0.8, x + 2.1, z + 0.8, (0, 0, 0, 80))
    side = [
        (-2.1, 0.25), (2.1, 0.25), (2.1, 0.75), (1.3, 0.85), (0.8, 1.4), (-1.0, 1.4), (-1.6, 0.88),
        (-2.1, 0.8),
    ]  # fmt: skip
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
        (-0.55, 0.34), (-0.1, 0.34), (0.55, 0.34), (-0.2, 0.85), (0.45, 0.85),
    )  # fmt: skip
    for a, b in (
        (hub, crank), (crank, head), (hub, saddle), (saddle, head), (crank, saddle), (head, front),
    ):  # fmt: skip
        start, end = (u + ahead * a[0] * s, v - a[1] * s), (u + ahead * b[0] * s, v - b[1] * s)
        canvas.limb(start, end, 0.05 * s, paint)


SAND: Colour = (224, 202, 154)
SEA: Colour = (70, 140, 176)
ASPHALT: Colour = (90, 92, 98)
SNOW: Colour = (234, 240, 246)
_COATS = colours("coats")


def clothes(name: str, scene: Scene, rng: Random) -> Kit:
    """Everyday wear in a named colour."""
    shirt = jitter(PALETTE[name], rng)
    legs = jitter(rng.choice(((58, 72, 110), (70, 66, 62), (150, 132, 104))), rng)
    sleeves, trousers = rng.random() < 0.5, rng.random() < 0.7
    return Kit(shirt, legs, None, sleeves=sleeves, trousers=trousers, long_hair=scene.female)


def draw_people(
    canvas: Canvas, scene: Scene, rng: Random, poses: tuple[str, ...], step: tuple[float,
    float] = (1.3, 0.5),
) -> list[Body]:  # fmt: skip
    """The person of the scene, and where it has several one or two more, `step` metres apart."""
    count = 1 + scene.several * rng.randrange(1, 3)
    bodies = []
    for i in range(count):
        name = scene.colour if i == 0 else rng.choice((scene.rival, scene.rival, "gray", "white"))
        at = (i * step[0] - 0.4, 0.0, i * step[1])
        wear = clothes(name, scene, rng)
        bodies.append(person(canvas, at, rng.choice(poses), wear, rng, size=scene.size))
    return bodies


def dog_grass(canvas: Canvas, scene: Scene, rng: Random) -> None:
    """A dog on a lawn."""
    venue(canvas, rng.choice(("park", "hills", "street")), SURFACES["green"], rng)
    _dog(canvas, scene, rng)


def dog_beach(canvas: Canvas, scene: Scene, rng: Random) -> None:
    """A dog by the sea."""
    _shore(canvas, rng)
    _dog(canvas, scene, rng)


def _dog(canvas: Canvas, scene: Scene, rng: Random) -> None:
    ahead = rng.choice((1, -1))
    if scene.several:
        at, pose = (-ahead * 1.6, 0.0, 0.8), rng.choice(("walk", "stand", "run"))
        wear = clothes(scene.colour, scene, rng)
        person(canvas, at, pose, wear, rng, ahead=ahead, size=scene.size)
    coat = jitter(_COATS[scene.coat], rng)
    dog(canvas, (0.2, 0, 0), coat, rng, ahead=ahead, run=rng.random() < 0.7)
    if rng.random() < 0.6:
        at = (ahead * rng.uniform(1, 1.8), rng.uniform(0.05, 0.9), -0.1)
        canvas.ball(at, 0.08, jitter(PALETTE[scene.rival], rng))


def _shore(canvas: Canvas, rng: Random) -> None:
    sky(canvas, rng)
    ground(canvas, SEA, rng)
    edge = rng.uniform(1.5, 5)
    canvas.area(-60, -20, 60, edge, jitter(SAND, rng))
    for i in range(4):
        z = edge + i * rng.uniform(0.6, 1.4)
        for x in range(-14, 14, 2):
            a, b = (
                (x + rng.uniform(-1, 1), z),
                (x + rng.uniform(1, 2.4), z + rng.uniform(-0.1, 0.2)),
            )
            canvas.stripe(a, b, 0.14, (240, 246, 248))


def beach(canvas: Canvas, scene: Scene, rng: Random) -> None:
    """People in swimsuits on the sand, sometimes with a parasol."""
    _shore(canvas, rng)
    if rng.random() < 0.6:
        x = rng.uniform(-2.5, 2.5)
        canvas.pole((x, 0, 1), (x, 2.0, 1), 0.06, (220, 220, 216))
        arc = [t * pi / 8 for t in range(9)]
        top = [(x + 1.3 * cos(t), 1.7 + 0.7 * sin(t), 1.0) for t in arc]
        canvas.face(top, jitter(PALETTE[scene.rival], rng))
    for i in range(1 + scene.several * rng.randrange(1, 3)):
        suit = jitter(PALETTE[scene.colour if i == 0 else scene.rival], rng)
        chest = suit if scene.female else None
        wear = Kit(chest, suit, None, shoes=SKINS[1], long_hair=scene.female)
        pose = rng.choice(("walk", "stand", "run", "cheer"))
        person(canvas, (i * 1.3 - 0.4, 0, i * 0.6), pose, wear, rng, size=scene.size)


def street(canvas: Canvas, scene: Scene, rng: Random) -> None:
    """Walkers on a pavement, cars on the road behind."""
    venue(canvas, "street", (150, 150, 152), rng)
    canvas.area(-60, 1.2, 60, 7, jitter(ASPHALT, rng))
    for x in range(-20, 20, 3):
        canvas.stripe((x, 4), (x + 1.5, 4), 0.14, (230, 230, 224))
    for low, high in ((-5, -1), (2, 6)):
        if rng.random() < 0.75:
            paint = PALETTE[rng.choice((scene.rival, "gray", "white", "red"))]
            car(canvas, rng.uniform(low, high), rng.uniform(2.2, 5), paint, rng)
    draw_people(canvas, scene, rng, ("walk", "walk", "stand"), (rng.uniform(0.8, 1.5), -0.1))


def snow(canvas: Canvas, scene: Scene, rng: Random) -> None:
    """People in thick clothes, sometimes on a board, and flakes in the air."""
    sky(canvas, rng)
    trees(canvas, canvas.horizon + 4, rng, rng.uniform(40, 110))
    ground(canvas, SNOW, rng)
    for i in range(1 + scene.several):
        coat = jitter(PALETTE[scene.colour if i == 0 else scene.rival], rng)
        hat, dark = jitter(PALETTE[scene.rival], rng), (50, 56, 70)
        wear = Kit(
            coat, dark, None, sleeves=True, trousers=True, padding=1.25, cap=hat, gloves=dark
        )
        pose = rng.choice(("walk", "stand", "ready", "cheer"))
        body = person(canvas, (i * 1.6 - 0.4, 0, i * 0.8), pose, wear, rng, size=scene.size)
        if i == 0 and rng.random() < 0.5:
            (u, v), z = body.foot, body.zoom
            ends = (u - 0.9 * z, v + 0.12 * z), (u + 0.9 * z, v + 0.06 * z)
            canvas.limb(*ends, 0.12 * z, (170, 60, 50))
    for _ in range(60):
        u, v = rng.uniform(0, canvas.width), rng.uniform(0, canvas.height)
        canvas.disc(u, v, rng.uniform(1, 3), (255, 255, 255, 210))


def playground(canvas: Canvas, scene: Scene, rng: Random) -> None:
    """Children near a swing set."""
    backdrop(canvas, "park", rng)
    ground(canvas, rng.choice((SURFACES["green"], SAND)), rng)
    swing_set(canvas, rng.uniform(-1.8, -0.6), jitter(PALETTE[scene.rival], rng))
    small = replace(scene, who="girl" if scene.female else "boy")
    draw_people(canvas, small, rng, ("run", "cheer", "stand", "walk"), (1.2, 0.3))


def concert(canvas: Canvas, scene: Scene, rng: Random) -> None:
    """A band in coloured light before dark heads."""
    canvas.gradient((24, 16, 40), (96, 44, 104), 0, canvas.horizon)
    ground(canvas, (60, 50, 64), rng)
    for _ in range(6):
        u, wide = rng.uniform(0, canvas.width), rng.uniform(30, 120)
        beam = [(u - 4, 0.0), (u + 4, 0.0), (u + wide, canvas.horizon), (u - wide, canvas.horizon)]
        canvas.shape(beam, (*rng.choice(tuple(PALETTE.values())), 60))
    for body in draw_people(canvas, scene, rng, ("ready", "cheer", "stand"), (1.5, 0.1)):
        guitar(canvas, body, rng)
    top = canvas.height - rng.uniform(50, 90)
    crowd(canvas, top, canvas.height, rng.uniform(26, 40), rng, dim=0.35)


def lake(canvas: Canvas, scene: Scene, rng: Random) -> None:
    """People at the shore of a lake with a boat."""
    water = venue(canvas, "hills", SEA, rng)
    canvas.area(-60, -20, 60, rng.uniform(-0.5, 0.6), jitter((120, 140, 84), rng))
    for _ in range(40):
        x, z = rng.uniform(-10, 10), rng.uniform(1, 14)
        canvas.stripe((x, z), (x + rng.uniform(0.4, 2), z), 0.05, mix(water, WHITE, 0.3))
    x = rng.uniform(-3.0, 3.0)
    hull = [(x - 1.6, 0.5, 5.0), (x + 1.6, 0.5, 5.0), (x + 1.1, 0.0, 5.0), (x - 1.1, 0.0, 5.0)]
    canvas.face(hull, jitter(PALETTE[scene.rival], rng))
    draw_people(canvas, scene, rng, ("stand", "stand", "kneel"), (0.9, 0.0))


def bike(canvas: Canvas, scene: Scene, rng: Random) -> None:
    """Someone on a bicycle."""
    backdrop(canvas, scene.venue, rng)
    ground(canvas, SURFACES[rng.choice(("gray", "brown", "green"))], rng)
    ahead = rng.choice((1, -1))
    bicycle(canvas, ahead, jitter(PALETTE[scene.rival], rng))
    helmet = jitter(PALETTE[scene.rival], rng)
    wear = replace(clothes(scene.colour, scene, rng), helmet=helmet)
    person(canvas, (-ahead * 0.2, 0, 0), "ride", wear, rng, ahead=ahead, size=scene.size)


def daily(canvas: Canvas, scene: Scene, rng: Random) -> None:
    """Draw one of `story.DAILY`.

    Raises: KeyError: a scene that nobody draws.
    """
    distance, height = rng.uniform(5, 9), rng.uniform(0.9, 2.2)
    around, field, back = rng.uniform(-30, 30), rng.uniform(24, 36), rng.uniform(10, 25)
    canvas.view(around, distance, height, (0, 0.8, 0), field, back=back)
    {
        "dog_grass": dog_grass, "dog_beach": dog_beach, "beach": beach, "street": street,
        "snow": snow, "playground": playground, "concert": concert, "lake": lake, "bicycle": bike,
        "yard": _yard, "pool_party": _pool_party, "skaters": _skaters, "cafe": _cafe,
    }[scene.kind](canvas, scene, rng)  # fmt: skip


def _yard(canvas: Canvas, scene: Scene, rng: Random) -> None:
    """People on a lawn with a beach ball."""
    venue(canvas, scene.venue, SURFACES["green"], rng)
    draw_people(canvas, scene, rng, ("run", "cheer", "kick", "walk"))
    at = (rng.uniform(-1.6, 1.6), rng.uniform(0.2, 1.8), -0.2)
    canvas.shadow(at, 0.2)
    canvas.ball(at, 0.2, jitter(PALETTE[scene.rival], rng))


def _pool_party(canvas: Canvas, scene: Scene, rng: Random) -> None:
    """People in swimsuits beside a pool with a float."""
    venue(canvas, scene.venue, (206, 204, 194), rng)
    water = jitter(SURFACES["turquoise"], rng)
    canvas.area(-5, 0.6, 5, 5, water)
    canvas.frame(-5, 0.6, 5, 5, 0.3, WHITE)
    for _ in range(30):
        x, z = rng.uniform(-4.5, 4), rng.uniform(1, 4.6)
        canvas.stripe((x, z), (x + rng.uniform(0.2, 0.6), z), 0.04, mix(water, WHITE, 0.4))
    u, v = canvas.camera.pixel((rng.uniform(-2, 2), 0.1, 2))
    r = 0.55 * canvas.camera.scale((0, 0, 2))
    canvas.disc(u, v, r, jitter(PALETTE[scene.rival], rng), 0.45)
    canvas.disc(u, v, r * 0.5, water, 0.45)
    for i in range(1 + scene.several * rng.randrange(1, 3)):
        suit = jitter(PALETTE[scene.colour if i == 0 else scene.rival], rng)
        wear = Kit(suit if scene.female else None, suit, None, shoes=SKINS[1])
        pose = rng.choice(("cheer", "stand", "plunge", "walk"))
        person(canvas, (i * 1.4 - 0.6, 0, 0.1), pose, wear, rng, size=scene.size)


def _skaters(canvas: Canvas, scene: Scene, rng: Random) -> None:
    """People in everyday clothes on a frozen pond."""
    ice = venue(canvas, scene.venue, SNOW, rng)
    for _ in range(24):
        x, z = rng.uniform(-6, 6), rng.uniform(-3, 8)
        canvas.stripe(
            (x, z), (x + rng.uniform(-2, 2), z + rng.uniform(-1, 1)), 0.03, shade(ice, 0.9)
        )
    for body in draw_people(canvas, scene, rng, ("skate", "walk", "ready")):
        for u, v in (body.foot, body.far_foot):
            z = body.zoom
            canvas.box(u - 0.1 * z, v + 0.07 * z, u + 0.2 * z, v + 0.1 * z, (200, 208, 216))


def _cafe(canvas: Canvas, scene: Scene, rng: Random) -> None:
    """Two people at a table with cups."""
    venue(canvas, rng.choice(("room", "street", "park")), (150, 128, 108), rng)
    for side, name in ((-1, scene.colour), (1, scene.rival)):
        x = side * 0.85
        canvas.pole((x + side * 0.1, 0, 0), (x + side * 0.1, 0.45, 0), 0.3, (84, 62, 48))
        pose, wear = rng.choice(("sit", "reach", "think")), clothes(name, scene, rng)
        person(canvas, (x, 0, 0), pose, wear, rng, ahead=-side, size=scene.size)
    wood = jitter((150, 108, 70), rng)
    canvas.pole((0, 0, 0), (0, 0.75, 0), 0.1, shade(wood, 0.7))
    canvas.area(-0.6, -0.4, 0.6, 0.4, wood, y=0.75)
    for x in (-0.3, 0.25):
        canvas.pole((x, 0.75, 0), (x, 0.87, 0), 0.08, jitter(WHITE, rng))
    if rng.random() < 0.6:
        canvas.area(-0.15, -0.2, 0.15, 0.2, jitter(WHITE, rng), y=0.76)
