"""Decoding of untrusted images, and image preprocessing of encoders."""

import io
import warnings
from collections.abc import Sequence
from dataclasses import asdict, field
from typing import Annotated, Any

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from pydantic.dataclasses import dataclass

from sports_clip_pipeline.data.formats import IMAGE_FORMATS
from sports_clip_pipeline.parameters import choices
from sports_clip_pipeline.pipelines.embed.config import VIEWS
from sports_clip_pipeline.pipelines.ingest.config import ImageRules


class UnusableImageError(Exception):
    """A file that cannot be decoded or used as an image.

    Attributes:
        reason: `empty`, `not_an_image`, `truncated`, `unreadable`, `too_small`, `too_long` or
            `too_large`; when reading the file, also `missing` or `damaged`.
        detail: what exactly was found.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


def open_upright(content: bytes, rules: ImageRules) -> Image.Image:
    """Decode the first frame, apply the EXIF orientation, convert to RGB on a white background.

    Returns: the image in its original size; its `format` is "JPEG" only if `content` is a JPEG of
        exactly these pixels.
    Raises: UnusableImageError: the file cannot be decoded or violates the rules.
    """
    if not content:
        raise UnusableImageError("empty", "0 bytes")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's warnings about odd files do not matter here
        try:
            with Image.open(io.BytesIO(content), formats=tuple(IMAGE_FORMATS)) as file:
                _check_size(file.size, rules)
                file.load()
                image = ImageOps.exif_transpose(file) if _is_turned(file) else file
        except UnusableImageError:
            raise
        except UnidentifiedImageError as error:
            raise UnusableImageError("not_an_image", f"starts with {content[:12]!r}") from error
        except Image.DecompressionBombError as error:
            raise UnusableImageError("too_large", str(error)) from error
        except Exception as error:  # decoders of damaged files raise errors of any type
            reason = "truncated" if "truncated" in str(error).casefold() else "unreadable"
            raise UnusableImageError(reason, str(error)) from error
        return _as_rgb(image)


def stored_bytes(content: bytes, image: Image.Image, rules: ImageRules) -> bytes:
    """The JPEG for the image store: the original bytes of a small plain JPEG, else a new one.

    Args:
        image: of `open_upright`.
    Returns: a baseline RGB JPEG whose short side is at most `rules.short_side` pixels.
    """
    if min(image.size) <= rules.short_side:
        if image.format == "JPEG":
            return content
    else:
        size = _short_side_size(image, rules.short_side)
        image = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=rules.jpeg_quality, subsampling=0)
    return buffer.getvalue()


def _short_side_size(image: Image.Image, side: int) -> tuple[int, int]:
    """Width and height that scale the short side to `side` pixels."""
    scale = side / min(image.size)
    width, height = (max(side, round(each * scale)) for each in image.size)
    return width, height


def _check_size(size: tuple[int, int], rules: ImageRules) -> None:
    short, long = sorted(size)
    pixels = f"{size[0]} × {size[1]} pixels"
    if size[0] * size[1] > rules.max_pixels:
        raise UnusableImageError("too_large", f"{pixels}, more than {rules.max_pixels:,} in all")
    if short < rules.min_side:
        raise UnusableImageError("too_small", f"{pixels}, the short side below {rules.min_side}")
    if long / short > rules.max_aspect:
        raise UnusableImageError("too_long", f"{pixels}, longer than {rules.max_aspect:g} : 1")


def _is_turned(file: Image.Image) -> bool:
    try:
        return file.getexif().get(ExifTags.Base.Orientation, 1) in range(2, 9)
    except Exception:  # damaged EXIF data raise errors of any type: no rotation then
        return False


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith(("I", "F")):
        return Image.fromarray(_to_8_bits(np.asarray(image))).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        background = Image.new("RGB", layer.size, "white")
        background.paste(layer, mask=layer.getchannel("A"))
        return background
    try:
        return image.convert("RGB")
    except ValueError as error:
        raise UnusableImageError("unreadable", f"mode {image.mode}: {error}") from error


def _to_8_bits(values: np.ndarray) -> np.ndarray:
    """Grey values of 16 or 32 bits, or floats in [0, 1] or [0, 255], as (H, W) uint8."""
    grey = np.nan_to_num(values.astype(np.float64))
    peak = grey.max(initial=0)
    white = 1.0 if values.dtype.kind == "f" and peak <= 1 else 255.0
    if values.dtype == np.uint16 or peak > 255:
        white = 65_535.0
    grey = grey / white * 255
    return np.clip(np.rint(grey), 0, 255).astype(np.uint8)


RESAMPLING = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


@dataclass(frozen=True)
class InputSpec:
    """Resize and crop to an encoder's input size, without normalisation.

    Attributes:
        size: side of the square input, pixels.
        interpolation: `bicubic` or `bilinear`.
        view: `full` resizes the whole image to the square, `centre` resizes the short side to
            `size` and takes the centre crop; `…_flip` flips it horizontally.
    Raises: ValueError: an unknown view or interpolation.
    """

    size: int
    interpolation: Annotated[str, choices(*RESAMPLING)] = field(default="bicubic", kw_only=True)
    view: Annotated[str, choices(*VIEWS)] = field(default="full", kw_only=True)

    @property
    def name(self) -> str:
        """Such as `full_224_bicubic`."""
        return f"{self.view}_{self.size}_{self.interpolation}"

    def crop(self, image: Image.Image) -> Image.Image:
        """The RGB input of `size` × `size` pixels."""
        resample = RESAMPLING[self.interpolation]
        image = image.convert("RGB")
        if self.view.startswith("centre"):
            width, height = _short_side_size(image, self.size)
            image = image.resize((width, height), resample)
            left, top = (width - self.size) // 2, (height - self.size) // 2
            image = image.crop((left, top, left + self.size, top + self.size))
        else:
            image = image.resize((self.size, self.size), resample)
        return ImageOps.mirror(image) if self.view.endswith("_flip") else image

    def pixels(self, image: Image.Image) -> np.ndarray:
        """(size, size, 3) uint8 of an upright image."""
        return np.asarray(self.crop(image))

    def to_dict(self) -> dict[str, Any]:
        """The arguments that make it again, JSON-like."""
        return asdict(self)


@dataclass(frozen=True)
class ImageTransform(InputSpec):
    """Image preprocessing of an encoder: resize and crop as `InputSpec`, then normalise.

    Attributes:
        mean, std: per channel, of pixel values in [0, 1]; as the encoder was trained.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @property
    def input_spec(self) -> InputSpec:
        """The resize and crop without normalisation."""
        return InputSpec(self.size, interpolation=self.interpolation, view=self.view)

    def normalise(self, crops: Sequence[Image.Image]) -> np.ndarray:
        """(B, 3, size, size) float32, normalised, of the crops that `crop` returns."""
        pixels = np.stack([np.asarray(crop) for crop in crops])  # (B, H, W, 3) uint8
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
