import contextlib
import io
import json
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from sports_clip_pipeline.data.formats import IMAGE_FORMATS
from sports_clip_pipeline.data.transforms import (
    ImageTransform,
    InputSpec,
    UnusableImageError,
    open_upright,
    stored_bytes,
)
from sports_clip_pipeline.pipelines.ingest.config import ImageRules
from tests.data.factories import encoded, jpeg, random_image

RULES = ImageRules(short_side=64, min_side=8, max_aspect=4.0, max_pixels=20_000)


@pytest.fixture(autouse=True)
def warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def opened(content: bytes) -> Image.Image:
    return open_upright(content, RULES)


def stored(content: bytes) -> Image.Image:
    jpeg = stored_bytes(content, open_upright(content, RULES), RULES)
    image = Image.open(io.BytesIO(jpeg))
    assert (image.format, image.mode, image.getexif().get(0x0112)) == ("JPEG", "RGB", None)
    return image


def is_like(image: Image.Image, other: Image.Image, levels: float = 6.0) -> bool:
    difference = np.asarray(image.convert("RGB"), float) - np.asarray(other.convert("RGB"), float)
    return bool(np.abs(difference).mean() < levels)


def test_small_plain_jpeg_keeps_its_bytes_and_a_large_image_is_resized() -> None:
    content = jpeg(1, 80, 64)
    assert stored_bytes(content, open_upright(content, RULES), RULES) == content
    assert stored(jpeg(1, 160, 100)).size == (102, 64)
    assert stored(jpeg(1, 65, 130)).size == (64, 128)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_applied(orientation: int) -> None:
    upright = random_image(3, 60, 40)
    inverse = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Image.Transpose
    turned = upright.transpose(inverse[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(turned, exif=exif, quality=95)
    image = open_upright(content, RULES)
    assert (image.format == "JPEG") == (orientation == 1)
    assert image.size == (60, 40)
    assert is_like(image, upright)
    if orientation > 1:
        assert is_like(stored(content), upright)


def test_damaged_exif_rotates_nothing() -> None:
    assert opened(encoded(random_image(1), exif=b"Exif\0\0II*\0\xff\xff\xff\xff")).size == (64, 48)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGBA", "CMYK", "YCbCr"])
def test_every_mode_is_converted_to_rgb(mode: str) -> None:
    grey = random_image(5).convert("L")
    form = {"CMYK": "JPEG", "YCbCr": "JPEG", "PA": "TIFF"}.get(mode, "PNG")
    source = grey.convert("P").convert("PA") if mode == "PA" else grey.convert(mode)
    image = opened(encoded(source, form))
    assert image.mode == "RGB"
    assert is_like(image, grey, 200 if mode == "1" else 12)
    stored(encoded(source, form))


def test_transparent_images_get_a_white_background() -> None:
    clear = Image.new("RGBA", (16, 16), (0, 0, 0, 0))
    assert opened(encoded(clear, "PNG")).getpixel((3, 3)) == (255, 255, 255)
    half = Image.new("RGBA", (16, 16), (0, 0, 0, 128))
    assert opened(encoded(half, "PNG")).getpixel((3, 3)) == (127, 127, 127)
    keyed = Image.new("RGB", (16, 16), (0, 0, 0))
    assert opened(encoded(keyed, "PNG", transparency=(0, 0, 0))).getpixel((3, 3)) == (255,) * 3
    palette = Image.new("P", (16, 16), 0)
    assert opened(encoded(palette, "PNG", transparency=b"\0")).getpixel((3, 3)) == (255,) * 3
    assert opened(encoded(palette, "GIF", transparency=0)).getpixel((3, 3)) == (255,) * 3


@pytest.mark.parametrize(
    ("values", "form"),
    [
        (np.array([[0, 32_768, 65_535]], np.uint16), "PNG"),
        (np.array([[0, 32_768, 65_535]], np.uint16), "TIFF"),
        (np.array([[0, 32_768, 65_535]], np.int32), "TIFF"),
        (np.array([[0, 0.5, 1]], np.float32), "TIFF"),
        (np.array([[0, 127.5, 255]], np.float32), "TIFF"),
    ],
)
def test_16_and_32_bit_grey_values_keep_their_range(values: np.ndarray, form: str) -> None:
    content = encoded(Image.fromarray(np.repeat(np.repeat(values, 10, 0), 4, 1)), form)
    row = np.asarray(opened(content))[0, ::4, 0]
    np.testing.assert_allclose(row, [0, 128, 255], atol=1)


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "TIFF", "MPO"])
def test_the_first_frame_is_decoded(form: str) -> None:
    frames = [Image.new("RGB", (20, 20), color) for color in ("red", "blue", "lime")]
    content = encoded(frames[0], form, save_all=True, append_images=frames[1:])
    red, green, blue = opened(content).getpixel((9, 9))
    assert red > 240 and green < 15 and blue < 15


@pytest.mark.parametrize(
    ("content", "reason", "detail"),
    [
        (b"", "empty", "0 bytes"),
        (b"<!DOCTYPE html><html>", "not_an_image", "<!DOCTYPE ht"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not_an_image", "%!PS"),
        (jpeg(1)[:400], "truncated", "Truncated"),
        (jpeg(1, 7, 20), "too_small", "7 × 20 pixels, the short side below 8"),
        (jpeg(1, 81, 20), "too_long", "81 × 20 pixels, longer than 4 : 1"),
        (jpeg(1, 200, 101), "too_large", "200 × 101 pixels, more than 20,000"),
        (encoded(random_image(1), "PNG")[:90], "truncated", ""),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 40, "not_an_image", "PNG"),
    ],
)
def test_unusable_image_has_reason_and_detail(content: bytes, reason: str, detail: str) -> None:
    with pytest.raises(UnusableImageError) as raised:
        open_upright(content, RULES)
    assert raised.value.reason == reason
    assert detail in raised.value.detail


def test_decompression_bomb_is_not_decoded() -> None:
    small = encoded(random_image(1), "PNG")
    header = b"IHDR" + struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    content = small[:12] + header + struct.pack(">I", zlib.crc32(header)) + small[33:]
    with pytest.raises(UnusableImageError) as raised:
        open_upright(content, ImageRules())
    assert raised.value.reason == "too_large"


def test_any_decoder_error_means_unreadable(monkeypatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError("tag 999")

    monkeypatch.setattr(Image, "open", broken)
    with pytest.raises(UnusableImageError) as raised:
        open_upright(b"II*\0", RULES)
    assert raised.value.reason == "unreadable"


def test_random_damage_raises_no_other_error() -> None:
    rng = np.random.default_rng(0)
    sources = [encoded(random_image(1), image_format) for image_format in IMAGE_FORMATS]
    for k in range(300):
        content = bytearray(sources[k % len(sources)])
        for position in rng.integers(0, min(len(content), 300), 6):
            content[position] = rng.integers(0, 256)
        with contextlib.suppress(UnusableImageError):
            stored_bytes(bytes(content), open_upright(bytes(content), RULES), RULES)


IMAGE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 130, 3), dtype=np.uint8))


@pytest.mark.parametrize("view", ["full", "centre", "full_flip", "centre_flip"])
def test_to_array_normalises_the_pixels_of_the_input_spec(view: str) -> None:
    transform = ImageTransform(
        64, (0.5, 0.4, 0.3), (0.5, 0.2, 0.1), interpolation="bilinear", view=view
    )
    pixels = transform.input_spec.pixels(IMAGE)
    assert (pixels.shape, pixels.dtype) == ((64, 64, 3), np.uint8)
    mean, std = (np.reshape(values, (3, 1, 1)) for values in (transform.mean, transform.std))
    expected = (pixels.transpose(2, 0, 1) / 255 - mean) / std
    np.testing.assert_allclose(transform.to_array(IMAGE), expected, atol=1e-5)


def test_input_spec_json_round_trip_and_name() -> None:
    spec = InputSpec(64)
    assert InputSpec(**json.loads(json.dumps(spec.to_dict()))) == spec
    assert spec.name == "full_64_bicubic"
    with pytest.raises(ValueError, match="wanted one of"):
        InputSpec(**{**spec.to_dict(), "view": "sideways"})
