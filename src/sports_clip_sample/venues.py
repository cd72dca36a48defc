"""Venues: skies, grounds and what stands behind them (stands, parks, streets, halls)."""

from math import pi, sin
from random import Random

from sports_clip_sample.canvas import (
    HAIRS,
    PALETTE,
    SKINS,
    Canvas,
    Colour,
    colours,
    jitter,
    mix,
    shade,
)

SURFACES = colours("surfaces")


def backdrop(canvas: Canvas, venue: str, rng: Random) -> None:
    """Fill the picture above the horizon with the venue."""
    {
        "stadium": _stadium, "arena": _arena, "gym": _gym, "park": _park, "street": _street,
        "hills": _hills, "room": _room, "hall": _gym,
    }[venue](canvas, rng)  # fmt: skip


def venue(canvas: Canvas, name: str, floor: Colour, rng: Random) -> Colour:
    """Draw the backdrop of that name and a ground of that colour; returns the ground's colour."""
    backdrop(canvas, name, rng)
    return ground(canvas, floor, rng)


def ground(canvas: Canvas, colour: Colour, rng: Random) -> Colour:
    """Fill the picture below the horizon; returns the colour used."""
    used = jitter(colour, rng, 12)
    canvas.gradient(
        shade(used, rng.uniform(0.88, 1.0)), shade(used, rng.uniform(1.0, 1.1)), canvas.horizon,
        canvas.height,
    )  # fmt: skip
    return used


def sky(canvas: Canvas, rng: Random) -> None:
    """A sky with some clouds, sometimes grey or of an evening."""
    top, low = rng.choice(
        (((92, 152, 220), (196, 222, 240)), ((120, 176, 228), (226, 236, 240)), ((150, 162, 176),
        (214, 218, 222)), ((104, 126, 178), (244, 206, 170))),
    )  # fmt: skip
    canvas.gradient(jitter(top, rng), jitter(low, rng), 0, canvas.horizon + 1)
    for _ in range(rng.randrange(5)):
        u, v = rng.uniform(0, canvas.width), rng.uniform(0, canvas.horizon * 0.7)
        for step in range(4):
            r = rng.uniform(14, 34)
            canvas.disc(u + step * 22, v + rng.uniform(-6, 6), r, (255, 255, 255, 120), 0.55)


def crowd(
    canvas: Canvas, v0: float, v1: float, size: float, rng: Random, *, dim: float = 1.0
) -> None:
    """Rows of people from v0 down to v1; `size` is a head's width in pixels."""
    tint = rng.choice(list(PALETTE.values())) if rng.random() < 0.4 else None
    v = v0 + size
    while v < v1 + size:
        u = rng.uniform(-size, size)
        while u < canvas.width + size:
            _spectator(canvas, u, v + rng.uniform(-2, 2), size, tint, dim, rng)
            u += size * rng.uniform(1.3, 2.1)
        v += size * 1.25


def _spectator(
    canvas: Canvas, u: float, v: float, size: float, tint: Colour | None, dim: float, rng: Random
) -> None:
    shirt = tint if tint is not None and rng.random() < 0.6 else rng.choice(tuple(PALETTE.values()))
    canvas.disc(u, v + size * 0.95, size * 0.75, shade(jitter(shirt, rng, 20), dim), 0.9)
    canvas.disc(u, v, size * 0.46, shade(rng.choice(SKINS), dim))
    canvas.pen.chord(
        (u - size * 0.48, v - size * 0.54, u + size * 0.48, v + size * 0.42), 180, 0,
        fill=shade(rng.choice(HAIRS), dim),
    )  # fmt: skip


def boards(canvas: Canvas, v: float, height: float, rng: Random) -> None:
    """Coloured advertising boards standing on row v."""
    u = -rng.uniform(0, 80)
    while u < canvas.width:
        wide = rng.uniform(70, 160)
        colour = jitter(rng.choice(tuple(PALETTE.values())), rng)
        canvas.box(u, v - height, u + wide, v, colour)
        ink = (250, 250, 246) if sum(colour) < 400 else (40, 44, 60)
        x = u + wide * 0.15
        while x < u + wide * 0.8:
            step = rng.uniform(4, 12)
            canvas.box(x, v - height * 0.68, x + step * 0.75, v - height * 0.3, ink)
            x += step + 2
        u += wide + 1


def trees(canvas: Canvas, v: float, rng: Random, tall: float = 60) -> None:
    """A loose row of trees standing on row v."""
    u = rng.uniform(-30, 10)
    green = jitter((52, 104, 52), rng)
    while u < canvas.width + 30:
        high = tall * rng.uniform(0.6, 1.3)
        canvas.box(u - 3, v - high * 0.4, u + 3, v, (92, 66, 44))
        for _ in range(4):
            du, dv = rng.uniform(-0.35, 0.35) * high, rng.uniform(-0.2, 0.25) * high
            canvas.disc(
                u + du, v - high * 0.7 + dv, high * rng.uniform(0.24, 0.36), jitter(green, rng, 16)
            )
        u += rng.uniform(0.4, 1.6) * tall


def _stadium(canvas: Canvas, rng: Random) -> None:
    v = canvas.horizon
    sky(canvas, rng)
    roof = v - rng.uniform(90, 260)
    canvas.gradient((70, 74, 84), (110, 112, 118), roof, v)
    crowd(canvas, max(roof, -10), v - 12, rng.uniform(9, 14), rng, dim=rng.uniform(0.7, 1.0))
    if roof > 0:
        canvas.box(0, roof - 8, canvas.width, roof + 4, jitter((196, 200, 206), rng))
    if rng.random() < 0.8:
        boards(canvas, v + 2, rng.uniform(16, 34), rng)


def _arena(canvas: Canvas, rng: Random) -> None:
    v = canvas.horizon
    canvas.gradient((16, 16, 26), (58, 56, 70), 0, v)
    crowd(
        canvas, v - rng.uniform(110, 300), v - 10, rng.uniform(9, 15), rng, dim=rng.uniform(0.3,
        0.7),
    )  # fmt: skip
    for _ in range(rng.randrange(1, 6)):
        u, top = rng.uniform(0, canvas.width), rng.uniform(0, 40)
        canvas.shape([(u - 3, top), (u + 3, top), (u + 80, v), (u - 80, v)], (255, 250, 220, 14))
        canvas.disc(u, top, 7, (255, 252, 236))
    if rng.random() < 0.7:
        boards(canvas, v + 2, rng.uniform(14, 30), rng)


def _gym(canvas: Canvas, rng: Random) -> None:
    v = canvas.horizon
    wall = jitter(
        rng.choice(((206, 196, 178), (176, 190, 198), (150, 132, 112), (214, 214, 208))), rng
    )
    canvas.gradient(shade(wall, 0.9), wall, 0, v)
    step = rng.uniform(60, 130)
    for i in range(int(canvas.width / step) + 2):
        u = i * step + rng.uniform(-4, 4)
        canvas.box(u, 0, u + 4, v, shade(wall, 0.84))
        if rng.random() < 0.5:
            canvas.box(u + 14, v - 200, u + step - 12, v - 130, mix(wall, (236, 246, 252), 0.7))
    canvas.box(0, v - rng.uniform(20, 60), canvas.width, v, shade(jitter(wall, rng, 30), 0.72))
    if rng.random() < 0.4:
        crowd(canvas, v - 34, v - 14, 14, rng, dim=0.9)


def _park(canvas: Canvas, rng: Random) -> None:
    sky(canvas, rng)
    trees(canvas, canvas.horizon + 3, rng, rng.uniform(50, 130))
    if rng.random() < 0.4:
        for u in range(0, canvas.width, 26):
            canvas.box(u, canvas.horizon - 26, u + 3, canvas.horizon + 4, (150, 152, 154))
        canvas.box(0, canvas.horizon - 26, canvas.width, canvas.horizon - 23, (150, 152, 154))


def _street(canvas: Canvas, rng: Random) -> None:
    sky(canvas, rng)
    u = -rng.uniform(0, 40)
    while u < canvas.width:
        wide, high = rng.uniform(60, 150), rng.uniform(90, 260)
        wall = jitter(
            rng.choice(((176, 110, 88), (206, 190, 160), (150, 152, 160), (196, 204, 206))), rng
        )
        canvas.box(u, canvas.horizon - high, u + wide, canvas.horizon + 3, wall)
        lit = mix(wall, rng.choice(((60, 72, 92), (244, 224, 160))), 0.7)
        for x in range(10, int(wide) - 14, 24):
            for y in range(14, int(high) - 20, 32):
                canvas.box(
                    u + x, canvas.horizon - high + y, u + x + 12, canvas.horizon - high + y + 17,
                    lit,
                )  # fmt: skip
        u += wide + rng.choice((0, 0, 20))


def _hills(canvas: Canvas, rng: Random) -> None:
    sky(canvas, rng)
    for layer in range(3):
        base = canvas.horizon - (2 - layer) * rng.uniform(14, 40)
        colour = mix((120, 156, 150), (76, 122, 70), layer / 2)
        period, lag = rng.uniform(160, 420), rng.uniform(0, 6)
        ridge = [
            (float(u), base - 30 - 26 * sin(u / period * 2 * pi + lag))
            for u in range(0, canvas.width + 20, 20)
        ]
        bottom = canvas.horizon + 3
        canvas.shape([*ridge, (canvas.width, bottom), (0, bottom)], jitter(colour, rng, 8))


def _room(canvas: Canvas, rng: Random) -> None:
    v = canvas.horizon
    wall = jitter(
        rng.choice(((214, 196, 168), (184, 198, 186), (196, 176, 170), (120, 132, 150))), rng
    )
    canvas.gradient(shade(wall, 0.92), wall, 0, v)
    for _ in range(rng.randrange(1, 4)):
        u, top = rng.uniform(0, canvas.width - 60), rng.uniform(20, max(21, v - 140))
        wide, high = rng.uniform(50, 120), rng.uniform(50, 110)
        canvas.box(u - 5, top - 5, u + wide + 5, top + high + 5, shade(wall, 0.6))
        inner = rng.choice(((176, 208, 232), (90, 110, 84), (168, 130, 90), (222, 214, 196)))
        canvas.box(u, top, u + wide, top + high, jitter(inner, rng))
    if rng.random() < 0.5:
        _shelf(canvas, rng)


def _shelf(canvas: Canvas, rng: Random) -> None:
    u0, wide, v = rng.uniform(0, canvas.width - 120), 130, canvas.horizon
    canvas.box(u0, v - 190, u0 + wide, v, (104, 72, 48))
    for row in range(4):
        x = u0 + 6.0
        base = v - 188 + (row + 1) * 44
        while x < u0 + wide - 12:
            thick = rng.uniform(5, 12)
            canvas.box(
                x, base - rng.uniform(26, 38), x + thick, base,
                jitter(rng.choice(tuple(PALETTE.values())), rng, 24),
            )  # fmt: skip
            x += thick + 1
