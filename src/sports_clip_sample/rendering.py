"""From a drawn scene to a photo-like image: framing, light, grain and JPEG."""

import io
from collections.abc import Callable
from functools import cache
from random import Random

import numpy as np
from PIL import ExifTags, Image, ImageEnhance, ImageFilter

from sports_clip_sample.ball_sports import basketball, football, tennis
from sports_clip_sample.boxing_chess import boxing, chess
from sports_clip_sample.canvas import PALETTE, Canvas, jitter
from sports_clip_sample.daily import daily
from sports_clip_sample.formula1 import formula1
from sports_clip_sample.ice_water import ice_hockey, swimming
from sports_clip_sample.portraits import portrait, spectators
from sports_clip_sample.scenes import DAILY, Scene

SIZES = ((320, 240), (320, 240), (320, 240), (320, 214), (240, 320), (256, 256))
OVERSIZE = 2
TILE = 512

PAINTERS: dict[str, Callable[[Canvas, Scene, Random], None]] = {
    painter.__name__: painter
    for painter in (basketball, boxing, chess, football, formula1, ice_hockey, swimming, tennis)
}
UNTYPICAL = {"portrait": portrait, "crowd": spectators}


def render(scene: Scene, rng: Random) -> Image.Image:
    """Draw the scene and photograph it: an RGB picture with a short side of 214 to 256 pixels."""
    width, height = rng.choice(SIZES)
    canvas = Canvas(width * OVERSIZE, height * OVERSIZE)
    if scene.kind in DAILY:
        daily(canvas, scene, rng)
    else:
        UNTYPICAL.get(scene.view, PAINTERS[scene.kind])(canvas, scene, rng)
    _clutter(canvas, rng)
    return _develop(_framed(canvas.image, rng).reduce(OVERSIZE), rng)


def jpeg(image: Image.Image, quality: int, *, turned: bool = False) -> bytes:
    """The picture as a JPEG file; `turned` stores it on its side, with the EXIF mark to undo it."""
    buffer, exif = io.BytesIO(), Image.Exif()
    if turned:
        exif[ExifTags.Base.Orientation] = 6
        image = image.transpose(Image.Transpose.ROTATE_90)
    image.save(buffer, "JPEG", quality=quality, exif=exif)
    return buffer.getvalue()


def _clutter(canvas: Canvas, rng: Random) -> None:
    """What gets into the way: heads in front, a score in a corner."""
    dice = rng.random()
    if dice < 0.10:
        for _ in range(rng.randrange(1, 5)):
            u, r = rng.uniform(0, canvas.width), rng.uniform(24, 52)
            v = canvas.height - r * rng.uniform(-0.2, 0.7)
            canvas.disc(u, v, r, jitter((44, 38, 36), rng))
            canvas.disc(
                u, v + r * 1.7, r * 1.7, jitter(rng.choice(tuple(PALETTE.values())), rng, 30)
            )
    elif dice < 0.17:
        u, v = rng.choice((12, canvas.width - 172)), rng.choice((12, canvas.height - 52))
        canvas.box(u, v, u + 160, v + 38, (24, 30, 60))
        for i in range(7):
            canvas.box(u + 10 + i * 21, v + 10, u + 22 + i * 21, v + 28, (236, 236, 236))
        canvas.box(u + 66, v, u + 94, v + 38, (220, 60, 50))


def _framed(image: Image.Image, rng: Random) -> Image.Image:
    """A slight roll and a crop, at most a quarter of the picture, back at the same size."""
    width, height = image.size
    angle = rng.gauss(0, 2.5)
    keep = rng.uniform(0.78, 0.95)
    left = rng.uniform(0, 1 - keep) * 0.6 + (1 - keep) * 0.2
    top = rng.uniform(0, 1 - keep) * 0.6 + (1 - keep) * 0.2
    if abs(angle) > 1.5:
        image = image.rotate(angle, Image.Resampling.BILINEAR)
        keep, left, top = min(keep, 0.86), max(left, 0.07), max(top, 0.07)
        left, top = min(left, 0.93 - keep), min(top, 0.93 - keep)
    box = (left * width, top * height, (left + keep) * width, (top + keep) * height)
    return image.resize((width, height), Image.Resampling.BILINEAR, box=box)


def _develop(image: Image.Image, rng: Random) -> Image.Image:
    """Light, colour, focus and grain."""
    image = ImageEnhance.Color(image).enhance(rng.uniform(0.7, 1.2) if rng.random() < 0.97 else 0)
    image = ImageEnhance.Contrast(image).enhance(rng.uniform(0.85, 1.15))
    if rng.random() < 0.12:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 1.3)))
    pixels = np.asarray(image, np.float32)
    height, width = pixels.shape[:2]
    cast = np.array([rng.uniform(0.9, 1.1) for _ in range(3)], np.float32) * rng.uniform(0.85, 1.12)
    row, column = rng.randrange(TILE - height), rng.randrange(TILE - width)
    grain = _grain()[row : row + height, column : column + width] * np.float32(rng.uniform(2, 9))
    corner = np.float32(rng.uniform(0, 0.3))
    light = 1 - corner * _distance(height, width)  # (H, W)
    lit = pixels * (cast * light[..., None]) + grain[..., None]  # (H, W, 3)
    return Image.fromarray(np.clip(lit, 0, 255).astype(np.uint8))


@cache
def _grain() -> np.ndarray:
    """A square of film grain of unit deviation, the same for all pictures."""
    return np.random.default_rng(20080).standard_normal((TILE, TILE), np.float32)


@cache
def _distance(height: int, width: int) -> np.ndarray:
    """(height, width) squared distance from the middle; 1 in the corners."""
    rows = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    columns = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    return (rows**2 + columns**2) / 2
