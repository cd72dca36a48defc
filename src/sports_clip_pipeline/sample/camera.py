"""A pinhole camera, so that courts and people of one scene can be seen from anywhere.

The world is in metres: x to the right, y up, z away from the spectator; a scene's subject stands
at the origin. The picture is in pixels: u to the right, v down.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, hypot, radians, sin, tan

Point = tuple[float, float, float]
Pixel = tuple[float, float]

NEAR = 0.2


@dataclass(frozen=True)
class Camera:
    """Where the spectator stands, looks, and how wide.

    Attributes:
        eye: place of the lens in metres.
        right, up, ahead: unit vectors of the picture's axes and of the line of sight.
        focal: focal length in pixels.
        centre: (u, v) of the line of sight in pixels.
    """

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
    around: float,
    distance: float,
    height: float,
    aim: Point,
    width: int,
    tall: int,
    field_deg: float = 40.0,
) -> Camera:
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
