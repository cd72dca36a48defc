"""From a photograph and a question to a card."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from sports_clip_pipeline.explain.activation_maps import class_activation_map, stands_out
from sports_clip_pipeline.explain.gallery import Card
from sports_clip_pipeline.explain.guided import guided_gradients
from sports_clip_pipeline.explain.layers import find_layer
from sports_clip_pipeline.explain.names import METHODS
from sports_clip_pipeline.explain.overlay import fit_within, gradient_picture, jpeg, overlay
from sports_clip_pipeline.explain.scores import Target
from sports_clip_pipeline.preprocessing.images import ImagePreprocessing

GUIDED = f"{METHODS['guided']}: fails sanity checks (Adebayo et al. 2018)"
SILENT = "no place stands out"


@dataclass(frozen=True)
class Prediction:
    """One photograph and what the classifier said of it."""

    image: str
    label: str
    predicted: str
    probability: float


@dataclass(frozen=True)
class Explainer:
    """Draws what speaks for the named scores of one network.

    Attributes:
        module: pixels (1, 3, H, W) to scores (1, C).
        layer: part of `module` whose maps are weighed.
        preprocessing: what the network sees of a photograph.
        kind: `class` or `prompt`, for the question on the card.
        names: C names of the scores.
        picture_px, picture_quality: long side in pixels, and JPEG quality, of the pictures.
    """

    module: nn.Module
    layer: nn.Module
    preprocessing: ImagePreprocessing
    kind: str
    names: tuple[str, ...]
    picture_px: int
    picture_quality: int

    @classmethod
    def of_predictor(
        cls,
        predictor: Any,
        layer: str,
        picture_px: int,
        picture_quality: int,
        module: Any = None,
    ) -> Explainer:
        """Of a classifier's classes, at a layer of its first tower.

        Args:
            predictor: a `models.predictor.Predictor`. layer: see `find_layer`.
            module: of the predictor, where it is built already.
        Raises: UserFacingError: the tower has no such layer.
        """
        module = predictor.module() if module is None else module
        return cls(
            module=module,
            layer=find_layer(module.tower, layer),
            preprocessing=predictor.preprocessing,
            kind="class",
            names=tuple(predictor.classes),
            picture_px=picture_px,
            picture_quality=picture_quality,
        )

    def gradcam(self, photo: Image.Image, said: Prediction, name: str) -> Card:
        """A class activation map over the photograph. Raises: as `class_activation_map`."""
        return self.explain(photo, said, name, "gradcam")

    def explain(self, photo: Image.Image, said: Prediction, name: str, method: str) -> Card:
        """A map by any method of `config.cam.METHODS`. Raises: as `class_activation_map`."""
        if method == "guided":
            return self.guided(photo, said, name)
        target = self.names.index(name)
        return self._map_card(photo, said, f"{self.kind}: {name}", target, method)

    def contrast(
        self, photo: Image.Image, said: Prediction, names: tuple[str, str], method: str = "gradcam"
    ) -> Card:
        """What speaks for the first of two scores against the second.

        Raises: as `class_activation_map`.
        """
        favoured, other = (self.names.index(name) for name in names)
        question = f"contrast: {names[0]} rather than {names[1]}"
        return self._map_card(photo, said, question, (favoured, other), method)

    def guided(self, photo: Image.Image, said: Prediction, name: str) -> Card:
        """Guided gradients, in the photograph's place. Raises: as `guided_gradients`."""
        pixels, target = self._pixels(photo), self.names.index(name)
        gradients = guided_gradients(self.module, pixels, target, image=said.image)
        drawn = gradient_picture(gradients)
        question = f"{self.kind}: {name}"
        return self._card(photo, said, question, GUIDED, lambda seen: drawn.resize(seen.size))

    def _map_card(
        self, photo: Image.Image, said: Prediction, question: str, target: Target, method: str
    ) -> Card:
        pixels = self._pixels(photo)
        heat = class_activation_map(
            self.module, self.layer, pixels, target, image=said.image, method=method
        )
        named = METHODS[method] if stands_out(heat) else f"{METHODS[method]}: {SILENT}"
        return self._card(photo, said, question, named, lambda seen: overlay(seen, heat))

    def _pixels(self, photo: Image.Image) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(self.preprocessing.to_array(photo)))[None]

    def _card(
        self,
        photo: Image.Image,
        said: Prediction,
        question: str,
        method: str,
        draw: Callable[[Image.Image], Image.Image],
    ) -> Card:
        seen = as_seen(self.preprocessing, photo, self.picture_px)
        return Card(
            image=said.image,
            label=said.label,
            predicted=said.predicted,
            probability=said.probability,
            question=question,
            method=method,
            photo_jpeg=jpeg(seen, self.picture_quality),
            map_jpeg=jpeg(draw(seen), self.picture_quality),
        )


def as_seen(preprocessing: ImagePreprocessing, photo: Image.Image, long_side: int) -> Image.Image:
    """The part of the photograph that the network saw, in its natural shape.

    A centre crop is a square. Where the whole photograph was squashed into the square, it is
    stretched back, so that a map over the square lies rightly over the photograph.
    """
    seen = preprocessing.crop(photo)
    shape = photo.size if preprocessing.view.startswith("full") else seen.size
    return seen.resize(fit_within(shape, long_side), Image.Resampling.LANCZOS)
