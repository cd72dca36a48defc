"""Nodes of `finetune`: the study of label fractions, and the classifier it ships."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sports_clip_pipeline.annotations import Array, Arrays, Document, Table
from sports_clip_pipeline.config.classes import ClassBank
from sports_clip_pipeline.config.finetune import FinetuneConfig
from sports_clip_pipeline.journal import Journal


def select_development(
    splits: Table,
    sports_features: Arrays,
    text_anchors: Arrays,
    clip_model: Path,
    class_bank: ClassBank,
) -> Any:
    """What fitting may see: development photographs, their labels, the text anchors."""
    from sports_clip_pipeline.evaluation.zero_shot import encode_labels
    from sports_clip_pipeline.models.clip_folder import read_projections
    from sports_clip_pipeline.training.methods.interface import TextAnchors
    from sports_clip_pipeline.training.study import StudyData

    rows = (splits["part"] == "development").to_numpy()
    projections = read_projections(clip_model)
    anchors = TextAnchors(
        anchors=text_anchors["anchors"],
        logit_scale=float(text_anchors["logit_scale"][0]),
        image_weight=projections.image_weight,
        image_bias=projections.image_bias,
    )
    development = splits[rows].reset_index(drop=True)
    target = encode_labels(development["label"], class_bank.labels)
    return StudyData(sports_features["features"][rows], target, development, anchors)


def fit_arms(
    study_data: Any,
    splits: Table,
    sports_features: Arrays,
    class_bank: ClassBank,
    embed_audit: Document,
    ingest_audit: Document,
    config: FinetuneConfig,
    journal: Journal,
) -> tuple[Table, Table, Any]:
    """Fit every arm, judge it on the evaluation part, and draw the curves' numbers."""
    from sports_clip_pipeline.evaluation.curves import (
        arms_table,
        choose_best,
        learning_curves,
        score_arm,
    )
    from sports_clip_pipeline.training.study import run_study

    features, target = _evaluation_part(splits, sports_features, class_bank)
    shared = {"tower": embed_audit["image_tower"], "data_digest": ingest_audit["data_digest"]}
    scored = []
    for fitted in run_study(study_data, config, journal):
        arm = score_arm(
            fitted, features, target, len(class_bank.labels), config.bootstrap_resamples
        )
        _log(journal, arm, shared)
        scored.append(arm)
    curves = learning_curves(scored, config.bootstrap_resamples)
    return arms_table(scored), curves, choose_best(scored).fitted


def keep_predictor(best_arm: Any, embed_audit: Document, class_bank: ClassBank) -> Any:
    """The chosen arm as a predictor that stands on its own."""
    from sports_clip_pipeline.models.predictor import Predictor
    from sports_clip_pipeline.preprocessing.images import ImagePreprocessing

    fit = best_arm.fit
    return Predictor(
        classes=class_bank.labels,
        tower=embed_audit["image_tower"],
        preprocessing=ImagePreprocessing.from_dict(embed_audit["preprocessing"]),
        head=fit.head,
        temperature=fit.temperature,
        views=tuple(embed_audit["views"]),
        origin={
            "method": best_arm.arm.method,
            "fraction": best_arm.arm.fraction,
            "seed": best_arm.arm.seed,
            "labels": best_arm.labels,
            "hyperparameters": fit.hyperparameters,
            "cv_top1": fit.cv_top1,
        },
    )


def judge_predictor(
    predictor: Any, splits: Table, sports_features: Arrays, zero_shot_predictions: Table
) -> tuple[Table, Document]:
    """The shipped classifier on the evaluation part, beside the zero-shot answers."""
    from sports_clip_pipeline.evaluation.classification import classification_report
    from sports_clip_pipeline.evaluation.predictions import evaluation_table
    from sports_clip_pipeline.evaluation.zero_shot import encode_labels

    rows = (splits["part"] == "evaluation").to_numpy()
    probabilities = predictor.predict_proba(sports_features["features"][rows])
    target = encode_labels(splits.loc[rows, "label"], predictor.classes)
    zero_shot = zero_shot_predictions[zero_shot_predictions["part"] == "evaluation"]
    report = classification_report(probabilities, target, predictor.classes)
    metrics = {"best_method": predictor.origin["method"], "origin": predictor.origin, **report}
    return evaluation_table(zero_shot, probabilities, predictor.classes), metrics


def _evaluation_part(
    splits: Table, sports_features: Arrays, class_bank: ClassBank
) -> tuple[Array, Array]:
    from sports_clip_pipeline.evaluation.zero_shot import encode_labels

    rows = (splits["part"] == "evaluation").to_numpy()
    target = encode_labels(splits.loc[rows, "label"], class_bank.labels)
    return sports_features["features"][rows], target


def _log(journal: Journal, arm: Any, shared: dict[str, Any]) -> None:
    row, fit = arm.row, arm.fitted.fit
    params = {key: row[key] for key in ("method", "fraction", "seed", "labels")}
    metrics = {
        "test/top1": row["top1"],
        "test/macro_f1": row["macro_f1"],
        "validation/top1": row["cv_top1"],
        "validation/log_loss": row["cv_log_loss"],
        "elapsed_s": row["elapsed_s"],
    }
    journal.log_arm(
        f"{row['method']} {row['fraction']:g} seed {row['seed']}",
        {**params, **shared, **fit.hyperparameters},
        metrics,
        {"reused": str(row["reused"]).lower()},
    )
