"""Pictures of explanations: heat over a photograph, gradients, JPEG bytes."""

from __future__ import annotations

import io

import matplotlib
import numpy as np
from PIL import Image

COLOURS = "inferno"


def fit_within(size: tuple[int, int], long_side: int) -> tuple[int, int]:
    """Width and height with the same shape and the given long side, at least one pixel each.

    >>> fit_within((500, 250), 100)
    (100, 50)
    """
    scale = long_side / max(size)
    width, height = (max(1, round(side * scale)) for side in size)
    return width, height


def overlay(picture: Image.Image, heat: np.ndarray) -> Image.Image:
    """The heat over the photograph, which stays in grey below it.

    Brightness grows with the heat, so that the picture reads without colours too: where
    there is none the photograph is dim, where it is greatest the colour covers most of it.

    Args:
        picture: RGB, (W, H) pixels.
        heat: (h, w) float32 in [0, 1]; scaled to the picture bilinearly.
    Returns: RGB of the picture's size.

    Raises: ValueError: heat outside [0, 1] or not finite.
    """
    if not (np.isfinite(heat).all() and heat.min() >= 0 and heat.max() <= 1):
        raise ValueError(f"heat lies in [0, 1], got {heat.min()} to {heat.max()}")
    resized = Image.fromarray(heat.astype(np.float32)).resize(
        picture.size, Image.Resampling.BILINEAR
    )
    spread = np.clip(np.asarray(resized), 0.0, 1.0)  # (H, W)
    colours = matplotlib.colormaps[COLOURS](0.15 + 0.85 * spread)[..., :3]  # (H, W, 3) in [0, 1]
    grey = np.asarray(picture.convert("L"), dtype=np.float64)[..., None] / 255.0  # (H, W, 1)
    share = (0.12 + 0.58 * spread)[..., None]  # (H, W, 1) of the colour
    mixed = (1 - share) * grey * (0.8 + 0.2 * spread[..., None]) + share * colours
    return Image.fromarray(np.rint(mixed * 255).astype(np.uint8), "RGB")


def gradient_picture(gradients: np.ndarray) -> Image.Image:
    """Signed gradients as a picture: middle grey is none, brighter is more, darker is less.

    Args:
        gradients: (H, W, 3) float; scaled so that 1 % of the values are clipped.

    Returns: RGB.
    """
    scale = np.percentile(np.abs(gradients), 99) or np.abs(gradients).max() or 1.0
    values = np.clip(0.5 + 0.5 * gradients / scale, 0, 1)
    return Image.fromarray(np.rint(values * 255).astype(np.uint8), "RGB")


def jpeg(picture: Image.Image, quality: int) -> bytes:
    """The picture as JPEG; at 224 pixels about a quarter of the PNG."""
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, "JPEG", quality=quality, optimize=True, progressive=True)
    return buffer.getvalue()
