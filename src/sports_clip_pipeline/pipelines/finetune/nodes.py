"""Nodes of `finetune`: the study of label fractions, and the classifier it ships."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sports_clip_pipeline.data.class_bank import ClassBank
from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.pipelines.analysis.config import AnalysisConfig
from sports_clip_pipeline.pipelines.finetune.config import FinetuneConfig
from sports_clip_pipeline.pipelines.wiring import Arrays, Document, Table


def select_development(
    splits: Table,
    clip_sports_features: Arrays,
    zero_shot_weights: Arrays,
    zero_shot_head: Any,
    clip_model: Path,
    class_bank: ClassBank,
) -> Any:
    """Development data: features, labels, and the pretrained zero-shot classifier."""
    from sports_clip_pipeline.clip.folder import read_projections
    from sports_clip_pipeline.clip.projections import Pretrained
    from sports_clip_pipeline.encoders.feature_store import concat_features
    from sports_clip_pipeline.evaluation.zero_shot_evaluation import encode_labels
    from sports_clip_pipeline.fewshot.study import StudyData

    rows = (splits["split"] == "development").to_numpy()
    features, widths = concat_features(clip_sports_features)
    projections = read_projections(clip_model)
    pretrained = Pretrained(
        zero_shot_weights=zero_shot_weights["weights"],
        logit_scale=float(zero_shot_weights["logit_scale"][0]),
        image_weight=projections.image_weight,
        image_bias=projections.image_bias,
        image_body=projections.image_body,
        widths=widths,
        zero_shot=zero_shot_head,
    )
    development = splits[rows].reset_index(drop=True)
    target = encode_labels(development["label"], class_bank.labels)
    return StudyData(features[rows], target, development, pretrained)


def select_test(splits: Table, clip_sports_features: Arrays, class_bank: ClassBank) -> Arrays:
    """Test data: features of all encoders (N, D) and class indices (N,)."""
    from sports_clip_pipeline.encoders.feature_store import concat_features
    from sports_clip_pipeline.evaluation.zero_shot_evaluation import evaluation_target

    rows = (splits["split"] == "test").to_numpy()
    return {
        "features": concat_features(clip_sports_features)[0][rows],
        "target": evaluation_target(splits, class_bank.labels),
    }


def fit_trials(
    study_data: Any,
    test_data: Arrays,
    class_bank: ClassBank,
    config: FinetuneConfig,
    state: RunState,
) -> tuple[Table, Table, Arrays, Any]:
    """Fit every trial, evaluate it on the test split, and compute the learning curves."""
    from sports_clip_pipeline.evaluation import learning_curves
    from sports_clip_pipeline.fewshot.study import run_study
    from sports_clip_pipeline.fewshot.trial import load_trial

    if config.dry_run and config.plan == "frozen":
        _print_plan(study_data, config, state)
    features, target = test_data["features"], test_data["target"]
    scored = []
    for fitted in run_study(study_data, config, state):
        trial = learning_curves.score_trial(
            fitted, features, target, len(class_bank.labels), config.bootstrap_resamples
        )
        state.log_trial(trial.row, "frozen")
        scored.append(trial)
    chosen = learning_curves.best_trials(scored)
    return (
        learning_curves.trials_table(scored),
        learning_curves.learning_curves(scored, config.bootstrap_resamples),
        learning_curves.trial_probabilities(scored),
        {
            share: load_trial(fitted.key, fitted.fingerprint, state)
            for share, fitted in chosen.items()
        },
    )


def save_predictors(
    chosen_trials: Any,
    ensemble_predictors: Any,
    clip_model: Path,
    embed_audit: Document,
    class_bank: ClassBank,
    analysis: AnalysisConfig,
) -> tuple[Any, Any]:
    """The predictor of the most labels, and those of every fraction by name.

    An end-to-end ensemble is used where held-out labels favour it.
    """
    from functools import partial

    from sports_clip_pipeline.clip.folder import read_image_encoder
    from sports_clip_pipeline.fewshot.trial import trial_predictor
    from sports_clip_pipeline.predictor.predictor import EncoderInput

    encoders = [EncoderInput.from_dict(row) for row in embed_audit["encoders"]]
    made_with = class_bank.labels, encoders, read_image_encoder(clip_model), analysis.coverage
    makers = {
        share: partial(trial_predictor, trial, *made_with) for share, trial in chosen_trials.items()
    }
    makers |= ensemble_predictors
    return makers[max(makers)](), {f"{share:g}": make for share, make in makers.items()}


def evaluate_predictor(
    predictor: Any,
    splits: Table,
    clip_sports_features: Arrays,
    sports_images: Any,
    sports_manifest: Table,
    zero_shot_predictions: Table,
    state: RunState,
) -> tuple[Table, Document]:
    """Evaluate the predictor on the test split, beside the zero-shot predictions."""
    from sports_clip_pipeline.evaluation.metrics import classification_report
    from sports_clip_pipeline.evaluation.predictions import (
        LabelledCorpus,
        predict_split,
        predictions_table,
    )
    from sports_clip_pipeline.evaluation.zero_shot_evaluation import evaluation_target

    corpus = LabelledCorpus(sports_images, sports_manifest, splits, clip_sports_features)
    probabilities = predict_split(predictor, corpus, "test", state)
    target = evaluation_target(splits, predictor.classes)
    zero_shot = zero_shot_predictions[zero_shot_predictions["split"] == "test"]
    report = classification_report(probabilities, target, predictor.classes)
    metrics = {
        "best_method": predictor.origin["method"],
        "origin": predictor.origin,
        "encoders": [encoder.name for encoder in predictor.encoders],
        "temperature": predictor.temperature,
        # Abstention threshold; a predictor without one never abstains.
        "threshold": getattr(predictor, "threshold", None),
        **report,
    }
    return predictions_table(zero_shot, probabilities, predictor.classes), metrics


def _print_plan(study_data: Any, config: FinetuneConfig, state: RunState) -> None:
    from sports_clip_pipeline.errors import DryRun
    from sports_clip_pipeline.fewshot.study import describe_plan, estimate_plan

    raise DryRun(describe_plan(estimate_plan(study_data, config, state)))
