"""Nodes of `predict`: the two submissions for the photographs whose labels nobody has."""

from __future__ import annotations

from typing import Any

from sports_clip_pipeline.annotations import Arrays, Table


def predict_test(
    predictor: Any, sports_features: Arrays, splits: Table, submission_order: Table
) -> Table:
    """The shipped classifier's answers, `image,sports`, in the order asked for."""
    import numpy as np

    from sports_clip_pipeline.evaluation.predictions import submission_table

    rows = (splits["part"] == "unlabelled_test").to_numpy()
    best = predictor.predict_proba(predictor.stack(sports_features)[rows]).argmax(axis=1)
    predicted = np.asarray(predictor.classes, dtype=object)[best]
    return submission_table(submission_order, splits.loc[rows, "image"], predicted)


def predict_test_without_labels(
    zero_shot_unlabelled_predictions: Table, submission_order: Table
) -> Table:
    """The answers that took no label, in the same form."""
    from sports_clip_pipeline.evaluation.predictions import submission_table

    answers = zero_shot_unlabelled_predictions
    test = answers[answers["part"] == "unlabelled_test"]
    return submission_table(submission_order, test["image"], test["predicted"])
