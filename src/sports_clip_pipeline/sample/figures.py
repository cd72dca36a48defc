"""People: a flat skeleton of angles, dressed in a kit and drawn at their place in the scene."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import cos, radians, sin
from random import Random

from sports_clip_pipeline.sample.camera import Pixel, Point
from sports_clip_pipeline.sample.canvas import HAIRS, PALETTE, SKINS, Canvas, Colour, jitter, shade

THIGH, SHIN, TORSO, UPPER_ARM, FOREARM = 0.46, 0.46, 0.54, 0.3, 0.28
NECK, HEAD = 0.1, 0.13


@dataclass(frozen=True)
class Pose:
    """Angles in degrees: 0 hangs down, 90 points ahead, 180 up; the torso leans from upright.

    Each limb is (upper, lower), first the one nearer to the spectator. `lift` is the height of
    the lowest joint over the ground in metres.
    """

    lean: float
    leg: tuple[float, float]
    far_leg: tuple[float, float]
    arm: tuple[float, float]
    far_arm: tuple[float, float]
    lift: float = 0.0


POSES = {
    "stand": Pose(0, (6, 2), (-8, -3), (12, 22), (-12, -4)),
    "ready": Pose(20, (38, -18), (-14, -42), (40, 95), (35, 100)),
    "walk": Pose(4, (22, 8), (-20, -34), (-24, 0), (26, 46)),
    "run": Pose(17, (58, -18), (-26, -84), (-48, 38), (52, 118)),
    "sprint": Pose(24, (74, -6), (-36, -66), (-62, 22), (66, 132)),
    "kick": Pose(-14, (62, 48), (-8, -14), (-62, -34), (64, 84)),
    "tackle": Pose(-38, (84, 80), (30, -62), (-66, -50), (40, 80), 0.05),
    "head": Pose(-6, (-16, -58), (-30, -72), (64, 110), (-58, -20), 0.55),
    "dive": Pose(68, (-62, -78), (-50, -92), (112, 118), (122, 126), 0.55),
    "dribble": Pose(22, (42, -24), (-24, -54), (38, 26), (-34, 40)),
    "shoot": Pose(-4, (12, -22), (-8, -38), (148, 172), (138, 165), 0.45),
    "dunk": Pose(12, (64, -30), (-14, -72), (166, 172), (62, 36), 0.95),
    "block": Pose(0, (6, -12), (-10, -22), (170, 176), (158, 170), 0.3),
    "cheer": Pose(-4, (10, 4), (-12, -6), (152, 172), (164, 186)),
    "forehand": Pose(14, (42, 2), (-38, -34), (72, 98), (-46, 20)),
    "backhand": Pose(20, (46, 4), (-34, -46), (38, 72), (54, 78)),
    "serve": Pose(-10, (10, -4), (-20, -44), (172, 148), (150, 164), 0.12),
    "guard": Pose(10, (22, -8), (-20, -26), (34, 146), (48, 150)),
    "punch": Pose(17, (34, 0), (-32, -42), (88, 90), (42, 148)),
    "uppercut": Pose(10, (28, -12), (-22, -40), (52, 140), (30, 140)),
    "reel": Pose(-22, (20, -2), (-10, -16), (34, 70), (-30, 20)),
    "skate": Pose(42, (54, -12), (-34, -58), (26, 52), (54, 66)),
    "slap": Pose(34, (40, -16), (-36, -42), (16, 30), (50, 62)),
    "goalie": Pose(22, (44, -24), (-34, 22), (58, 30), (-46, -10)),
    "sit": Pose(8, (86, 4), (80, -2), (40, 92), (30, 100)),
    "think": Pose(24, (86, 4), (80, -2), (44, 150), (34, 96)),
    "reach": Pose(26, (86, 4), (80, -2), (64, 84), (28, 98)),
    "plunge": Pose(64, (-58, -64), (-52, -60), (126, 132), (130, 136), 0.75),
    "kneel": Pose(12, (88, 0), (-2, -88), (30, 60), (20, 50)),
    "ride": Pose(34, (72, -18), (30, -34), (64, 84), (58, 80), 0.3),
}


@dataclass(frozen=True)
class Kit:
    """What someone wears; None leaves the skin or the hair bare."""

    shirt: Colour | None
    shorts: Colour
    socks: Colour | None
    shoes: Colour = (40, 40, 44)
    sleeves: bool = False
    trousers: bool = False
    helmet: Colour | None = None
    gloves: Colour | None = None
    cap: Colour | None = None
    band: Colour | None = None
    pads: bool = False
    glove_size: float = 1.0
    padding: float = 1.0
    skirt: bool = False
    long_hair: bool = False


@dataclass(frozen=True)
class Body:
    """Where the parts of a drawn person are in the picture, in pixels."""

    hand: Pixel
    far_hand: Pixel
    foot: Pixel
    far_foot: Pixel
    head: Pixel
    shoulder: Pixel
    hip: Pixel
    zoom: float
    ahead: int


def kit(name: str, rng: Random, *, other: str | None = None) -> Kit:
    """A sports kit in a named colour, with shorts and socks that go with it."""
    shirt = jitter(PALETTE[name], rng)
    shorts = jitter(PALETTE[other or rng.choice((name, "white", "black", "blue"))], rng)
    socks = jitter(rng.choice((shirt, shorts, PALETTE["white"])), rng, 6)
    return Kit(
        shirt,
        shorts,
        socks,
        shoes=jitter(rng.choice((PALETTE["black"], PALETTE["white"], PALETTE["orange"])), rng),
    )


def person(
    canvas: Canvas,
    at: Point,
    pose: Pose | str,
    wear: Kit,
    rng: Random,
    *,
    ahead: int = 1,
    size: float = 1.0,
    shadow: bool = True,
) -> Body:
    """Draw someone standing at `at` (the point below the lowest foot).

    Args:
        ahead: 1 faces right, -1 left. `size`: 1 for an adult of 1.8 m.
    Returns: where hands, feet and head came to lie, so that things can be put there.
    """
    stance = loosened(POSES[pose] if isinstance(pose, str) else pose, rng)
    joints = _joints(stance)
    low = min(y for _, y in joints.values())
    zoom = canvas.camera.scale(at) * size
    u, v = canvas.camera.pixel(at)
    if shadow:
        canvas.shadow(at, 0.42 * size)
    placed = {
        name: (u + ahead * x * zoom, v - (y - low + stance.lift + 0.05) * zoom)
        for name, (x, y) in joints.items()
    }
    skin, hair = rng.choice(SKINS), rng.choice(HAIRS)
    _dress(canvas, placed, wear, skin, hair, zoom, ahead)
    return Body(
        placed["hand"],
        placed["far_hand"],
        placed["foot"],
        placed["far_foot"],
        placed["head"],
        placed["shoulder"],
        placed["hip"],
        zoom,
        ahead,
    )


def loosened(pose: Pose, rng: Random, spread: float = 9.0) -> Pose:
    """The same pose as another body would hold it."""

    def pair(limb: tuple[float, float]) -> tuple[float, float]:
        return limb[0] + rng.uniform(-spread, spread), limb[1] + rng.uniform(-spread, spread)

    return replace(
        pose,
        lean=pose.lean + rng.uniform(-spread, spread) / 2,
        leg=pair(pose.leg),
        far_leg=pair(pose.far_leg),
        arm=pair(pose.arm),
        far_arm=pair(pose.far_arm),
    )


def _joints(pose: Pose) -> dict[str, tuple[float, float]]:
    """Joints in metres, hip at the origin, y up, facing +x."""

    def swing(start: tuple[float, float], angle: float, length: float) -> tuple[float, float]:
        return start[0] + sin(radians(angle)) * length, start[1] - cos(radians(angle)) * length

    hip = (0.0, 0.0)
    shoulder = swing(hip, 180 - pose.lean, TORSO)
    joints = {"hip": hip, "shoulder": shoulder}
    joints["head"] = swing(shoulder, 180 - pose.lean * 0.6, NECK + HEAD)
    for side, leg, arm in (("", pose.leg, pose.arm), ("far_", pose.far_leg, pose.far_arm)):
        joints[f"{side}knee"] = swing(hip, leg[0], THIGH)
        joints[f"{side}foot"] = swing(joints[f"{side}knee"], leg[1], SHIN)
        joints[f"{side}elbow"] = swing(shoulder, arm[0], UPPER_ARM)
        joints[f"{side}hand"] = swing(joints[f"{side}elbow"], arm[1], FOREARM)
    return joints


def _dress(
    canvas: Canvas,
    at: dict[str, Pixel],
    wear: Kit,
    skin: Colour,
    hair: Colour,
    zoom: float,
    ahead: int,
) -> None:
    """Paint far limbs, torso, head and near limbs, in this order."""
    _arm(canvas, at, "far_", wear, shade(skin, 0.82), zoom, 0.82)
    _leg(canvas, at, "far_", wear, shade(skin, 0.82), zoom, 0.8, ahead)
    _leg(canvas, at, "", wear, skin, zoom, 1.0, ahead)
    _torso(canvas, at, wear, skin, zoom)
    _head(canvas, at, wear, skin, hair, zoom, ahead)
    _arm(canvas, at, "", wear, skin, zoom, 1.08)


def _leg(
    canvas: Canvas,
    at: dict[str, Pixel],
    side: str,
    wear: Kit,
    skin: Colour,
    zoom: float,
    light: float,
    ahead: int,
) -> None:
    hip, knee, foot = at["hip"], at[f"{side}knee"], at[f"{side}foot"]
    lower = wear.shorts if wear.trousers else skin
    thick = 0.16 * zoom * wear.padding
    canvas.limb(hip, knee, thick, shade(wear.shorts, light) if wear.trousers else skin)
    canvas.limb(knee, foot, thick * 0.82, shade(lower, light) if wear.trousers else lower)
    if not wear.trousers:
        canvas.limb(hip, _between(hip, knee, 0.62), 0.2 * zoom, shade(wear.shorts, light))
    if wear.socks is not None:
        width = 0.26 if wear.pads else 0.135
        canvas.limb(_between(knee, foot, 0.25), foot, width * zoom, shade(wear.socks, light))
    toe = (foot[0] + ahead * 0.15 * zoom, foot[1] + 0.02 * zoom)
    canvas.limb((foot[0], foot[1] + 0.02 * zoom), toe, 0.1 * zoom, shade(wear.shoes, light))


def _torso(canvas: Canvas, at: dict[str, Pixel], wear: Kit, skin: Colour, zoom: float) -> None:
    hip, shoulder = at["hip"], at["shoulder"]
    colour = wear.shirt or skin
    wide = 0.31 * zoom * wear.padding
    canvas.limb(hip, _between(hip, shoulder, 0.3), wide * 0.86, wear.shorts)
    canvas.limb(_between(hip, shoulder, 0.28), _between(hip, shoulder, 0.88), wide, colour)
    dark = shade(colour, 0.86)
    canvas.limb(_between(hip, shoulder, 0.3), _between(hip, shoulder, 0.7), wide * 0.3, dark)
    if wear.skirt:
        (u, v), flare = hip, 0.26 * zoom
        canvas.shape(
            [
                (u - flare * 0.6, v - flare * 0.5),
                (u + flare * 0.6, v - flare * 0.5),
                (u + flare, v + flare),
                (u - flare, v + flare),
            ],
            wear.shorts,
        )
    canvas.limb(shoulder, _between(shoulder, at["head"], 0.6), 0.11 * zoom, skin)


def _head(
    canvas: Canvas,
    at: dict[str, Pixel],
    wear: Kit,
    skin: Colour,
    hair: Colour,
    zoom: float,
    ahead: int,
) -> None:
    u, v = at["head"]
    r = HEAD * zoom
    bare = wear.helmet is None and wear.cap is None
    if wear.long_hair and bare:
        canvas.limb((u - ahead * r * 0.6, v), (u - ahead * r * 1.2, v + r * 1.5), r * 0.7, hair)
    canvas.disc(u, v, r, skin, 1.12)
    cover = wear.helmet or wear.cap or hair
    spread = 1.16 if wear.helmet else 1.06
    box = (u - r * spread, v - r * 1.22 * spread, u + r * spread, v + r * 1.1 * spread)
    start, end = (170, 20) if ahead > 0 else (160, 10)
    canvas.pen.chord(
        box, start - (20 if ahead > 0 else 0), end - (0 if ahead > 0 else -20), fill=cover
    )
    if wear.helmet is not None:
        canvas.disc(u - ahead * r * 0.35, v, r * 0.85, cover, 1.1)
    if wear.cap is not None and wear.helmet is None:
        canvas.limb(
            (u, v - r * 0.35), (u + ahead * r * 1.5, v - r * 0.3), r * 0.3, shade(cover, 0.8)
        )
    if wear.band is not None:
        canvas.limb((u - r, v - r * 0.3), (u + r, v - r * 0.4), r * 0.34, wear.band)
    if r > 9:
        canvas.disc(u + ahead * r * 0.5, v + r * 0.05, r * 0.11, (30, 24, 24))


def _arm(
    canvas: Canvas,
    at: dict[str, Pixel],
    side: str,
    wear: Kit,
    skin: Colour,
    zoom: float,
    light: float,
) -> None:
    shoulder, elbow, hand = at["shoulder"], at[f"{side}elbow"], at[f"{side}hand"]
    thick = 0.115 * zoom * wear.padding
    shirt = shade(wear.shirt, light) if wear.shirt is not None else None
    canvas.limb(shoulder, elbow, thick, shirt if wear.sleeves and shirt else skin)
    canvas.limb(elbow, hand, thick * 0.88, shirt if wear.sleeves and shirt else skin)
    if shirt is not None and not wear.sleeves:
        canvas.limb(shoulder, _between(shoulder, elbow, 0.55), thick * 1.35, shirt)
    if wear.gloves is not None:
        canvas.disc(*hand, 0.1 * zoom * wear.glove_size, shade(wear.gloves, light))
    else:
        canvas.disc(*hand, 0.062 * zoom, skin)


def _between(a: Pixel, b: Pixel, share: float) -> Pixel:
    return a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share
