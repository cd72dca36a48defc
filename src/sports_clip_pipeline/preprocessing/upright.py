"""Opening a photograph of unknown origin: checked, upright, RGB, small enough to keep."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from sports_clip_pipeline.pipelines.ingest.config import ImageRules

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF")
_ORIENTATION = 0x0112
_PAPER = (255, 255, 255)


class UnusableImageError(Exception):
    """A file that is set aside.

    Attributes:
        reason: one of `empty`, `not_an_image`, `truncated`, `unreadable`,
            `too_small`, `too_long`, `too_large`.
        detail: what exactly was found.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


@dataclass(frozen=True)
class Photograph:
    """An upright RGB image in its original size.

    Attributes:
        image: the pixels, mode RGB.
        plain: the original bytes are a JPEG of just these pixels.
    """

    image: Image.Image
    plain: bool


def open_upright(content: bytes, rules: ImageRules) -> Photograph:
    """Decode a file: the first frame, upright, in RGB, transparency over white.

    Raises: UnusableImageError: nothing usable is in it.
    """
    if not content:
        raise UnusableImageError("empty", "0 bytes")
    with warnings.catch_warnings():
        # What Pillow has to say of odd files becomes a reason here, or does not matter.
        warnings.simplefilter("ignore")
        try:
            image, plain = _decode(content, rules)
        except UnusableImageError:
            raise
        except UnidentifiedImageError as error:
            raise UnusableImageError("not_an_image", f"starts with {content[:12]!r}") from error
        except Image.DecompressionBombError as error:
            raise UnusableImageError("too_large", str(error)) from error
        except Exception as error:  # a broken file breaks a decoder in any way it likes
            reason = "truncated" if "truncated" in str(error).casefold() else "unreadable"
            raise UnusableImageError(reason, str(error)) from error
        return Photograph(_as_rgb(image), plain)


def _decode(content: bytes, rules: ImageRules) -> tuple[Image.Image, bool]:
    """The upright first frame, and whether the file is a plain JPEG of it."""
    with Image.open(io.BytesIO(content), formats=FORMATS) as file:
        _check_size(file.size, rules)
        file.load()
        if _is_turned(file):
            return ImageOps.exif_transpose(file), False
        return file, file.format == "JPEG" and file.mode == "RGB"


def stored_bytes(content: bytes, photograph: Photograph, rules: ImageRules) -> bytes:
    """What the store keeps: the original bytes of a small plain JPEG, else a new JPEG.

    Returns: a baseline RGB JPEG whose short side is at most `rules.short_side` pixels.
    """
    image = photograph.image
    scale = rules.short_side / min(image.size)
    if scale >= 1 and photograph.plain:
        return content
    if scale < 1:
        width, height = (max(rules.short_side, round(side * scale)) for side in image.size)
        image = image.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3.0)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=rules.jpeg_quality, subsampling=0)
    return buffer.getvalue()


def _check_size(size: tuple[int, int], rules: ImageRules) -> None:
    short, long = sorted(size)
    named = f"{size[0]} × {size[1]} pixels"
    if size[0] * size[1] > rules.max_pixels:
        raise UnusableImageError("too_large", f"{named}, more than {rules.max_pixels:,} in all")
    if short < rules.min_side:
        raise UnusableImageError("too_small", f"{named}, the short side below {rules.min_side}")
    if long / short > rules.max_aspect:
        raise UnusableImageError("too_long", f"{named}, longer than {rules.max_aspect:g} : 1")


def _is_turned(file: Image.Image) -> bool:
    try:
        return file.getexif().get(_ORIENTATION, 1) in range(2, 9)
    except Exception:  # EXIF blocks break in every way; a broken one turns nothing
        return False


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith(("I", "F")):
        return Image.fromarray(_to_8_bits(np.asarray(image))).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        paper = Image.new("RGB", layer.size, _PAPER)
        paper.paste(layer, mask=layer.getchannel("A"))
        return paper
    try:
        return image.convert("RGB")
    except ValueError as error:
        raise UnusableImageError("unreadable", f"mode {image.mode}: {error}") from error


def _to_8_bits(values: np.ndarray) -> np.ndarray:
    """Grey values of 16 or 32 bits, or floats in [0, 1] or [0, 255], as (H, W) uint8."""
    peak = float(np.nan_to_num(values).max(initial=0))
    if values.dtype == np.uint16 or peak > 255:
        full = 65_535.0
    else:
        full = 1.0 if values.dtype.kind == "f" and peak <= 1 else 255.0
    grey = np.nan_to_num(values.astype(np.float64)) / full * 255
    return np.clip(np.rint(grey), 0, 255).astype(np.uint8)
