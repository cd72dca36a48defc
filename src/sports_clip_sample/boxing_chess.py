"""Boxing and chess: the ring, the bag, the board and the players at their tables."""

from random import Random

from sports_clip_sample.ball_sports import stand_off
from sports_clip_sample.canvas import PALETTE, SKINS, Canvas, Colour, Point, jitter, mix, shade
from sports_clip_sample.people import Body, Kit, person
from sports_clip_sample.scenes import Scene
from sports_clip_sample.venues import SURFACES, backdrop, ground, venue


def boxing(canvas: Canvas, scene: Scene, rng: Random) -> None:
    """Two boxers in a ring, or one at the bag."""
    distance, height, field = stand_off(scene.view, rng)
    canvas.view(
        rng.uniform(-40, 40), distance * 0.85, max(1.1, height), (0, 1.1, 0), field,
        back=rng.uniform(7, 14),
    )  # fmt: skip
    venue(canvas, scene.venue, (46, 46, 54) if scene.venue == "arena" else (124, 112, 98), rng)
    if scene.venue == "gym" and rng.random() < 0.5:
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
        shirt, jitter(PALETTE[name], rng), None, gloves=glove, helmet=head, glove_size=1.45,
        padding=1.06, long_hair=scene.female,
    )  # fmt: skip
    return person(canvas, at, pose, wear, rng, ahead=ahead, size=scene.size)


def _bag(canvas: Canvas, scene: Scene, rng: Random) -> None:
    x = 0.75
    canvas.pole((x, 2.0, 0), (x, 4.5, 0), 0.03, (90, 90, 96))
    canvas.pole(
        (x, 0.8, 0), (x, 2.0, 0), 0.42, jitter(PALETTE[rng.choice(("red", "black", "blue"))], rng)
    )
    canvas.pole((x, 1.75, 0), (x, 1.85, 0), 0.42, (226, 226, 226))
    boxer(
        canvas, (-0.1, 0, 0), rng.choice(("punch", "guard", "uppercut")), scene, scene.colour, rng,
        1,
    )  # fmt: skip


def _ropes(canvas: Canvas, colours: list[Colour], ends: list[tuple[float, float]]) -> None:
    (x0, z0), (x1, z1) = ends
    for y, colour in zip((0.5, 0.95, 1.4), colours, strict=True):
        canvas.pole((x0, y, z0), (x1, y, z1), 0.05, colour)
    for x, z in ends:
        canvas.pole((x, 0, z), (x, 1.5, z), 0.14, (60, 60, 66))


IVORY: Colour = (236, 222, 190)
EBONY: Colour = (52, 38, 32)
# view: bearing, distance, height of the camera, height aimed at, field of view (lowest, highest).
_CAMERAS = {
    "close": (35, (0.8, 1.2), (1.15, 1.75), 0.82, (26, 36)),
    "action": (25, (2.4, 3.4), (1.3, 1.9), 0.92, (28, 36)),
    "wide": (30, (4.0, 6.0), (1.4, 2.4), 0.9, (28, 38)),
}


def chess(canvas: Canvas, scene: Scene, rng: Random) -> None:
    """A board with pieces: by itself, or with the players at the table."""
    bearing, far, high, aim, field = _CAMERAS[scene.view]
    around, distance, height = rng.uniform(-bearing, bearing), rng.uniform(*far), rng.uniform(*high)
    canvas.view(around, distance, height, (0, aim, 0), rng.uniform(*field), back=5)
    backdrop(canvas, scene.venue, rng)
    floor = SURFACES["green"] if scene.venue == "park" else jitter((140, 104, 76), rng, 24)
    ground(canvas, floor, rng)
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
        canvas.area(x - 0.62, z - 0.42, x + 0.62, z + 0.45, shade(wood, light), low)
    canvas.wall(x - 0.62, top - 0.06, x + 0.62, top, z - 0.42, shade(wood, 0.75))
    chess_board(canvas, x, top + 0.01, z, 0.64, rng)
    if rng.random() < 0.4:
        _clock(canvas, (x + 0.1, top, z + 0.4), rng)


def _chess_player(
    canvas: Canvas, at: Point, name: str, ahead: int, scene: Scene, rng: Random
) -> None:
    suit = rng.random() < 0.35
    shirt = jitter((52, 56, 70) if suit else PALETTE[name], rng)
    wear = Kit(
        shirt, jitter((58, 62, 84), rng), None, sleeves=True, trousers=True,
        cap=jitter(PALETTE[name], rng) if rng.random() < 0.12 else None, long_hair=scene.female,
    )  # fmt: skip
    chair = (at[0] - ahead * 0.12, 0.0, at[2])
    canvas.pole(chair, (chair[0], 0.45, chair[2]), 0.3, (84, 62, 48))
    canvas.pole(
        (chair[0] - ahead * 0.18, 0.4, chair[2]), (chair[0] - ahead * 0.24, 0.95, chair[2]), 0.06,
        (84, 62, 48),
    )  # fmt: skip
    person(
        canvas, at, rng.choice(("think", "reach", "sit")), wear, rng, ahead=ahead, size=scene.size
    )


def chess_board(canvas: Canvas, x: float, y: float, z: float, side: float, rng: Random) -> None:
    """A board of eight by eight squares on the table at (x, y, z), with pieces of a game."""
    light, dark = rng.choice(
        ((IVORY, (136, 92, 60)), ((240, 240, 236), (60, 60, 64)), ((238, 236, 208), (92, 138, 84)),
        (IVORY, (92, 60, 46))),
    )  # fmt: skip
    cell, left, near = side / 8, x - side / 2, z - side / 2
    canvas.area(
        left - 0.03, near - 0.03, left + side + 0.03, near + side + 0.03, shade(dark, 0.7), y
    )
    for i in range(8):
        for j in range(8):
            colour = light if (i + j) % 2 else dark
            canvas.area(
                left + i * cell, near + j * cell, left + (i + 1) * cell, near + (j + 1) * cell,
                colour, y + 0.004,
            )  # fmt: skip
    played = rng.uniform(0.15, 0.7)
    for j in range(7, -1, -1):
        for i in range(8):
            home = j in (0, 1, 6, 7)
            if rng.random() < (1 - played if home else played * 0.3):
                white = j < 4 if rng.random() < 0.85 else j >= 4
                tall = (0.055 if j in (1, 6) else rng.choice((0.075, 0.085, 0.1))) * side / 0.55
                piece(
                    canvas, (left + (i + 0.5) * cell, y, near + (j + 0.5) * cell), tall,
                    IVORY if white else EBONY, rng,
                )  # fmt: skip


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
    canvas.trapezoid(u, v, wide * 0.85, top + high * 0.3, wide * 0.35, colour)
    canvas.disc(u, top + high * 0.22, wide * 0.6, mix(colour, (255, 255, 255), 0.12))
    if tall > 0.09:
        canvas.box(u - wide * 0.12, top - high * 0.1, u + wide * 0.12, top + high * 0.12, colour)
        canvas.box(u - wide * 0.35, top - high * 0.04, u + wide * 0.35, top + high * 0.03, colour)


def _clock(canvas: Canvas, at: Point, rng: Random) -> None:
    x, y, z = at
    canvas.wall(x - 0.12, y, x + 0.12, y + 0.1, z, jitter((110, 70, 44), rng, 30))
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
            (u + side * 0.06 * z, v + dv * z - 0.02 * z), (u, v + dv * z * 0.4), 0.02 * z,
            shade(skin, 0.95),
        )  # fmt: skip
