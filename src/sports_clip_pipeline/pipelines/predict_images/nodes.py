"""The node of `predict_images`: answers to photographs of one's own."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.journal import Journal
from sports_clip_pipeline.pipelines.cam.config import CamConfig
from sports_clip_pipeline.pipelines.predict_images.config import PredictConfig

_LOG = logging.getLogger(__name__)


def answer_photographs(
    predictor: Any, predict: PredictConfig, cam: CamConfig, journal: Journal
) -> tuple[Path, Path, Path]:
    """Answers, files set aside, and maps, as files in the journal's workspace.

    They grow there photograph by photograph, whatever their number; their datasets move them to
    their places.

    Raises: UserFacingError: no photographs are named, or none are there.
    """
    from uuid import uuid4

    from sports_clip_pipeline.corpora.photographs import Photographs
    from sports_clip_pipeline.evaluation.answer_tables import AnswerFiles, write_answers
    from sports_clip_pipeline.models.answering import answer_all

    if not predict.images:
        what, remedy = "names no photographs", "say --params=predict.images=PATH"
        raise UserFacingError("parameter predict.images", what, remedy)
    photographs = Photographs.at(predict.images)
    total = photographs.count()
    # A new name each time: the workspace is emptied of what a killed run has left.
    files = AnswerFiles.within(journal.workspace("answers", uuid4().hex))
    blocks = answer_all(
        photographs, _recipe(predictor, predict, journal), predict.image_rules, predict.processes
    )
    draw = _map_drawer(predictor, predict, cam) if predict.maps else None
    with journal.counting("predict", total, "image") as bar:
        tally = write_answers(blocks, predictor.classes, predictor.threshold, files, bar, draw)
    journal.log_metrics(tally.metrics())
    _LOG.info(tally.in_words())
    return files.answers, files.failed, files.maps


def _recipe(predictor: Any, predict: PredictConfig, journal: Journal) -> Any:
    from sports_clip_pipeline.models.answering import Eager, Exported
    from sports_clip_pipeline.models.export import can_export, kept_export

    eager = predict.backend == "torch" or (predict.backend == "auto" and not can_export(predictor))
    return Eager(predictor) if eager else Exported(kept_export(predictor, journal))


def _map_drawer(predictor: Any, predict: PredictConfig, cam: CamConfig) -> Any:
    """A photograph, its class and that class's probability to a map's JPEG.

    All that this pipeline knows of explanations stands here.
    """
    from sports_clip_pipeline.explain.explainer import Explainer, Prediction
    from sports_clip_pipeline.preprocessing.upright import open_upright

    pictures = (cam.layer, cam.picture_px, cam.picture_quality)
    explainer = Explainer.of_predictor(predictor, *pictures)

    def draw(source: Any, answer: str, probability: float) -> bytes:
        photo = open_upright(source.read(), predict.image_rules).image
        said = Prediction(source.name, "", answer, probability)
        return explainer.gradcam(photo, said, answer).map_jpeg

    return draw
