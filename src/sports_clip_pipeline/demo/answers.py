"""From the bytes of a photograph to two answers and their maps."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from sports_clip_pipeline.demo.names import Refusal
from sports_clip_pipeline.demo.study import FinishedStudy
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.models.predictor import Predictor
from sports_clip_pipeline.pipelines.ingest.config import ImageRules
from sports_clip_pipeline.preprocessing.upright import UnusableImageError, open_upright

if TYPE_CHECKING:
    from sports_clip_pipeline.models.tower_classifier import TowerClassifier

MOST_PIXELS = 50_000_000
MAP_PX, MAP_QUALITY = 448, 85
_REASONS = {
    "empty": "The file is empty.",
    "not_an_image": "This file is no photograph that can be read here: JPEG, PNG, WebP, GIF, BMP, "
    "TIFF and AVIF are.",
    "truncated": "The photograph ends before it is whole; send it again.",
    "unreadable": "The photograph is damaged and cannot be read.",
    "too_small": "The photograph is too small: {detail} pixels.",
    "too_long": "The photograph is too long and thin: {detail}.",
    "too_large": "The photograph is too large: {detail}.",
}


@dataclass(frozen=True)
class Map:
    """Where in the photograph a score comes from.

    Attributes:
        name: whose score. method: how it was made, for people to read.
        jpeg: the map over the photograph.
    """

    name: str
    method: str
    jpeg: bytes


@dataclass(frozen=True)
class Answer:
    """What one classifier says.

    Attributes:
        ranked: (name, probability), the most probable first.
        map: of the first name; None where the tower has no map to weigh.
        no_map: the sentence that then stands in its place.
    """

    ranked: tuple[tuple[str, float], ...]
    map: Map | None
    no_map: str = ""


@dataclass(frozen=True)
class Answers:
    """Both answers to one photograph, and the seconds they took."""

    zero_shot: Answer
    finetuned: Answer
    elapsed_s: float


def open_photograph(content: bytes) -> Image.Image:
    """The upright RGB photograph. Raises: Refusal: nothing usable is in the bytes."""
    rules = ImageRules(max_pixels=MOST_PIXELS)
    try:
        return open_upright(content, rules).image
    except UnusableImageError as error:
        raise Refusal(_REASONS[error.reason].format(detail=error.detail)) from error


@dataclass(frozen=True)
class Answerer:
    """Both classifiers of a study, their towers in memory."""

    study: FinishedStudy
    _zero_shot: TowerClassifier = field(init=False, repr=False)
    _finetuned: TowerClassifier = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_zero_shot", self.study.zero_shot.module())
        object.__setattr__(self, "_finetuned", self.study.finetuned.module())

    def answer(self, photo: Image.Image, names: Sequence[str]) -> Answers:
        """Zero-shot for the names, the fine-tuned classifier for its own classes."""
        start = time.perf_counter()
        head = self.study.vocabulary.head(names)
        zero_shot = replace(self.study.zero_shot, classes=tuple(names), head=head)
        said = (
            self._ask(photo, zero_shot, self._zero_shot.under(head)),
            self._ask(photo, self.study.finetuned, self._finetuned),
        )
        return Answers(*said, time.perf_counter() - start)

    def _ask(self, photo: Image.Image, predictor: Predictor, module: TowerClassifier) -> Answer:
        probabilities = predictor.predict_proba(predictor.features([photo], module=module))[0]
        order = np.argsort(-probabilities, kind="stable")
        ranked = tuple((predictor.classes[k], float(probabilities[k])) for k in order)
        try:
            return Answer(ranked, draw_map(predictor, module, photo, ranked[0], self.study.layer))
        except UserFacingError as error:
            return Answer(ranked, None, f"There is no map: {error.what}.")


def draw_map(
    predictor: Predictor,
    module: TowerClassifier,
    photo: Image.Image,
    answer: tuple[str, float],
    layer: str,
) -> Map:
    """The class activation map of an answer; all that this page knows of `explain`.

    Raises: UserFacingError: the tower has no such layer, or the score cannot be explained.
    """
    from sports_clip_pipeline.explain.explainer import Explainer, Prediction

    name, probability = answer
    explainer = Explainer.of_predictor(predictor, layer, MAP_PX, MAP_QUALITY, module)
    said = Prediction("the photograph", label=name, predicted=name, probability=probability)
    card = explainer.gradcam(photo, said, name)
    return Map(name, card.method, card.map_jpeg)
