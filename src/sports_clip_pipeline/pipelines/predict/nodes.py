"""Nodes of `predict`, `predict_images` and `export`."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from sports_clip_pipeline.annotations import Arrays, Table
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.io.state import Journal
from sports_clip_pipeline.pipelines.cam.config import CamConfig
from sports_clip_pipeline.pipelines.predict.config import PredictConfig


def predict_test(
    predictor: Any,
    clip_sports_features: Arrays,
    sports_images: Any,
    sports_manifest: Table,
    splits: Table,
    submission_order: Table,
    journal: Journal,
) -> Table:
    """The shipped classifier's answers, `image,sports`, in the order asked for."""
    import numpy as np

    from sports_clip_pipeline.evaluation.test_predictions import (
        Corpus,
        predict_rows,
        submission_table,
    )

    corpus = Corpus(sports_images, sports_manifest, splits, clip_sports_features)
    best = predict_rows(predictor, corpus, "unlabelled", journal).argmax(axis=1)
    predicted = np.asarray(predictor.classes, dtype=object)[best]
    images = splits.loc[splits["split"] == "unlabelled", "image"]
    return submission_table(submission_order, images, predicted)


def predict_test_without_labels(
    zero_shot_unlabelled_predictions: Table, submission_order: Table
) -> Table:
    """The answers that took no label, in the same form."""
    from sports_clip_pipeline.evaluation.test_predictions import submission_table

    answers = zero_shot_unlabelled_predictions
    test = answers[answers["split"] == "unlabelled"]
    return submission_table(submission_order, test["image"], test["predicted"])


_LOG = logging.getLogger(__name__)


def export_network(predictor: Any, journal: Journal) -> Path:
    """The exported predictor as a folder of the journal's workspace.

    Raises: UserFacingError: it cannot be exported, or says something else than eager torch.
    """
    import json

    from sports_clip_pipeline.predictor.onnx_export import RECORD, cached_export

    folder = cached_export(predictor, journal)
    difference = json.loads((folder / RECORD).read_text(encoding="utf-8"))["parity"]
    journal.log_metrics({"export/parity": difference})
    _LOG.info("probabilities differ from eager torch's by at most %.1e", difference)
    return folder


_LOG = logging.getLogger(__name__)


def predict_images(
    predictor: Any, predict: PredictConfig, cam: CamConfig, journal: Journal
) -> tuple[Path, Path, Path]:
    """Answers, files set aside, and maps, as files in the journal's workspace.

    They grow there photograph by photograph, whatever their number; their datasets move them to
    their places.

    Raises: UserFacingError: no photographs are named, or none are there.
    """
    from uuid import uuid4

    from sports_clip_pipeline.data.user_images import ImageFiles
    from sports_clip_pipeline.predictor.batch_prediction import (
        FAILED,
        MAPS,
        PREDICTIONS,
        predict_all,
        write_predictions,
    )
    from sports_clip_pipeline.predictor.onnx_export import classifier_builder

    if not predict.images:
        what, remedy = "names no photographs", "say --params=predict.images=PATH"
        raise UserFacingError("parameter predict.images", what, remedy)
    photographs = ImageFiles.at(predict.images)
    total = photographs.count()
    # A new name each time: the workspace is emptied of what a killed run has left.
    folder = journal.workspace("answers", uuid4().hex)
    build = classifier_builder(predictor, journal, predict.backend)
    blocks = predict_all(photographs, build, predict.image_rules, predict.processes)
    draw = _map_drawer(predictor, predict, cam) if predict.maps else None
    with journal.counting("predict", total, "image") as bar:
        tally = write_predictions(blocks, predictor.classes, predictor.threshold, folder, bar, draw)
    journal.log_metrics(tally.metrics())
    _LOG.info(tally.summary())
    return folder / PREDICTIONS, folder / FAILED, folder / MAPS


def _map_drawer(predictor: Any, predict: PredictConfig, cam: CamConfig) -> Any:
    """A photograph, its class and that class's probability to a map's JPEG.

    All that this pipeline knows of explanations stands here.
    """
    from sports_clip_pipeline.data.transforms import open_upright
    from sports_clip_pipeline.explain.explainer import Explainer, Prediction

    pictures = (cam.layer, cam.picture_px, cam.picture_quality)
    explainer = Explainer.of_predictor(predictor, *pictures)

    def draw(source: Any, answer: str, probability: float) -> bytes:
        photo = open_upright(source.read(), predict.image_rules).image
        said = Prediction(source.name, "", answer, probability)
        return explainer.explain(photo, said, answer).map_jpeg

    return draw
