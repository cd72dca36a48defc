"""Gallery cards (an image, a question, a saliency map) and contact sheets."""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from PIL import Image

from sports_clip_pipeline.data.transforms import ImageTransform
from sports_clip_pipeline.explain import GUIDED as GUIDED_METHOD
from sports_clip_pipeline.explain import METHODS
from sports_clip_pipeline.explain.cam import class_activation_map, guided_gradients
from sports_clip_pipeline.explain.networks import CLASSIFIER, PROMPTS, Network, Target

GUIDED = f"{METHODS[GUIDED_METHOD]}: fails sanity checks (Adebayo et al. 2018)"
NO_EVIDENCE = "no place stands out"
COLOURS = "inferno"
QUESTIONS = {CLASSIFIER: "class", PROMPTS: "prompt"}
"""Kind of a network -> what the questions on its cards are about."""


@dataclass(frozen=True)
class Prediction:
    """One image and the classifier's prediction."""

    image: str
    label: str
    predicted: str
    probability: float

    @property
    def right(self) -> bool:
        """Whether the prediction is correct."""
        return self.label == self.predicted


@dataclass(frozen=True)
class Card(Prediction):
    """One explanation of a prediction, with JPEG bytes of encoder input and map.

    Attributes:
        question: `class: LABEL`, `prompt: TEXT` or `contrast: LABEL rather than LABEL`.
        method: display name of the method.
    """

    question: str
    method: str
    photo_jpeg: bytes
    map_jpeg: bytes


def contact_sheet(pictures: Sequence[bytes], columns: int, cell_px: int) -> bytes:
    """One or more encoded pictures in a grid of square cells, as PNG bytes of 128 colours."""
    columns = min(columns, len(pictures))
    size = (columns * cell_px, math.ceil(len(pictures) / columns) * cell_px)
    sheet = Image.new("RGB", size, "white")
    for cell, content in enumerate(pictures):
        row, column = divmod(cell, columns)
        with Image.open(io.BytesIO(content)) as picture:
            picture.thumbnail((cell_px, cell_px))
            sheet.paste(picture, (column * cell_px, row * cell_px))
    buffer = io.BytesIO()
    sheet.quantize(128).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


@dataclass(frozen=True)
class Explainer:
    """Draws explanations of the named scores of one network, at its target layer.

    Attributes:
        picture_px, picture_quality: long side in pixels, and JPEG quality, of the pictures.
    """

    network: Network
    picture_px: int
    picture_quality: int

    def explain(
        self,
        image: Image.Image,
        prediction: Prediction,
        subject: str | tuple[str, str],
        method: str = "gradcam",
    ) -> Card:
        """Map of one score by a method of `METHODS`, or of the difference of two scores.

        Args:
            subject: name of the score; of a pair, what supports the first against the second.
        Raises: as `class_activation_map`; ValueError: an unknown name.
        """
        target: Target
        network, names = self.network, self.network.names
        if isinstance(subject, str):
            target, question = names.index(subject), f"{QUESTIONS[network.kind]}: {subject}"
        else:
            first, second = subject
            target = names.index(first), names.index(second)
            question = f"contrast: {first} rather than {second}"
        pixels = network.pixels(image)[None]
        view = model_view(network.preprocessing, image, self.picture_px)
        if method == GUIDED_METHOD:
            gradients = guided_gradients(network.module, pixels, target, image=prediction.image)
            title, picture = GUIDED, gradient_picture(gradients).resize(view.size)
        else:
            parts = network.module, network.layer, pixels, target
            heat = class_activation_map(*parts, image=prediction.image, method=method)
            title = METHODS[method] if heat.any() else f"{METHODS[method]}: {NO_EVIDENCE}"
            picture = overlay(view, heat)
        return Card(
            **vars(prediction),
            question=question,
            method=title,
            photo_jpeg=jpeg(view, self.picture_quality),
            map_jpeg=jpeg(picture, self.picture_quality),
        )


def model_view(preprocessing: ImageTransform, image: Image.Image, long_side: int) -> Image.Image:
    """The network's input region of the image, in its original aspect ratio.

    A centre crop is a square. An image that was squashed into the square is stretched back, so
    that a map over the square aligns with the image.
    """
    view = preprocessing.crop(image)
    shape = image.size if preprocessing.view.startswith("full") else view.size
    scale = long_side / max(shape)
    width, height = (max(1, round(side * scale)) for side in shape)
    return view.resize((width, height), Image.Resampling.LANCZOS)


def overlay(picture: Image.Image, heat: np.ndarray) -> Image.Image:
    """Heat map (h, w) in [0, 1], bilinear, over a grey image; brightness grows with the heat."""
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
    """Signed gradients (H, W, 3) as an RGB picture: zero is middle grey, 1 % are clipped."""
    scale = np.percentile(np.abs(gradients), 99) or np.abs(gradients).max() or 1.0
    values = np.clip(0.5 + 0.5 * gradients / scale, 0, 1)
    return Image.fromarray(np.rint(values * 255).astype(np.uint8), "RGB")


def jpeg(picture: Image.Image, quality: int) -> bytes:
    """The picture as JPEG bytes."""
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, "JPEG", quality=quality, optimize=True, progressive=True)
    return buffer.getvalue()
