"""Nodes of `finetune`: frozen and end-to-end trials, and the predictor that is shipped."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from sports_clip_pipeline.data.class_bank import ClassBank
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.pipelines.embed.config import TokenizeConfig
from sports_clip_pipeline.pipelines.finetune.config import EndToEndConfig, FinetuneConfig
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
    from sports_clip_pipeline.encoders.features import concat_features
    from sports_clip_pipeline.evaluation.zero_shot_evaluation import encode_labels
    from sports_clip_pipeline.fewshot.study import StudyData

    rows = (splits["split"] == "development").to_numpy()
    features, widths = concat_features(clip_sports_features)
    projections = read_projections(clip_model)
    pretrained = _pretrained(projections, zero_shot_weights, widths, zero_shot_head)
    development = splits[rows].reset_index(drop=True)
    target = encode_labels(development["label"], class_bank.labels)
    return StudyData(features[rows], target, development, pretrained)


def select_test(splits: Table, clip_sports_features: Arrays, class_bank: ClassBank) -> Arrays:
    """Test data: features of all encoders (N, D), class indices and duplicate groups (N,)."""
    from sports_clip_pipeline.encoders.features import concat_features
    from sports_clip_pipeline.evaluation.zero_shot_evaluation import evaluation_target

    rows = (splits["split"] == "test").to_numpy()
    return {
        "features": concat_features(clip_sports_features)[0][rows],
        "target": evaluation_target(splits, class_bank.labels),
        "groups": splits["group"].to_numpy()[rows],
    }


def fit_trials(
    study_data: Any, test_data: Arrays, config: FinetuneConfig, finetune_state: RunState
) -> tuple[Table, Table, Arrays, Any]:
    """Fit every trial, evaluate it on the test split, and compute the learning curves."""
    from sports_clip_pipeline.evaluation import learning_curves
    from sports_clip_pipeline.evaluation.bootstrap import Bootstrap
    from sports_clip_pipeline.fewshot.study import estimate_plan, run_study
    from sports_clip_pipeline.fewshot.trial import load_trial

    if config.dry_run and config.plan == "frozen":
        _print_plan(estimate_plan(study_data, config, finetune_state))
    features, target = test_data["features"], test_data["target"]
    bootstrap = Bootstrap(config.bootstrap_resamples, groups=test_data["groups"])
    scored = []
    for fitted in run_study(study_data, config, finetune_state):
        logits = fitted.fit.head(features)
        trial = learning_curves.score_trial(fitted, logits, target, bootstrap)
        finetune_state.log_trial(trial.row, "frozen")
        scored.append(trial)
    chosen = learning_curves.best_trials(scored)
    return (
        learning_curves.trials_table(scored),
        learning_curves.learning_curves(scored, bootstrap),
        learning_curves.trial_probabilities(scored),
        {
            share: load_trial(fitted.key, fitted.fingerprint, finetune_state)
            for share, fitted in chosen.items()
        },
    )


def save_predictors(
    chosen_trials: Any,
    ensemble_predictors: Any,
    clip_model: Path,
    embed_audit: Document,
    class_bank: ClassBank,
    config: FinetuneConfig,
) -> tuple[Any, Any]:
    """The predictor of the most labels, and those of every fraction by name.

    An end-to-end ensemble is used where held-out labels favour it.
    """
    from functools import partial

    from sports_clip_pipeline.clip.folder import read_image_encoder
    from sports_clip_pipeline.fewshot.trial import trial_predictor
    from sports_clip_pipeline.predictor.predictor import EncoderInput

    encoders = [EncoderInput.from_dict(row) for row in embed_audit["encoders"]]
    made_with = class_bank.labels, encoders, read_image_encoder(clip_model), config.coverage
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
    end_to_end_state: RunState,
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
    probabilities = predict_split(predictor, corpus, "test", end_to_end_state)
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


def select_end_to_end(
    splits: Table,
    sports_images: Any,
    sports_manifest: Table,
    zero_shot_weights: Arrays,
    clip_model: Path,
    embed_audit: Document,
    class_bank: ClassBank,
    tokenize: TokenizeConfig,
    config: EndToEndConfig,
    end_to_end_state: RunState,
) -> Any:
    """What training may see: development images, labels, encoder, zero-shot weights, prompts."""
    from sports_clip_pipeline.clip.folder import read_image_encoder, read_projections
    from sports_clip_pipeline.evaluation.zero_shot_evaluation import encode_labels
    from sports_clip_pipeline.fewshot.end_to_end_methods import Start
    from sports_clip_pipeline.fewshot.end_to_end_study import EndToEndStudy
    from sports_clip_pipeline.training.classification import ClassPrompts

    projections = read_projections(clip_model)
    pretrained = _pretrained(projections, zero_shot_weights)
    prompts = ClassPrompts(
        class_bank, embed_audit["text_encoder"], tokenize.context_length, projections.text_weight,
        clip_model,
    )  # fmt: skip
    rows = (splits["split"] == "development").to_numpy()
    images = _images(
        "development", splits, sports_images, sports_manifest, embed_audit, config, end_to_end_state
    )
    development = splits[rows].reset_index(drop=True)
    target = encode_labels(development["label"], class_bank.labels)
    start = Start(embed_audit["image_encoder"], pretrained, prompts, read_image_encoder(clip_model))
    return EndToEndStudy(images, target, development, start)


def fit_end_to_end_trials(
    end_to_end_study: Any,
    splits: Table,
    sports_images: Any,
    sports_manifest: Table,
    embed_audit: Document,
    class_bank: ClassBank,
    finetune: FinetuneConfig,
    config: EndToEndConfig,
    end_to_end_state: RunState,
) -> Any:
    """Train the trials if the plan is `end_to_end`; else use those that have finished."""
    if finetune.plan == "end_to_end":
        _refuse_untrainable(end_to_end_study.start)
    if finetune.dry_run and finetune.plan == "end_to_end":
        from sports_clip_pipeline.fewshot.end_to_end_study import estimate_study

        _print_plan(estimate_study(end_to_end_study, config))
    from sports_clip_pipeline.evaluation.learning_curves import score_trial
    from sports_clip_pipeline.evaluation.zero_shot_evaluation import (
        evaluation_bootstrap,
        evaluation_target,
    )
    from sports_clip_pipeline.fewshot.end_to_end_ensemble import EndToEndPredictions
    from sports_clip_pipeline.fewshot.end_to_end_study import (
        finished_end_to_end_trials,
        run_end_to_end_trials,
    )
    from sports_clip_pipeline.predictor.predictor import EncoderInput

    images = _images(
        "test", splits, sports_images, sports_manifest, embed_audit, config, end_to_end_state
    )
    target = evaluation_target(splits, class_bank.labels)
    frozen = tuple(EncoderInput.from_dict(row) for row in embed_audit["encoders"])
    encoder = replace(frozen[0], preprocessing=images.preprocessing, views=config.views)
    predictions = EndToEndPredictions(
        images, class_bank.labels, encoder, frozen, end_to_end_state, finetune.coverage
    )
    trains = finetune.plan == "end_to_end" and not finetune.dry_run
    run = run_end_to_end_trials if trains else finished_end_to_end_trials
    bootstrap = evaluation_bootstrap(splits, finetune.bootstrap_resamples)
    scores = []
    for trial in run(end_to_end_study, config, end_to_end_state):
        logits = predictions.logits(trial)
        if logits is None and trains:
            logits = predictions.evaluate(trial)
        if logits is not None:
            predictions.trials.append(trial)
            scores.append(score_trial(trial, logits, target, bootstrap))
            end_to_end_state.log_trial(scores[-1].row, "end_to_end")
    return predictions, scores, target


def build_end_to_end_ensembles(
    end_to_end_scores: Any,
    end_to_end_study: Any,
    study_data: Any,
    chosen_trials: Any,
    test_data: Arrays,
    finetune: FinetuneConfig,
    finetune_state: RunState,
) -> tuple[Table, Table, Any, Any]:
    """End-to-end trials, also in ensembles with frozen features; which of those to ship."""
    from sports_clip_pipeline.evaluation import learning_curves
    from sports_clip_pipeline.evaluation.bootstrap import Bootstrap
    from sports_clip_pipeline.fewshot.end_to_end_ensemble import build_ensembles

    predictions, scores, target = end_to_end_scores
    ensembles = build_ensembles(
        predictions.trials, end_to_end_study, study_data, finetune, finetune_state
    )
    bootstrap = Bootstrap(finetune.bootstrap_resamples, groups=test_data["groups"])
    for one in ensembles:
        logits = predictions.evaluate_ensemble(one, test_data["features"])
        scores = [*scores, learning_curves.score_trial(one.fitted, logits, target, bootstrap)]
        finetune_state.log_trial(scores[-1].row, "end_to_end")
    return (
        learning_curves.trials_table(scores),
        learning_curves.learning_curves(scores, bootstrap),
        predictions.predictors(ensembles),
        predictions.shipped(ensembles, chosen_trials, study_data),
    )


def _refuse_untrainable(start: Any) -> None:
    """Raises: UserFacingError: the encoder is none of timm's, or its projection is not linear."""
    from sports_clip_pipeline.encoders.weights import is_pair

    if is_pair(start.encoder) or start.pretrained.image_body:
        raise UserFacingError(
            "finetune.plan=end_to_end",
            f"trains a timm encoder under a linear projection; the CLIP model has {start.encoder}"
            + (" under another one" if start.pretrained.image_body else ""),
            "set embed.image_encoder and pretrain.projections so, and run from embed on",
        )


def _pretrained(
    projections: Any,
    zero_shot_weights: Arrays,
    widths: tuple[int, ...] = (),
    zero_shot_head: Any = None,
) -> Any:
    """Zero-shot weights and image projection that trials start from."""
    from sports_clip_pipeline.clip.projections import Pretrained

    return Pretrained(
        zero_shot_weights=zero_shot_weights["weights"],
        logit_scale=float(zero_shot_weights["logit_scale"][0]),
        image_weight=projections.image_weight,
        image_bias=projections.image_bias,
        image_body=projections.image_body,
        widths=widths,
        zero_shot=zero_shot_head,
    )


def _print_plan(estimate: Any) -> None:
    """Raises: DryRun: with the plan's trials, hours and bytes."""
    from sports_clip_pipeline.errors import DryRun
    from sports_clip_pipeline.fewshot.study import describe_plan

    raise DryRun(describe_plan(estimate))


def _images(
    split: str,
    splits: Table,
    sports_images: Any,
    sports_manifest: Table,
    embed_audit: Document,
    config: EndToEndConfig,
    state: RunState,
) -> Any:
    """A split's images as the encoder sees them whole; decoded when first opened."""
    from sports_clip_pipeline.encoders.image_encoders import image_preprocessing
    from sports_clip_pipeline.training.images import images_of_split

    preprocessing = image_preprocessing(embed_audit["image_encoder"], config.test_size, "full")
    return images_of_split(split, splits, sports_images, sports_manifest, preprocessing, state)
