"""Gallery cards (an image, a question, a saliency map) and contact sheets."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
import torch
from PIL import Image
from torch import nn

from sports_clip_pipeline.data.transforms import ImageTransform
from sports_clip_pipeline.explain import GUIDED as GUIDED_METHOD
from sports_clip_pipeline.explain import METHODS
from sports_clip_pipeline.explain.cam import class_activation_map, guided_gradients, stands_out
from sports_clip_pipeline.explain.targets import Target, find_layer

JPEG = "image/jpeg"


@dataclass(frozen=True)
class Card:
    """One explanation.

    Attributes:
        image: name in the manifest.
        label, predicted: true class, and the classifier's.
        probability: of the predicted class, by the classifier, in [0, 1].
        question: what is explained: `class: LABEL`, `prompt: TEXT` or
            `contrast: LABEL rather than LABEL`.
        method: how, for people to read.
        photo_jpeg: what the encoder saw, as JPEG bytes.
        map_jpeg: the explanation, of the same size in pixels, as JPEG bytes.
        mime: of both, for data URIs.
    """

    image: str
    label: str
    predicted: str
    probability: float
    question: str
    method: str
    photo_jpeg: bytes
    map_jpeg: bytes
    mime: str = JPEG

    @property
    def right(self) -> bool:
        """Whether the classifier was right."""
        return self.label == self.predicted


def contact_sheet(pictures: Sequence[bytes], columns: int, cell_px: int) -> bytes:
    """Encoded pictures side by side, each within a square cell, as PNG bytes of 128 colours.

    Raises: ValueError: no pictures.
    """
    from PIL import Image

    if not pictures:
        raise ValueError("a contact sheet wants at least one picture")
    columns = min(columns, len(pictures))
    size = (columns * cell_px, math.ceil(len(pictures) / columns) * cell_px)
    sheet = Image.new("RGB", size, "white")
    for place, content in enumerate(pictures):
        row, column = divmod(place, columns)
        with Image.open(io.BytesIO(content)) as picture:
            picture.thumbnail((cell_px, cell_px))
            sheet.paste(picture, (column * cell_px, row * cell_px))
    buffer = io.BytesIO()
    sheet.quantize(128).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


GUIDED = f"{METHODS[GUIDED_METHOD]}: fails sanity checks (Adebayo et al. 2018)"
NO_EVIDENCE = "no place stands out"
COLOURS = "inferno"


@dataclass(frozen=True)
class Prediction:
    """One image and the classifier's prediction."""

    image: str
    label: str
    predicted: str
    probability: float


@dataclass(frozen=True)
class Explainer:
    """Draws what supports the named scores of one network.

    Attributes:
        module: pixels (1, 3, H, W) to scores (1, C).
        layer: part of `module` whose maps are weighted.
        preprocessing: what the network sees of an image.
        kind: `class` or `prompt`, for the question on the card.
        names: C names of the scores.
        picture_px, picture_quality: long side in pixels, and JPEG quality, of the pictures.
    """

    module: nn.Module
    layer: nn.Module
    preprocessing: ImageTransform
    kind: str
    names: tuple[str, ...]
    picture_px: int
    picture_quality: int

    @classmethod
    def of_predictor(
        cls, predictor: Any, layer: str, picture_px: int, picture_quality: int, module: Any = None
    ) -> Explainer:
        """Of a classifier's classes, at a layer of its first image encoder.

        Args:
            predictor: a `Predictor`. layer: see `find_layer`.
            module: of the predictor, where it is built already.
        Raises: UserFacingError: the encoder has no such layer.
        """
        module = predictor.module() if module is None else module
        return cls(
            module=module,
            layer=find_layer(module.encoder, layer),
            preprocessing=predictor.preprocessing,
            kind="class",
            names=tuple(predictor.classes),
            picture_px=picture_px,
            picture_quality=picture_quality,
        )

    def explain(
        self, photo: Image.Image, prediction: Prediction, name: str, method: str = "gradcam"
    ) -> Card:
        """A map by any method of `explain.METHODS`. Raises: as `class_activation_map`."""
        if method == GUIDED_METHOD:
            return self.guided(photo, prediction, name)
        target = self.names.index(name)
        return self._map_card(photo, prediction, f"{self.kind}: {name}", target, method)

    def contrast(
        self,
        photo: Image.Image,
        prediction: Prediction,
        names: tuple[str, str],
        method: str = "gradcam",
    ) -> Card:
        """What supports the first of two scores against the second.

        Raises: as `class_activation_map`.
        """
        favoured, other = (self.names.index(name) for name in names)
        question = f"contrast: {names[0]} rather than {names[1]}"
        return self._map_card(photo, prediction, question, (favoured, other), method)

    def guided(self, photo: Image.Image, prediction: Prediction, name: str) -> Card:
        """Guided gradients, in place of the image. Raises: as `guided_gradients`."""
        pixels, target = self._pixels(photo), self.names.index(name)
        gradients = guided_gradients(self.module, pixels, target, image=prediction.image)
        drawn, question = gradient_picture(gradients), f"{self.kind}: {name}"
        return self._card(photo, prediction, question, GUIDED, lambda view: drawn.resize(view.size))

    def _map_card(
        self, photo: Image.Image, prediction: Prediction, question: str, target: Target, method: str
    ) -> Card:
        heat = class_activation_map(
            self.module,
            self.layer,
            self._pixels(photo),
            target,
            image=prediction.image,
            method=method,
        )
        named = METHODS[method] if stands_out(heat) else f"{METHODS[method]}: {NO_EVIDENCE}"
        return self._card(photo, prediction, question, named, lambda view: overlay(view, heat))

    def _pixels(self, photo: Image.Image) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(self.preprocessing.to_array(photo)))[None]

    def _card(
        self,
        photo: Image.Image,
        prediction: Prediction,
        question: str,
        method: str,
        draw: Callable[[Image.Image], Image.Image],
    ) -> Card:
        view = model_view(self.preprocessing, photo, self.picture_px)
        return Card(
            **vars(prediction),
            question=question,
            method=method,
            photo_jpeg=jpeg(view, self.picture_quality),
            map_jpeg=jpeg(draw(view), self.picture_quality),
        )


def model_view(preprocessing: ImageTransform, photo: Image.Image, long_side: int) -> Image.Image:
    """The region of the image that the network saw, in its natural shape.

    A centre crop is a square. Where the whole image was squashed into the square, it is stretched
    back, so that a map over the square lies rightly over the image.
    """
    view = preprocessing.crop(photo)
    shape = photo.size if preprocessing.view.startswith("full") else view.size
    return view.resize(fit_within(shape, long_side), Image.Resampling.LANCZOS)


def fit_within(size: tuple[int, int], long_side: int) -> tuple[int, int]:
    """Width and height with the same shape and the given long side, at least one pixel each.

    >>> fit_within((500, 250), 100)
    (100, 50)
    """
    scale = long_side / max(size)
    width, height = (max(1, round(side * scale)) for side in size)
    return width, height


def overlay(picture: Image.Image, heat: np.ndarray) -> Image.Image:
    """The heat over the image, which stays in grey below it.

    Brightness grows with the heat, so that the picture reads without colours too: where
    there is none the image is dim, where it is greatest the colour covers most of it.

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
