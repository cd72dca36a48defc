"""Football, tennis and basketball: grounds with lines, nets, hoops and people with a ball."""

from dataclasses import replace
from itertools import pairwise
from math import cos, pi, radians, sin
from random import Random

from sports_clip_sample.canvas import PALETTE, WHITE, Canvas, Colour, Point, jitter, shade
from sports_clip_sample.people import Body, Kit, kit, person
from sports_clip_sample.scenes import Scene
from sports_clip_sample.venues import SURFACES, backdrop, ground, venue


def stand_off(view: str, rng: Random) -> tuple[float, float, float]:
    """(distance, height, vertical field of view) of a spectator for this view."""
    if view == "wide":
        return rng.uniform(13, 22), rng.uniform(2.5, 7), rng.uniform(26, 36)
    if view == "close":
        return rng.uniform(4.2, 5.6), rng.uniform(0.6, 1.8), rng.uniform(22, 28)
    return rng.uniform(6, 10), rng.uniform(0.8, 2.6), rng.uniform(22, 32)


def football(canvas: Canvas, scene: Scene, rng: Random) -> None:
    """Players and a ball on a pitch, with or without a goal."""
    distance, height, field = stand_off(scene.view, rng)
    aim_y = 0.6 if scene.view == "close" else rng.uniform(0.5, 1.1)
    aim = (rng.uniform(-0.05, 0.05) * distance, aim_y, 0.0)
    canvas.view(rng.uniform(-50, 50), distance, height, aim, field, back=rng.uniform(12, 30))
    grass = venue(canvas, scene.venue, SURFACES[scene.ground], rng)
    _mow(canvas, grass, rng)
    _pitch(canvas, rng)
    with_goal = rng.random() < 0.45
    if with_goal:
        _goal(canvas, rng.uniform(-4, 1), rng.uniform(3, 9), rng)
    players = _others(scene, rng)
    for x, z in sorted(players, key=lambda place: -place[1]):
        name = scene.rival if rng.random() < 0.6 else scene.colour
        pose = rng.choice(("run", "sprint", "ready", "walk", "stand", "run"))
        person(canvas, (x, 0, z), pose, kit(name, rng), rng)
    _footballer(canvas, scene, rng)


def _footballer(canvas: Canvas, scene: Scene, rng: Random) -> None:
    ahead = rng.choice((1, -1))
    pose = rng.choice(("kick", "kick", "run", "sprint", "tackle", "head", "dive"))
    wear = kit(scene.colour, rng)
    if pose == "dive":
        wear = replace(wear, gloves=PALETTE["white"], sleeves=True, glove_size=1.3)
    wear = replace(wear, long_hair=scene.female)
    person(canvas, (0, 0, 0), pose, wear, rng, ahead=ahead, size=scene.size)
    reach, up = {
        "kick": (0.85, 0.12), "run": (0.75, 0.11), "sprint": (0.9, 0.11), "tackle": (0.9, 0.11),
        "head": (0.35, 2.3), "dive": (1.4, 1.4),
    }[pose]  # fmt: skip
    at = (ahead * reach * rng.uniform(0.8, 1.5), up, -0.1)
    canvas.shadow(at, 0.14)
    u, v = canvas.camera.pixel(at)
    patched_ball(canvas, u, v, max(1.5, 0.13 * canvas.camera.scale(at)), rng)


def patched_ball(canvas: Canvas, u: float, v: float, r: float, rng: Random) -> None:
    """A white ball with dark patches, r pixels in radius."""
    colour = jitter((240, 240, 240), rng, 10)
    canvas.globe(u, v, r, colour)
    patch = rng.choice(((36, 36, 40), (36, 36, 40), (30, 60, 160), (200, 70, 30)))
    if r > 3:
        for du, dv in ((0, -0.1), (-0.62, 0.4), (0.6, 0.45), (0.55, -0.6), (-0.6, -0.55)):
            canvas.disc(u + du * r, v + dv * r, r * 0.24, patch)


def _others(scene: Scene, rng: Random) -> list[tuple[float, float]]:
    count = rng.randrange(3, 8) if scene.view == "wide" else rng.randrange(1, 4)
    if not scene.several:
        return []
    spread = 7 if scene.view == "wide" else 3.2
    return [(rng.uniform(-spread, spread), rng.uniform(0.8, 6)) for _ in range(count)]


def _mow(canvas: Canvas, grass: Colour, rng: Random) -> None:
    if rng.random() < 0.6:
        wide = rng.uniform(2, 5)
        for i in range(-6, 7, 2):
            canvas.area(i * wide, -20, (i + 1) * wide, 60, (*shade(grass, 0.85), 90))
    for _ in range(120):
        u, v = rng.uniform(0, canvas.width), rng.uniform(canvas.horizon, canvas.height)
        canvas.pen.line(
            [u, v, u + rng.uniform(-3, 3), v - rng.uniform(3, 7)],
            fill=shade(grass, rng.uniform(0.75, 1.15)),
            width=1,
        )


def _pitch(canvas: Canvas, rng: Random) -> None:
    if rng.random() < 0.75:
        x, z = rng.uniform(-6, 6), rng.uniform(-2, 6)
        canvas.stripe((x - 40, z), (x + 40, z), 0.12, WHITE)
        canvas.stripe((x, z), (x, z + 30 * rng.choice((1, -1))), 0.12, WHITE)


def _goal(canvas: Canvas, x: float, z: float, rng: Random) -> None:
    wide, high, deep = rng.uniform(5, 7.3), 2.44, 1.6
    net: Colour = (214, 218, 220)
    for i in range(15):
        across = x + wide * i / 14
        canvas.pole((across, high, z), (across, 0.05, z + deep), 0.02, net)
    for i in range(7):
        y = high * i / 6
        canvas.pole(
            (x, y, z + deep * (1 - i / 6)), (x + wide, y, z + deep * (1 - i / 6)), 0.02, net
        )
    for a, b in (
        ((x, 0, z), (x, high, z)),
        ((x + wide, 0, z), (x + wide, high, z)),
        ((x, high, z), (x + wide, high, z)),
    ):
        canvas.pole(a, b, 0.14, WHITE)


def tennis(canvas: Canvas, scene: Scene, rng: Random) -> None:
    """A player with a racket on a court, the net before or behind."""
    distance, height, field = stand_off(scene.view, rng)
    aim = (rng.uniform(-0.05, 0.05) * distance, rng.uniform(0.8, 1.3), 0.0)
    canvas.view(rng.uniform(-45, 45), distance, height, aim, field, back=rng.uniform(9, 20))
    backdrop(canvas, scene.venue, rng)
    around = SURFACES[rng.choice((scene.ground, "green", "blue", "orange"))]
    ground(canvas, around, rng)
    _court(canvas, scene, rng)
    net = rng.choice((rng.uniform(2, 7), rng.uniform(2, 7), None, -1.6))
    if net is not None and net > 0:
        if scene.several and rng.random() < 0.7:
            _tennis_player(canvas, scene.rival, (rng.uniform(-3, 3), 0, net + 3.5), scene, rng)
        _net(canvas, net)
    _tennis_player(canvas, scene.colour, (0, 0, 0), scene, rng)
    if net is not None and net < 0 and scene.view != "close":
        _net(canvas, net)


def _court(canvas: Canvas, scene: Scene, rng: Random) -> None:
    colour = jitter(SURFACES[scene.ground], rng)
    x = rng.uniform(-2, 2)
    near, far = rng.uniform(-4, -1), rng.uniform(7, 12)
    canvas.area(x - 5.5, near, x + 5.5, far, colour)
    canvas.frame(x - 5.5, near, x + 5.5, far, 0.1, WHITE)
    for line in (x - 4.1, x + 4.1):
        canvas.stripe((line, near), (line, far), 0.08, WHITE)
    canvas.stripe((x - 4.1, near + 3), (x + 4.1, near + 3), 0.08, WHITE)


def _net(canvas: Canvas, z: float) -> None:
    for i in range(41):
        x = -6.4 + 12.8 * i / 40
        canvas.pole((x, 0, z), (x, 0.95, z), 0.012, (60, 64, 66))
    for i in range(8):
        canvas.pole((-6.4, i * 0.13, z), (6.4, i * 0.13, z), 0.012, (60, 64, 66))
    canvas.pole((-6.4, 0.96, z), (6.4, 0.96, z), 0.08, WHITE)
    for x in (-6.4, 6.4):
        canvas.pole((x, 0, z), (x, 1.07, z), 0.1, (50, 60, 54))


def _tennis_player(canvas: Canvas, name: str, at: Point, scene: Scene, rng: Random) -> None:
    ahead = rng.choice((1, -1))
    pose = rng.choice(("forehand", "backhand", "serve", "ready", "forehand"))
    wear = kit(name, rng, other=rng.choice((name, "white", "black")))
    wear = replace(
        wear, skirt=scene.female, long_hair=scene.female, socks=jitter(WHITE, rng, 6),
        band=PALETTE["white"] if rng.random() < 0.3 else None, cap=jitter(PALETTE["white"],
        rng) if rng.random() < 0.3 else None,
    )  # fmt: skip
    body = person(canvas, at, pose, wear, rng, ahead=ahead, size=scene.size)
    angle = {"forehand": -20, "backhand": 10, "serve": -70, "ready": -40}[pose]
    racket(canvas, body, angle + rng.uniform(-25, 25), rng)
    reach, up = {
        "forehand": (1.2, 1.1), "backhand": (1.1, 0.9), "serve": (0.5, 2.9), "ready": (2.4, 1.3),
    }[pose]  # fmt: skip
    ball = (at[0] + ahead * reach * rng.uniform(0.9, 1.4), up * rng.uniform(0.85, 1.2), at[2] - 0.1)
    canvas.ball(ball, 0.06, jitter((212, 226, 60), rng, 10))


def racket(canvas: Canvas, body: Body, angle_deg: float, rng: Random) -> None:
    """A tennis racket in the nearer hand; 0 degrees points ahead, -90 up."""
    u, v = body.hand
    du, dv = cos(radians(angle_deg)) * body.ahead, sin(radians(angle_deg))
    z = body.zoom
    neck, middle = (u + du * 0.3 * z, v + dv * 0.3 * z), (u + du * 0.5 * z, v + dv * 0.5 * z)
    canvas.limb((u, v), neck, 0.045 * z, (44, 44, 50))
    rim = jitter(
        rng.choice((PALETTE["red"], PALETTE["black"], PALETTE["blue"], PALETTE["yellow"])), rng
    )
    _oval(canvas, middle, 0.19 * z, 0.145 * z, angle_deg * body.ahead, rim)


def _oval(
    canvas: Canvas, middle: tuple[float, float], a: float, b: float, angle_deg: float, rim: Colour
) -> None:
    """The racket's head: a tilted ring with strings."""
    tilt = radians(angle_deg)

    def at(t: float, k: float = 1.0) -> tuple[float, float]:
        x, y = a * k * cos(t), b * k * sin(t)
        return middle[0] + x * cos(tilt) - y * sin(tilt), middle[1] + x * sin(tilt) + y * cos(tilt)

    canvas.shape([at(i * pi / 10) for i in range(20)], (236, 236, 220, 90))
    for i in range(1, 10):
        canvas.pen.line([at(i * pi / 10), at(-i * pi / 10)], fill=(232, 232, 224), width=1)
    for i in (6, 7, 8, 9, 10, 11, 12, 13, 14):
        canvas.pen.line([at(i * pi / 10), at(pi - i * pi / 10)], fill=(232, 232, 224), width=1)
    ring = [at(i * pi / 12) for i in range(25)]
    canvas.pen.line(ring, fill=rim, width=max(2, round(a * 0.16)), joint="curve")


def basketball(canvas: Canvas, scene: Scene, rng: Random) -> None:
    """Players with an orange ball, under the basket or on their way to it."""
    distance, height, field = stand_off(scene.view, rng)
    canvas.view(
        rng.uniform(-40, 40), distance, height, (rng.uniform(-0.05, 0.05) * distance, 1.4, 0),
        field, back=rng.uniform(8, 18),
    )  # fmt: skip
    floor = venue(canvas, scene.venue, SURFACES[scene.ground], rng)
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
    size = scene.size * 1.06
    wear = replace(_vest(scene.colour, rng), long_hair=scene.female)
    body = person(canvas, (0, 0, 0), pose, wear, rng, ahead=ahead, size=size)
    (u, v), (on, down), z = body.hand, _HELD[pose], body.zoom
    seamed_ball(canvas, u + on * z * body.ahead, v + down * z, 0.14 * z, rng)


def _vest(name: str, rng: Random) -> Kit:
    return kit(name, rng, other=name if rng.random() < 0.8 else "white")


# Where the ball is from the hand, in metres ahead and down.
_HELD = {
    "dribble": (0.1, 0.3), "shoot": (0.15, -0.25), "dunk": (0.1, -0.12), "run": (0.12, 0.05),
    "block": (0.3, -0.3),
}  # fmt: skip


def seamed_ball(canvas: Canvas, u: float, v: float, r: float, rng: Random) -> None:
    """An orange ball with dark seams, r pixels in radius."""
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
    z = rng.uniform(0.8, 1.6)
    canvas.pole((x, 0, z + 1.2), (x, 3.0, z + 1.2), 0.16, (70, 74, 84))
    canvas.pole((x, 2.9, z + 1.2), (x, 3.1, z), 0.1, (70, 74, 84))
    canvas.wall(x - 0.9, 2.75, x + 0.9, 3.8, z, jitter((236, 240, 244), rng, 8))
    red = jitter((206, 60, 40), rng)
    for y in (2.76, 3.8):
        canvas.pole((x - 0.9, y, z), (x + 0.9, y, z), 0.05, red)
    for a, b, y0, y1 in ((-0.3, 0.3, 3.5, 3.5), (-0.3, -0.3, 3.05, 3.5), (0.3, 0.3, 3.05, 3.5)):
        canvas.pole((x + a, y0, z), (x + b, y1, z), 0.05, red)
    ring = [(x + 0.28 * cos(t * pi / 8), 3.0, z - 0.35 + 0.28 * sin(t * pi / 8)) for t in range(17)]
    for a3, b3 in pairwise(ring):
        canvas.pole(a3, b3, 0.045, (232, 92, 34))
    for i in range(0, 16, 2):
        px, _, pz = ring[i]
        low = (x + (px - x) * 0.6, 2.55, z - 0.35 + (pz - z + 0.35) * 0.6)
        canvas.pole((px, 3.0, pz), low, 0.025, (240, 240, 240))
        nx, _, nz = ring[(i + 2) % 16]
        canvas.pole((nx, 3.0, nz), low, 0.025, (240, 240, 240))
