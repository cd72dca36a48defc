"""Nodes of `predict`, `predict_images` and `export`."""

import logging
from pathlib import Path
from typing import Any

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.pipelines.cam.config import CamConfig
from sports_clip_pipeline.pipelines.predict.config import PredictConfig
from sports_clip_pipeline.pipelines.wiring import Arrays, Table

_LOG = logging.getLogger(__name__)


def predict_test(
    predictor: Any,
    clip_sports_features: Arrays,
    sports_images: Any,
    sports_manifest: Table,
    splits: Table,
    submission_order: Table,
    predict_state: RunState,
) -> Table:
    """Submission: predicted classes of the unlabelled images in the listed order."""
    import numpy as np

    from sports_clip_pipeline.evaluation.predictions import (
        LabelledCorpus,
        predict_split,
        submission_table,
    )

    corpus = LabelledCorpus(sports_images, sports_manifest, splits, clip_sports_features)
    best = predict_split(predictor, corpus, "unlabelled", predict_state).argmax(axis=1)
    predicted = np.asarray(predictor.classes, dtype=object)[best]
    images = splits.loc[splits["split"] == "unlabelled", "image"]
    return submission_table(submission_order, images, predicted)


def predict_test_without_labels(
    zero_shot_unlabelled_predictions: Table, submission_order: Table
) -> Table:
    """The answers that took no label, in the same form."""
    from sports_clip_pipeline.evaluation.predictions import submission_table

    table = zero_shot_unlabelled_predictions
    test = table[table["split"] == "unlabelled"]
    return submission_table(submission_order, test["image"], test["predicted"])


def export_network(predictor: Any, predict_state: RunState) -> Path:
    """Export the predictor to ONNX, in a folder of the state's workspace.

    Raises: UserFacingError: it cannot be exported, or its output differs from eager torch.
    """
    import json

    from sports_clip_pipeline.predictor.onnx_export import RECORD, cached_export

    folder = cached_export(predictor, predict_state)
    difference = json.loads((folder / RECORD).read_text(encoding="utf-8"))["parity"]
    predict_state.log_metrics({"export/parity": difference})
    _LOG.info("probabilities differ from eager torch's by at most %.1e", difference)
    return folder


def predict_images(
    predictor: Any, predict: PredictConfig, cam: CamConfig, predict_state: RunState
) -> tuple[Path, Path, Path]:
    """Batch prediction: predictions, failed files and maps, as files in the state's workspace.

    Files are written image by image, whatever their number; datasets move them on saving.

    Raises: UserFacingError: no images are given, or none exist.
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
        what, remedy = "names no images", "use --params=predict.images=PATH"
        raise UserFacingError("parameter predict.images", what, remedy)
    images = ImageFiles.at(predict.images)
    total = images.count()
    # A new name each time: the workspace is emptied of what a killed run has left.
    folder = predict_state.workspace("answers", uuid4().hex)
    build = classifier_builder(predictor, predict_state, predict.backend)
    blocks = predict_all(images, build, predict.image_rules, predict.processes)
    draw = _map_drawer(predictor, predict, cam) if predict.maps else None
    with predict_state.progress_bar("predict", total, "image") as bar:
        tally = write_predictions(blocks, predictor.classes, predictor.threshold, folder, bar, draw)
    predict_state.log_metrics(tally.metrics())
    _LOG.info(tally.summary())
    return folder / PREDICTIONS, folder / FAILED, folder / MAPS


def _map_drawer(predictor: Any, predict: PredictConfig, cam: CamConfig) -> Any:
    """A function from image, predicted class and probability to the JPEG of its map."""
    from sports_clip_pipeline.data.transforms import open_upright
    from sports_clip_pipeline.explain.explainer import Explainer, Prediction
    from sports_clip_pipeline.explain.networks import classifier_network

    network = classifier_network(predictor, cam.layer)
    explainer = Explainer(network, cam.picture_px, cam.picture_quality)

    def draw(source: Any, label: str, probability: float) -> bytes:
        image = open_upright(source.read(), predict.image_rules)
        prediction = Prediction(source.name, "", label, probability)
        return explainer.explain(image, prediction, label).map_jpeg

    return draw
