"""Image formats, decoding of untrusted files upright, and image preprocessing."""

from __future__ import annotations

import dataclasses
import io
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from sports_clip_pipeline.pipelines.embed.config import VIEWS
from sports_clip_pipeline.pipelines.ingest.config import ImageRules

IMAGE_FORMATS = {
    "JPEG": (".jpg", ".jpeg"),
    "PNG": (".png",),
    "GIF": (".gif",),
    "WEBP": (".webp",),
    "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"),
    "AVIF": (".avif",),
}
"""Image formats that are accepted, by Pillow's name, with their file extensions."""
IMAGE_SUFFIXES = frozenset(suffix for suffixes in IMAGE_FORMATS.values() for suffix in suffixes)
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
    with Image.open(io.BytesIO(content), formats=tuple(IMAGE_FORMATS)) as file:
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


RESAMPLING = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
}


@dataclass(frozen=True)
class ImagePreprocessing:
    """What one tower sees of a photograph.

    Attributes:
        size: side of the square the tower sees, pixels.
        mean, std: per channel, of pixel values in [0, 1]; from the tower's own record.
        interpolation: `bicubic` or `bilinear`.
        view: `full` squashes the whole photograph into the square, `centre` scales the short
            side to `size` and cuts the middle; `…_flip` mirrors it.
    """

    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str = "bicubic"
    view: str = "full"

    def __post_init__(self) -> None:
        if self.view not in VIEWS or self.interpolation not in RESAMPLING:
            raise ValueError(
                f"view is one of {VIEWS} and interpolation one of {tuple(RESAMPLING)}, "
                f"got {self.view!r} and {self.interpolation!r}"
            )

    def crop(self, image: Image.Image) -> Image.Image:
        """The RGB square of `size` × `size` pixels that the tower sees."""
        resample = RESAMPLING[self.interpolation]
        image = image.convert("RGB")
        if self.view.startswith("centre"):
            scale = self.size / min(image.size)
            width, height = (max(self.size, round(side * scale)) for side in image.size)
            image = image.resize((width, height), resample)
            left, top = (width - self.size) // 2, (height - self.size) // 2
            image = image.crop((left, top, left + self.size, top + self.size))
        else:
            image = image.resize((self.size, self.size), resample)
        if self.view.endswith("_flip"):
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return image

    def normalise(self, squares: Sequence[Image.Image]) -> np.ndarray:
        """(B, 3, size, size) float32, normalised, from squares that `crop` made."""
        pixels = np.stack([np.asarray(square) for square in squares])  # (B, H, W, 3) uint8
        mean: np.ndarray = np.array(self.mean, dtype=np.float32)[:, None, None]
        std: np.ndarray = np.array(self.std, dtype=np.float32)[:, None, None]
        values = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)).astype(np.float32)
        values /= np.float32(255.0)  # in place: five times as fast as with copies
        values -= mean
        values /= std
        return values

    def to_array(self, image: Image.Image) -> np.ndarray:
        """(3, size, size) float32, normalised."""
        return self.normalise([self.crop(image)])[0]

    def to_dict(self) -> dict[str, Any]:
        """JSON-like form; `from_dict` reads it."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ImagePreprocessing:
        """The inverse of `to_dict`, from JSON."""
        return cls(**{**values, "mean": tuple(values["mean"]), "std": tuple(values["std"])})


@dataclass(frozen=True)
class Look:
    """One way of looking at a photograph; `ImagePreprocessing` without mean and spread.

    Attributes:
        size: side of the square, pixels.
        interpolation, view: see `ImagePreprocessing`.
    """

    size: int
    interpolation: str
    view: str

    @classmethod
    def of(cls, seen: ImagePreprocessing) -> Look:
        """What a tower's preprocessing looks at."""
        return cls(seen.size, seen.interpolation, seen.view)

    @property
    def name(self) -> str:
        """Such as `full_224_bicubic`."""
        return f"{self.view}_{self.size}_{self.interpolation}"

    def square(self, image: Image.Image) -> np.ndarray:
        """(size, size, 3) uint8 of an upright photograph."""
        nothing = (0.0, 0.0, 0.0)
        seen = ImagePreprocessing(self.size, nothing, nothing, self.interpolation, self.view)
        return np.asarray(seen.crop(image))

    def to_dict(self) -> dict[str, Any]:
        """JSON-like form; `from_dict` reads it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Look:
        """The inverse of `to_dict`. Raises: ValueError: a view or interpolation is unknown."""
        look = cls(values["size"], values["interpolation"], values["view"])
        nothing = (0.0, 0.0, 0.0)
        ImagePreprocessing(look.size, nothing, nothing, look.interpolation, look.view)
        return look
