"""Nodes of `predict`: the two submissions for the photographs whose labels nobody has."""

from __future__ import annotations

from typing import Any

from sports_clip_pipeline.annotations import Arrays, Table
from sports_clip_pipeline.journal import Journal


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

    from sports_clip_pipeline.evaluation.predictions import submission_table
    from sports_clip_pipeline.evaluation.shipped import Corpus, answers_of

    corpus = Corpus(sports_images, sports_manifest, splits, clip_sports_features)
    best = answers_of(predictor, corpus, "unlabelled", journal).argmax(axis=1)
    predicted = np.asarray(predictor.classes, dtype=object)[best]
    images = splits.loc[splits["split"] == "unlabelled", "image"]
    return submission_table(submission_order, images, predicted)


def predict_test_without_labels(
    zero_shot_unlabelled_predictions: Table, submission_order: Table
) -> Table:
    """The answers that took no label, in the same form."""
    from sports_clip_pipeline.evaluation.predictions import submission_table

    answers = zero_shot_unlabelled_predictions
    test = answers[answers["split"] == "unlabelled"]
    return submission_table(submission_order, test["image"], test["predicted"])
