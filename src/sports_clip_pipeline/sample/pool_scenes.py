"""Swimming: lanes, ropes, swimmers and divers."""

from __future__ import annotations

from random import Random

from sports_clip_pipeline.sample.backdrops import SURFACES, backdrop, ground
from sports_clip_pipeline.sample.canvas import (
    HAIRS,
    PALETTE,
    SKINS,
    WHITE,
    Canvas,
    Colour,
    jitter,
    mix,
    shade,
)
from sports_clip_pipeline.sample.figures import Kit, person
from sports_clip_pipeline.sample.story import Scene


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
    s, ahead = canvas.camera.scale((x, 0, z)) * scene.size, rng.choice((1, -1))
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
    person(canvas, at, "plunge", wear, rng, shadow=False)
