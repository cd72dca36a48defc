"""A pinhole camera, and the canvas a scene is drawn on, in metres or in pixels."""

import tomllib
from dataclasses import dataclass
from math import cos, hypot, radians, sin, tan
from pathlib import Path
from random import Random
from typing import Any

from PIL import Image, ImageDraw

Point = tuple[float, float, float]
Pixel = tuple[float, float]

NEAR = 0.2


@dataclass(frozen=True)
class Camera:
    """The lens (metres), unit vectors of the view, focal length and centre (pixels)."""

    eye: Point
    right: Point
    up: Point
    ahead: Point
    focal: float
    centre: Pixel

    def turned(self, point: Point) -> Point:
        """The point in the camera's own axes: right, up, depth, in metres."""
        offset = (point[0] - self.eye[0], point[1] - self.eye[1], point[2] - self.eye[2])
        return _dot(offset, self.right), _dot(offset, self.up), _dot(offset, self.ahead)

    def scale(self, point: Point) -> float:
        """Pixels a metre at the depth of `point`; 0 for what is behind the lens."""
        depth = self.turned(point)[2]
        return self.focal / depth if depth > NEAR else 0.0

    def pixel(self, point: Point) -> Pixel:
        """Where `point` appears; what is behind the near plane is drawn as if on it."""
        return self._flat(self.turned(point))

    def outline(self, points: list[Point]) -> list[Pixel]:
        """The polygon's picture, cut at the near plane (Sutherland-Hodgman on one plane)."""
        turned = [self.turned(point) for point in points]
        kept: list[Point] = []
        for a, b in zip(turned, [*turned[1:], turned[0]], strict=True):
            if a[2] >= NEAR:
                kept.append(a)
            if (a[2] >= NEAR) != (b[2] >= NEAR):
                t = (NEAR - a[2]) / (b[2] - a[2])
                kept.append((a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1]), NEAR))
        return [self._flat(point) for point in kept]

    def _flat(self, turned: Point) -> Pixel:
        zoom = self.focal / max(turned[2], NEAR)
        return self.centre[0] + turned[0] * zoom, self.centre[1] - turned[1] * zoom


def look(
    around: float, distance: float, height: float, aim: Point, width: int, tall: int,
    field_deg: float = 40.0,
) -> Camera:  # fmt: skip
    """A camera on a circle around the origin.

    `around` is the camera's bearing in degrees (0 in front, positive to the right), `distance`
    its metres from the origin along the ground and `height` those above it; `aim` lies in the
    middle of a picture of `width` by `tall` pixels, `field_deg` high.
    """
    eye = (distance * sin(radians(around)), height, -distance * cos(radians(around)))
    ahead = _unit((aim[0] - eye[0], aim[1] - eye[1], aim[2] - eye[2]))
    right = _unit((ahead[2], 0.0, -ahead[0]))
    up = (
        ahead[1] * right[2] - ahead[2] * right[1],
        ahead[2] * right[0] - ahead[0] * right[2],
        ahead[0] * right[1] - ahead[1] * right[0],
    )
    focal = tall / 2 / tan(radians(field_deg) / 2)
    return Camera(eye, right, up, ahead, focal, (width / 2, tall / 2))


def _dot(a: Point, b: Point) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _unit(a: Point) -> Point:
    length = hypot(*a)
    return a[0] / length, a[1] / length, a[2] / length


Colour = tuple[int, int, int]

_COLOURS = tomllib.loads(Path(__file__).with_name("colours.toml").read_text())


def colours(table: str) -> dict[str, Colour]:
    """The named colours of a table in colours.toml."""
    return {name: tuple(rgb) for name, rgb in _COLOURS[table].items()}


PALETTE = colours("palette")
WHITE: Colour = (238, 240, 236)
SKINS: tuple[Colour, ...] = tuple(tuple(rgb) for rgb in _COLOURS["skins"])
HAIRS: tuple[Colour, ...] = tuple(tuple(rgb) for rgb in _COLOURS["hairs"])


def shade(colour: Colour, factor: float) -> Colour:
    """The colour darker (factor < 1) or lighter (factor > 1), within 0..255."""
    return tuple(max(0, min(255, round(c * factor))) for c in colour)  # type: ignore[return-value]


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """`share` of b in a."""
    return tuple(round(p + (q - p) * share) for p, q in zip(a, b, strict=True))  # type: ignore[return-value]


def jitter(colour: Colour, rng: Random, spread: int = 14) -> Colour:
    """A colour near this one: lighter or darker, and each channel by itself."""
    light = rng.uniform(-spread, spread)
    return tuple(
        max(0, min(255, round(c + light + rng.uniform(-spread, spread) / 2))) for c in colour
    )  # type: ignore[return-value]


class Canvas:
    """An RGB picture under construction; `width` and `height` are those of the drawing, in pixels.

    Attributes:
        camera: how metres become pixels; set it with `view` before drawing in metres.
        horizon: v of the line where the ground ends and the backdrop begins.
    """

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.image = Image.new("RGB", (width, height))
        self.pen = ImageDraw.Draw(self.image)
        self.glass = ImageDraw.Draw(self.image, "RGBA")
        self.camera: Camera = look(0, 8, 1.6, (0, 1, 0), width, height)
        self.horizon = height * 0.45

    def view(
        self, around: float, distance: float, height: float, aim: Point, field_deg: float = 40.0,
        back: float = 25.0,
    ) -> None:  # fmt: skip
        """Place the camera; the ground ends `back` metres behind the subject."""
        self.camera = look(around, distance, height, aim, self.width, self.height, field_deg)
        ahead = self.camera.ahead
        level = hypot(ahead[0], ahead[2])
        end = (ahead[0] / level * back, 0.0, ahead[2] / level * back)
        self.horizon = self.camera.pixel(end)[1]

    def face(self, points: list[Point], colour: Any) -> None:
        """A filled polygon of the world; a colour of four numbers is see-through."""
        self.shape(self.camera.outline(points), colour)

    def shape(self, outline: list[Pixel], colour: Any) -> None:
        """A filled polygon of the picture."""
        if len(outline) > 2:
            (self.glass if len(colour) == 4 else self.pen).polygon(outline, fill=colour)

    def stripe(
        self, a: tuple[float, float], b: tuple[float, float], width: float, colour: Any,
        y: float = 0.0,
    ) -> None:  # fmt: skip
        """A painted line on the ground from (x, z) to (x, z), `width` metres wide."""
        dx, dz = b[0] - a[0], b[1] - a[1]
        length = hypot(dx, dz) or 1.0
        ox, oz = -dz / length * width / 2, dx / length * width / 2
        corners = [
            (a[0] + ox, a[1] + oz), (b[0] + ox, b[1] + oz), (b[0] - ox, b[1] - oz), (a[0] - ox,
            a[1] - oz),
        ]  # fmt: skip
        self.face([(x, y, z) for x, z in corners], colour)

    def area(self, x0: float, z0: float, x1: float, z1: float, colour: Any, y: float = 0.0) -> None:
        """A filled rectangle on the ground."""
        self.face([(x0, y, z0), (x1, y, z0), (x1, y, z1), (x0, y, z1)], colour)

    def wall(self, x0: float, y0: float, x1: float, y1: float, z: float, colour: Any) -> None:
        """A filled upright rectangle that faces the spectator."""
        self.face([(x0, y0, z), (x1, y0, z), (x1, y1, z), (x0, y1, z)], colour)

    def trapezoid(self, u: float, v0: float, half0: float, v1: float, half1: float, c: Any) -> None:
        """Fill a trapezoid of the picture, `half0` to each side of u at v0 and `half1` at v1."""
        self.shape([(u - half0, v0), (u + half0, v0), (u + half1, v1), (u - half1, v1)], c)

    def frame(self, x0: float, z0: float, x1: float, z1: float, width: float, colour: Any) -> None:
        """The outline of a rectangle painted on the ground."""
        corners = [(x0, z0), (x1, z0), (x1, z1), (x0, z1)]
        for a, b in zip(corners, [*corners[1:], corners[0]], strict=True):
            self.stripe(a, b, width, colour)

    def pole(self, a: Point, b: Point, width: float, colour: Colour) -> None:
        """A rod between two points of the world, `width` metres thick."""
        middle = ((a[0] + b[0]) / 2, (a[1] + b[1]) / 2, (a[2] + b[2]) / 2)
        thick = max(1, round(width * self.camera.scale(middle)))
        ends = self.camera.outline([a, b, b])
        if len(ends) >= 2:
            self.pen.line([ends[0], ends[1]], fill=colour, width=thick)

    def ball(self, at: Point, radius: float, colour: Colour) -> None:
        """A shaded ball of the world, `radius` in metres."""
        u, v = self.camera.pixel(at)
        self.globe(u, v, max(1.5, radius * self.camera.scale(at)), colour)

    def globe(self, u: float, v: float, r: float, colour: Colour) -> None:
        """A shaded ball of the picture, r pixels in radius."""
        self.disc(u, v, r, shade(colour, 0.72))
        self.disc(u - r * 0.14, v - r * 0.16, r * 0.82, colour)
        self.disc(u - r * 0.32, v - r * 0.36, r * 0.3, mix(colour, (255, 255, 255), 0.55))

    def shadow(self, at: Point, radius: float, strength: int = 70) -> None:
        """A soft dark oval on the ground below something."""
        u, v = self.camera.pixel((at[0], 0.0, at[2]))
        rise = self.camera.eye[1] / max(1.0, self.camera.turned(at)[2])
        r = radius * self.camera.scale(at)
        flat = r * max(0.12, min(0.6, rise))
        self.glass.ellipse((u - r, v - flat, u + r, v + flat), fill=(0, 0, 0, strength))

    def disc(self, u: float, v: float, r: float, colour: Any, squash: float = 1.0) -> None:
        """A filled circle of the picture, or an oval `squash` times as high as wide."""
        pen = self.glass if len(colour) == 4 else self.pen
        pen.ellipse((u - r, v - r * squash, u + r, v + r * squash), fill=colour)

    def limb(self, a: Pixel, b: Pixel, thick: float, colour: Colour) -> None:
        """A rod with round ends in the picture, `thick` pixels across."""
        width = max(1, round(thick))
        self.pen.line([a, b], fill=colour, width=width)
        if width > 2:
            for u, v in (a, b):
                self.disc(u, v, width / 2, colour)

    def box(self, u0: float, v0: float, u1: float, v1: float, colour: Any) -> None:
        """A filled rectangle of the picture; corners in any order."""
        (self.glass if len(colour) == 4 else self.pen).rectangle(
            (min(u0, u1), min(v0, v1), max(u0, u1), max(v0, v1)), fill=colour
        )

    def gradient(self, top: Colour, bottom: Colour, v0: float, v1: float) -> None:
        """Rows v0..v1 from one colour to another."""
        first, last = max(0, round(v0)), min(self.height, round(v1))
        if last > first:
            ramp = Image.new("RGB", (1, 2))
            ramp.putpixel((0, 0), top)
            ramp.putpixel((0, 1), bottom)
            size = (self.width, last - first)
            stretched = ramp.resize(size, Image.Resampling.BILINEAR, box=(0, 0.5, 1, 1.5))
            self.image.paste(stretched, (0, first))
