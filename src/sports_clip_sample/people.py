"""People: a pose dressed in a kit and drawn at its place in the scene."""

from dataclasses import dataclass
from random import Random

from sports_clip_sample.canvas import (
    HAIRS,
    PALETTE,
    SKINS,
    Canvas,
    Colour,
    Pixel,
    Point,
    jitter,
    shade,
)
from sports_clip_sample.poses import HEAD, POSES, SOLE, Pose, joints_of, loosened


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
    stripe: Colour | None = None


@dataclass(frozen=True)
class Body:
    """Where the parts of a drawn person are in the picture, in pixels."""

    hand: Pixel
    foot: Pixel
    far_foot: Pixel
    hip: Pixel
    zoom: float
    ahead: int


def kit(name: str, rng: Random, *, other: str | None = None) -> Kit:
    """A sports kit in a named colour, with shorts and socks that go with it."""
    shirt = jitter(PALETTE[name], rng)
    shorts = jitter(PALETTE[other or rng.choice((name, "white", "black", "blue"))], rng)
    socks = jitter(rng.choice((shirt, shorts, PALETTE["white"])), rng, 6)
    shoes = jitter(PALETTE[rng.choice(("black", "white", "orange"))], rng)
    stripe = jitter(rng.choice((shorts, PALETTE["white"])), rng, 6) if rng.random() < 0.4 else None
    return Kit(shirt, shorts, socks, shoes=shoes, stripe=stripe)


def person(
    canvas: Canvas, at: Point, pose: Pose | str, wear: Kit, rng: Random, *,
    ahead: int | None = None, size: float = 1.0, shadow: bool = True,
) -> Body:  # fmt: skip
    """Draw someone standing at `at` (the point below the lowest foot).

    `ahead` 1 faces right, -1 left, None draws it; `size` is 1 for an adult of 1.8 m.
    """
    ahead = ahead or rng.choice((1, -1))
    posed = loosened(POSES[pose] if isinstance(pose, str) else pose, rng)
    joints = joints_of(posed)
    low = min(y for _, y in joints.values())
    zoom = canvas.camera.scale(at) * size
    u, v = canvas.camera.pixel(at)
    if shadow:
        canvas.shadow(at, 0.42 * size)
    placed = {
        name: (u + ahead * x * zoom, v - (y - low + posed.lift + SOLE) * zoom)
        for name, (x, y) in joints.items()
    }
    skin, hair = rng.choice(SKINS), rng.choice(HAIRS)
    _dress(canvas, placed, wear, skin, hair, zoom, ahead)
    return Body(placed["hand"], placed["foot"], placed["far_foot"], placed["hip"], zoom, ahead)


def _dress(
    canvas: Canvas, at: dict[str, Pixel], wear: Kit, skin: Colour, hair: Colour, zoom: float,
    ahead: int,
) -> None:  # fmt: skip
    """Paint far limbs, torso, head and near limbs, in this order."""
    _arm(canvas, at, "far_", wear, shade(skin, 0.82), zoom, 0.82)
    _leg(canvas, at, "far_", wear, shade(skin, 0.82), zoom, 0.8, ahead)
    _leg(canvas, at, "", wear, skin, zoom, 1.0, ahead)
    _torso(canvas, at, wear, skin, zoom)
    _head(canvas, at, wear, skin, hair, zoom, ahead)
    _arm(canvas, at, "", wear, skin, zoom, 1.08)


def _leg(
    canvas: Canvas, at: dict[str, Pixel], side: str, wear: Kit, skin: Colour, zoom: float,
    light: float, ahead: int,
) -> None:  # fmt: skip
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
    if wear.stripe is not None:
        low, top = _between(hip, shoulder, 0.34), _between(hip, shoulder, 0.8)
        canvas.limb(low, top, wide * 0.24, wear.stripe)
    if wear.skirt:
        (u, v), flare = hip, 0.26 * zoom
        canvas.trapezoid(u, v - flare * 0.5, flare * 0.6, v + flare, flare, wear.shorts)
    canvas.limb(shoulder, _between(shoulder, at["head"], 0.6), 0.11 * zoom, skin)


def _head(
    canvas: Canvas, at: dict[str, Pixel], wear: Kit, skin: Colour, hair: Colour, zoom: float,
    ahead: int,
) -> None:  # fmt: skip
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
    canvas: Canvas, at: dict[str, Pixel], side: str, wear: Kit, skin: Colour, zoom: float,
    light: float,
) -> None:  # fmt: skip
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
