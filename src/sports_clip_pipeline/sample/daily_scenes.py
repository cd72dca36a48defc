"""Scenes without sport: dogs, beaches, streets, snow, concerts."""

from __future__ import annotations

from dataclasses import replace
from math import cos, pi, sin
from random import Random

from sports_clip_pipeline.sample.backdrops import SURFACES, backdrop, crowd, ground, sky, trees
from sports_clip_pipeline.sample.canvas import PALETTE, SKINS, WHITE, Canvas, Colour, jitter, mix
from sports_clip_pipeline.sample.figures import Body, Kit, person
from sports_clip_pipeline.sample.props import bicycle, car, dog, guitar, swing_set
from sports_clip_pipeline.sample.story import Scene

SAND: Colour = (224, 202, 154)
SEA: Colour = (70, 140, 176)
ASPHALT: Colour = (90, 92, 98)
SNOW: Colour = (234, 240, 246)
_COATS: dict[str, Colour] = {
    "brown": (136, 92, 56),
    "black": (46, 44, 46),
    "white": (232, 228, 218),
    "tan": (204, 164, 112),
}


def clothes(name: str, scene: Scene, rng: Random) -> Kit:
    """Everyday wear in a named colour."""
    shirt = jitter(PALETTE[name], rng)
    legs = jitter(rng.choice(((58, 72, 110), (70, 66, 62), (150, 132, 104))), rng)
    sleeves, trousers = rng.random() < 0.5, rng.random() < 0.7
    return Kit(shirt, legs, None, sleeves=sleeves, trousers=trousers, long_hair=scene.female)


def people(
    canvas: Canvas,
    scene: Scene,
    rng: Random,
    poses: tuple[str, ...],
    step: tuple[float, float] = (1.3, 0.5),
) -> list[Body]:
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
    backdrop(canvas, rng.choice(("park", "hills", "street")), rng)
    ground(canvas, SURFACES["green"], rng)
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
    backdrop(canvas, "street", rng)
    ground(canvas, (150, 150, 152), rng)
    canvas.area(-60, 1.2, 60, 7, jitter(ASPHALT, rng))
    for x in range(-20, 20, 3):
        canvas.stripe((x, 4), (x + 1.5, 4), 0.14, (230, 230, 224))
    for low, high in ((-5, -1), (2, 6)):
        if rng.random() < 0.75:
            paint = PALETTE[rng.choice((scene.rival, "gray", "white", "red"))]
            car(canvas, rng.uniform(low, high), rng.uniform(2.2, 5), paint, rng)
    people(canvas, scene, rng, ("walk", "walk", "stand"), (rng.uniform(0.8, 1.5), -0.1))


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
    people(canvas, small, rng, ("run", "cheer", "stand", "walk"), (1.2, 0.3))


def concert(canvas: Canvas, scene: Scene, rng: Random) -> None:
    """A band in coloured light before dark heads."""
    canvas.gradient((24, 16, 40), (96, 44, 104), 0, canvas.horizon)
    ground(canvas, (60, 50, 64), rng)
    for _ in range(6):
        u, wide = rng.uniform(0, canvas.width), rng.uniform(30, 120)
        beam = [(u - 4, 0.0), (u + 4, 0.0), (u + wide, canvas.horizon), (u - wide, canvas.horizon)]
        canvas.shape(beam, (*rng.choice(tuple(PALETTE.values())), 60))
    for body in people(canvas, scene, rng, ("ready", "cheer", "stand"), (1.5, 0.1)):
        guitar(canvas, body, rng)
    top = canvas.height - rng.uniform(50, 90)
    crowd(canvas, top, canvas.height, rng.uniform(26, 40), rng, dim=0.35)


def lake(canvas: Canvas, scene: Scene, rng: Random) -> None:
    """People at the shore of a lake with a boat."""
    backdrop(canvas, "hills", rng)
    water = ground(canvas, SEA, rng)
    canvas.area(-60, -20, 60, rng.uniform(-0.5, 0.6), jitter((120, 140, 84), rng))
    for _ in range(40):
        x, z = rng.uniform(-10, 10), rng.uniform(1, 14)
        canvas.stripe((x, z), (x + rng.uniform(0.4, 2), z), 0.05, mix(water, WHITE, 0.3))
    x = rng.uniform(-3.0, 3.0)
    hull = [(x - 1.6, 0.5, 5.0), (x + 1.6, 0.5, 5.0), (x + 1.1, 0.0, 5.0), (x - 1.1, 0.0, 5.0)]
    canvas.face(hull, jitter(PALETTE[scene.rival], rng))
    people(canvas, scene, rng, ("stand", "stand", "kneel"), (0.9, 0.0))


def bike(canvas: Canvas, scene: Scene, rng: Random) -> None:
    """Someone on a bicycle."""
    backdrop(canvas, scene.place, rng)
    ground(canvas, SURFACES[rng.choice(("gray", "brown", "green"))], rng)
    ahead = rng.choice((1, -1))
    bicycle(canvas, ahead, jitter(PALETTE[scene.rival], rng))
    helmet = jitter(PALETTE[scene.rival], rng)
    wear = replace(clothes(scene.colour, scene, rng), helmet=helmet)
    person(canvas, (-ahead * 0.2, 0, 0), "ride", wear, rng, ahead=ahead, size=scene.size)
