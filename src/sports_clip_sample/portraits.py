"""Sportspeople who pose and people who watch: pictures that show little of the sport."""

from dataclasses import replace
from random import Random

from sports_clip_sample.ball_sports import patched_ball, racket, seamed_ball
from sports_clip_sample.canvas import PALETTE, SKINS, WHITE, Canvas, jitter, shade
from sports_clip_sample.ice_water import stick
from sports_clip_sample.people import Body, Kit, kit, person
from sports_clip_sample.scenes import Scene
from sports_clip_sample.venues import SURFACES, backdrop, crowd, ground, venue


def portrait(canvas: Canvas, scene: Scene, rng: Random) -> None:
    """Sportspeople who pose, with little around them that tells of their sport."""
    distance, height, field = rng.uniform(3.6, 5.5), rng.uniform(1.2, 1.7), rng.uniform(22, 28)
    aim = (0, 1.2 * scene.size, 0)
    canvas.view(rng.uniform(-20, 20), distance, height, aim, field, back=rng.uniform(4, 10))
    backdrop(canvas, rng.choice((scene.venue, "gym", "park", "street")), rng)
    ground(canvas, SURFACES[rng.choice(("green", "gray", "wooden"))], rng)
    count = rng.randrange(2, 5) if scene.several else 1
    for i in range(count):
        at = ((i - (count - 1) / 2) * 0.75, 0.0, rng.uniform(0, 0.4))
        pose = rng.choice(("stand", "cheer", "stand", "walk"))
        body = person(canvas, at, pose, outfit(scene, rng), rng, size=scene.size)
        if i == 0 and rng.random() < 0.7:
            _carry(canvas, body, scene, rng)


def outfit(scene: Scene, rng: Random) -> Kit:
    """What people of this sport wear."""
    colour, dark = jitter(PALETTE[scene.colour], rng), jitter((50, 54, 66), rng)
    chest, often, hair = colour if scene.female else None, rng.random() < 0.6, scene.female
    if scene.kind == "boxing":
        gloves = jitter(PALETTE["red"], rng) if often else None
        return Kit(chest, colour, None, gloves=gloves, glove_size=1.4, long_hair=hair)
    if scene.kind == "ice_hockey":
        helmet = colour if often else None
        return Kit(colour, dark, colour, sleeves=True, padding=1.3, helmet=helmet)
    if scene.kind == "formula1":
        cap = colour if often else None
        return Kit(colour, colour, None, sleeves=True, trousers=True, cap=cap, stripe=WHITE)
    if scene.kind == "swimming":
        return Kit(chest, colour, None, shoes=SKINS[2], cap=colour if often else None)
    if scene.kind == "chess":
        shirt = colour if often else dark
        return Kit(shirt, dark, None, sleeves=True, trousers=True, long_hair=hair)
    skirt = scene.kind == "tennis" and scene.female
    return replace(kit(scene.colour, rng), long_hair=hair, skirt=skirt)


def _carry(canvas: Canvas, body: Body, scene: Scene, rng: Random) -> None:
    """Something in the hand: what the sport is played with, or a cup."""
    (u, v), z = body.hand, body.zoom
    if scene.kind == "tennis":
        racket(canvas, body, rng.uniform(40, 100), rng)
    elif scene.kind == "football":
        patched_ball(canvas, u, v, 0.13 * z, rng)
    elif scene.kind == "basketball":
        seamed_ball(canvas, u, v, 0.15 * z, rng)
    elif scene.kind == "ice_hockey":
        stick(canvas, body, (u + body.ahead * 0.5 * z, v + 0.9 * z), rng)
    else:
        _cup(canvas, body)


def _cup(canvas: Canvas, body: Body) -> None:
    (u, v), z, gold = body.hand, body.zoom, (226, 186, 66)
    canvas.trapezoid(u, v - 0.36 * z, 0.13 * z, v - 0.12 * z, 0.04 * z, gold)
    canvas.box(u - 0.02 * z, v - 0.14 * z, u + 0.02 * z, v, gold)
    canvas.box(u - 0.08 * z, v - 0.02 * z, u + 0.08 * z, v + 0.03 * z, shade(gold, 0.7))


def spectators(canvas: Canvas, scene: Scene, rng: Random) -> None:
    """People who watch, in the colours of their side."""
    canvas.horizon = canvas.height * rng.uniform(0.2, 0.5)
    name = rng.choice((scene.venue, "stadium")) if scene.venue != "room" else "gym"
    venue(canvas, name, (96, 98, 108), rng)
    crowd(canvas, canvas.horizon, canvas.height, rng.uniform(26, 44), rng)
    for _ in range(rng.randrange(1, 5)):
        u, v = rng.uniform(0, canvas.width), rng.uniform(canvas.horizon, canvas.height * 0.9)
        canvas.limb((u, v), (u + 6, v - 120), 4, (150, 120, 80))
        flag = jitter(PALETTE[rng.choice((scene.colour, scene.rival))], rng)
        canvas.shape([(u + 6, v - 120), (u + 86, v - 110), (u + 82, v - 62), (u + 3, v - 70)], flag)
