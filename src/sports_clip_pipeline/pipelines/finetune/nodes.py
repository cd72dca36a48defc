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
    clip_sports_features: Arrays,
    text_anchors: Arrays,
    zero_shot_head: Any,
    clip_model: Path,
    class_bank: ClassBank,
) -> Any:
    """What fitting may see: development photographs, their labels, what is known without labels."""
    from sports_clip_pipeline.evaluation.zero_shot import encode_labels
    from sports_clip_pipeline.models.clip_folder import read_projections
    from sports_clip_pipeline.models.stacking import stack_towers
    from sports_clip_pipeline.training.methods.interface import TextAnchors
    from sports_clip_pipeline.training.study import StudyData

    rows = (splits["part"] == "development").to_numpy()
    features, widths = stack_towers(clip_sports_features)
    projections = read_projections(clip_model)
    anchors = TextAnchors(
        anchors=text_anchors["anchors"],
        logit_scale=float(text_anchors["logit_scale"][0]),
        image_weight=projections.image_weight,
        image_bias=projections.image_bias,
        widths=widths,
        zero_shot=zero_shot_head,
    )
    development = splits[rows].reset_index(drop=True)
    target = encode_labels(development["label"], class_bank.labels)
    return StudyData(features[rows], target, development, anchors)


def fit_arms(
    study_data: Any,
    splits: Table,
    clip_sports_features: Arrays,
    class_bank: ClassBank,
    embed_audit: Document,
    ingest_audit: Document,
    config: FinetuneConfig,
    journal: Journal,
) -> tuple[Table, Table, Arrays, Any]:
    """Fit every arm, judge it on the evaluation part, and draw the curves' numbers."""
    from sports_clip_pipeline.evaluation import curves
    from sports_clip_pipeline.training.study import read_arm, run_study

    if config.dry_run and config.plan == "features":
        _tell_plan(study_data, config, journal)
    features, target = _evaluation_part(splits, clip_sports_features, class_bank)
    shared = {"tower": embed_audit["image_tower"], "data_digest": ingest_audit["data_digest"]}
    scored = []
    for fitted in run_study(study_data, config, journal):
        arm = curves.score_arm(
            fitted, features, target, len(class_bank.labels), config.bootstrap_resamples
        )
        _log(journal, arm, shared)
        scored.append(arm)
    chosen = curves.choose_each(scored)
    return (
        curves.arms_table(scored),
        curves.learning_curves(scored, config.bootstrap_resamples),
        curves.arm_probabilities(scored),
        {share: read_arm(fitted, journal) for share, fitted in chosen.items()},
    )


def keep_predictors(
    chosen_arms: Any, clip_model: Path, embed_audit: Document, class_bank: ClassBank
) -> tuple[Any, Any]:
    """The chosen arm of the most labels as the predictor, and those of every fraction by name."""
    from functools import partial

    from sports_clip_pipeline.models.clip_folder import read_image_tower
    from sports_clip_pipeline.training.shipping import predictor_of

    tower_weights = read_image_tower(clip_model)
    predictors = {
        fraction: predictor_of(fitted, embed_audit, class_bank.labels, tower_weights)
        for fraction, fitted in chosen_arms.items()
    }
    by_name = {f"{share:g}": partial(predictors.get, share) for share in predictors}
    return predictors[max(predictors)], by_name


def judge_predictor(
    predictor: Any, splits: Table, clip_sports_features: Arrays, zero_shot_predictions: Table
) -> tuple[Table, Document]:
    """The shipped classifier on the evaluation part, beside the zero-shot answers."""
    from sports_clip_pipeline.evaluation.classification import classification_report
    from sports_clip_pipeline.evaluation.predictions import evaluation_table
    from sports_clip_pipeline.evaluation.zero_shot import encode_labels

    rows = (splits["part"] == "evaluation").to_numpy()
    probabilities = predictor.predict_proba(predictor.stack(clip_sports_features)[rows])
    target = encode_labels(splits.loc[rows, "label"], predictor.classes)
    zero_shot = zero_shot_predictions[zero_shot_predictions["part"] == "evaluation"]
    report = classification_report(probabilities, target, predictor.classes)
    metrics = {"best_method": predictor.origin["method"], "origin": predictor.origin, **report}
    return evaluation_table(zero_shot, probabilities, predictor.classes), metrics


def _tell_plan(study_data: Any, config: FinetuneConfig, journal: Journal) -> None:
    from sports_clip_pipeline.errors import DryRun
    from sports_clip_pipeline.training.plan import estimate_plan, plan_in_words

    raise DryRun(plan_in_words(estimate_plan(study_data, config, journal)))


def _evaluation_part(
    splits: Table, clip_sports_features: Arrays, class_bank: ClassBank
) -> tuple[Array, Array]:
    from sports_clip_pipeline.evaluation.zero_shot import evaluation_target
    from sports_clip_pipeline.models.stacking import stack_towers

    rows = (splits["part"] == "evaluation").to_numpy()
    features, _ = stack_towers(clip_sports_features)
    return features[rows], evaluation_target(splits, class_bank.labels)


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
