"""Leisure that looks like sport: a ball in the yard, a pool party, skaters, two at a table."""

from __future__ import annotations

from random import Random

from sports_clip_pipeline.sample import daily_scenes
from sports_clip_pipeline.sample.backdrops import SURFACES, backdrop, ground
from sports_clip_pipeline.sample.canvas import PALETTE, SKINS, WHITE, Canvas, jitter, mix, shade
from sports_clip_pipeline.sample.daily_scenes import SNOW, clothes, people
from sports_clip_pipeline.sample.figures import Kit, person
from sports_clip_pipeline.sample.story import Scene


def daily(canvas: Canvas, scene: Scene, rng: Random) -> None:
    """Draw one of `story.DAILY`.

    Raises: KeyError: a scene that nobody draws.
    """
    distance, height = rng.uniform(5, 9), rng.uniform(0.9, 2.2)
    around, field, back = rng.uniform(-30, 30), rng.uniform(24, 36), rng.uniform(10, 25)
    canvas.view(around, distance, height, (0, 0.8, 0), field, back=back)
    {
        "dog_grass": daily_scenes.dog_grass,
        "dog_beach": daily_scenes.dog_beach,
        "beach": daily_scenes.beach,
        "street": daily_scenes.street,
        "snow": daily_scenes.snow,
        "playground": daily_scenes.playground,
        "concert": daily_scenes.concert,
        "lake": daily_scenes.lake,
        "bicycle": daily_scenes.bike,
        "yard": _yard,
        "pool_party": _pool_party,
        "skaters": _skaters,
        "cafe": _cafe,
    }[scene.kind](canvas, scene, rng)


def _yard(canvas: Canvas, scene: Scene, rng: Random) -> None:
    """People on a lawn with a beach ball."""
    backdrop(canvas, scene.place, rng)
    ground(canvas, SURFACES["green"], rng)
    people(canvas, scene, rng, ("run", "cheer", "kick", "walk"))
    at = (rng.uniform(-1.6, 1.6), rng.uniform(0.2, 1.8), -0.2)
    canvas.shadow(at, 0.2)
    canvas.ball(at, 0.2, jitter(PALETTE[scene.rival], rng))


def _pool_party(canvas: Canvas, scene: Scene, rng: Random) -> None:
    """People in swimsuits beside a pool with a float."""
    backdrop(canvas, scene.place, rng)
    ground(canvas, (206, 204, 194), rng)
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
    backdrop(canvas, scene.place, rng)
    ice = ground(canvas, SNOW, rng)
    for _ in range(24):
        x, z = rng.uniform(-6, 6), rng.uniform(-3, 8)
        canvas.stripe(
            (x, z), (x + rng.uniform(-2, 2), z + rng.uniform(-1, 1)), 0.03, shade(ice, 0.9)
        )
    for body in people(canvas, scene, rng, ("skate", "walk", "ready")):
        for u, v in (body.foot, body.far_foot):
            z = body.zoom
            canvas.box(u - 0.1 * z, v + 0.07 * z, u + 0.2 * z, v + 0.1 * z, (200, 208, 216))


def _cafe(canvas: Canvas, scene: Scene, rng: Random) -> None:
    """Two people at a table with cups."""
    backdrop(canvas, rng.choice(("room", "street", "park")), rng)
    ground(canvas, (150, 128, 108), rng)
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
