"""Nodes that judge the study: what its curves are worth, and what to do next."""

from __future__ import annotations

from typing import Any

from sports_clip_pipeline.annotations import Arrays, Document, Table
from sports_clip_pipeline.data.classes import ClassBank
from sports_clip_pipeline.io.state import Journal
from sports_clip_pipeline.pipelines.analysis.config import AnalysisConfig
from sports_clip_pipeline.pipelines.embed.config import EmbedConfig
from sports_clip_pipeline.pipelines.end_to_end.config import EndToEndConfig
from sports_clip_pipeline.pipelines.report.config import ReportConfig


def count_labels_needed(
    finetune_curves: Table,
    trial_probabilities: Arrays,
    splits: Table,
    class_bank: ClassBank,
    analysis: AnalysisConfig,
) -> Table:
    """How many labels each method takes to reach each accuracy."""
    from sports_clip_pipeline.evaluation.learning_curves import labels_needed
    from sports_clip_pipeline.evaluation.zero_shot_evaluation import evaluation_target

    return labels_needed(
        finetune_curves,
        trial_probabilities,
        evaluation_target(splits, class_bank.labels),
        analysis.accuracies,
        analysis.resamples,
        analysis.seed,
    )


def compare_methods(
    finetune_trials: Table,
    trial_probabilities: Arrays,
    zero_shot_predictions: Table,
    splits: Table,
    class_bank: ClassBank,
    analysis: AnalysisConfig,
) -> Table:
    """Every method against the best and against zero-shot, on the same seeds and photographs."""
    from sports_clip_pipeline.evaluation.bootstrap import paired_comparisons
    from sports_clip_pipeline.evaluation.zero_shot_evaluation import (
        evaluation_probabilities,
        evaluation_target,
    )

    return paired_comparisons(
        finetune_trials,
        trial_probabilities,
        evaluation_target(splits, class_bank.labels),
        evaluation_probabilities(zero_shot_predictions),
        analysis.resamples,
        seed=analysis.seed,
    )


def measure_calibration(
    trial_probabilities: Arrays, zero_shot_predictions: Table, splits: Table, class_bank: ClassBank
) -> tuple[Table, Table]:
    """Calibration of every point of the curves and of zero-shot, and its reliability bins."""
    from sports_clip_pipeline.evaluation import calibration
    from sports_clip_pipeline.evaluation.zero_shot_evaluation import (
        evaluation_probabilities,
        evaluation_target,
    )

    zero_shot = {"zero_shot/0/0": evaluation_probabilities(zero_shot_predictions)}
    answers = {**zero_shot, **trial_probabilities}
    target = evaluation_target(splits, class_bank.labels)
    table = calibration.calibration_table(answers, target)
    return calibration.calibration_curves(table), calibration.reliability_table(answers, target)


def trace_classes(
    chosen_trials: Any,
    trial_probabilities: Arrays,
    zero_shot_predictions: Table,
    splits: Table,
    class_bank: ClassBank,
    analysis: AnalysisConfig,
) -> tuple[Table, Table]:
    """Gains of each class from zero-shot to the shipped method, and the confusions that remain."""
    from sports_clip_pipeline.evaluation.recommendation import class_gains, remaining_confusions
    from sports_clip_pipeline.evaluation.zero_shot_evaluation import (
        evaluation_probabilities,
        evaluation_target,
    )

    target = evaluation_target(splits, class_bank.labels)
    best = chosen_trials[max(chosen_trials)].key
    gains = class_gains(
        best.method,
        trial_probabilities,
        target,
        class_bank.labels,
        evaluation_probabilities(zero_shot_predictions),
    )
    answers = [trial_probabilities[best.name]]
    pairs = remaining_confusions(answers, target, class_bank.labels, analysis.confused_pairs)
    return gains, pairs


def measure_abstention(
    predictor: Any,
    test_predictions: Table,
    captions: Table,
    flickr8k_images: Any,
    clip_flickr8k_features: Arrays,
    class_bank: ClassBank,
    journal: Journal,
) -> Document:
    """How often "none of these" is said to sports, and to test captions that name no sport."""
    from sports_clip_pipeline.data.captions import rows_without_mention
    from sports_clip_pipeline.evaluation.abstention import refusal_report, strange_probabilities

    names = {label: class_bank.names(label) for label in class_bank.labels}
    rows = rows_without_mention(captions, names, "test")
    strange = strange_probabilities(
        predictor, flickr8k_images, rows, clip_flickr8k_features["features"], journal
    )
    said = test_predictions
    return refusal_report(
        predictor.threshold,
        said["finetuned_probability"].to_numpy(),
        (said["finetuned_label"] == said["label"]).to_numpy(),
        strange,
        predictor.classes,
    )


def find_label_issues(
    chosen_trials: Any, study_data: Any, class_bank: ClassBank, analysis: AnalysisConfig
) -> Table:
    """Development photographs whose labels the held-out folds of the best arm doubt."""
    from sports_clip_pipeline.fewshot.active_learning import find_issues

    best = chosen_trials[max(chosen_trials)]
    rows = study_data.labelled_rows(best.key)
    return find_issues(
        study_data.splits["image"].iloc[rows].tolist(),
        study_data.target[rows],
        best.fit.held_out,
        class_bank.labels,
        analysis.label_issues,
    )


def query_labels(
    chosen_trials: Any, study_data: Any, class_bank: ClassBank, analysis: AnalysisConfig
) -> Table:
    """Which photographs to label next, were there as many labels as at one fraction."""
    from sports_clip_pipeline.fewshot.active_learning import query_images
    from sports_clip_pipeline.predictor.head import Head, softmax

    fraction = min(chosen_trials, key=lambda share: abs(share - analysis.queried_at_fraction))
    chosen = chosen_trials[fraction]
    labelled, hidden = study_data.labelled_rows(chosen.key), study_data.unlabelled_rows(chosen.key)
    features = Head(study_data.pretrained.scaled(root=True))(study_data.features)
    logits = chosen.fit.head(study_data.features[hidden]) / chosen.fit.temperature
    return query_images(
        study_data.splits["image"].iloc[hidden].tolist(),
        softmax(logits),
        features[hidden],
        features[labelled],
        class_bank.labels,
        analysis.queried_images,
        analysis.seed,
    )


def measure_inference_cost(
    finetune_curves: Table,
    end_to_end_curves: Table,
    embed_audit: Document,
    sports_images: Any,
    cache: Any,
    embed: EmbedConfig,
    pixels: EndToEndConfig,
) -> Table:
    """Accuracy beside its price: parameters and milliseconds a photograph of each method."""
    from sports_clip_pipeline.evaluation.recommendation import inference_cost_table

    if end_to_end_curves.empty:
        return inference_cost_table(finetune_curves, embed_audit["towers"])
    import pandas as pd

    from sports_clip_pipeline.encoders.embedder import encoder_cost

    trained = encoder_cost(embed, pixels.test_size, pixels.views, cache, sports_images)
    curves = pd.concat([finetune_curves, end_to_end_curves], ignore_index=True)
    return inference_cost_table(curves, embed_audit["towers"], trained)


def recommend_method(
    finetune_curves: Table,
    labels_needed: Table,
    paired_comparisons: Table,
    price: Table,
    end_to_end_curves: Table,
    report: ReportConfig,
) -> Document:
    """What to use with how many labels, in words."""
    from sports_clip_pipeline.evaluation.recommendation import recommend

    return {
        "sentences": recommend(
            finetune_curves,
            labels_needed,
            paired_comparisons,
            price,
            report.methods,
            pixels=end_to_end_curves,
        )
    }


def log_evaluation(
    finetune_trials: Table,
    end_to_end_trials: Table,
    finetune_metrics: Document,
    ingest_audit: Document,
) -> Document:
    """The evaluation-log entry of this run; the dataset adds the time and the commit."""
    from sports_clip_pipeline.io.fingerprint import fingerprint

    columns = ["method", "fraction", "seed", "hyperparameters", "top1"]
    seen = [
        *finetune_trials[columns].to_numpy().tolist(),
        *end_to_end_trials[columns].to_numpy().tolist(),
    ]
    return {
        "arms": len(seen),
        "methods": sorted({row[0] for row in seen}),
        "parameters_sha256": fingerprint(seen),
        "data_digest": ingest_audit["data_digest"],
        "chosen": finetune_metrics["best_method"],
        "chosen_top1": finetune_metrics["top1"],
    }
