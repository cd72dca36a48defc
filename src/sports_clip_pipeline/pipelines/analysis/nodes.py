"""Nodes of the analysis: comparisons, calibration, abstention, label issues, active learning."""

from typing import Any

from sports_clip_pipeline.data.class_bank import ClassBank
from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.pipelines.analysis.config import AnalysisConfig
from sports_clip_pipeline.pipelines.embed.config import EmbedConfig
from sports_clip_pipeline.pipelines.finetune.config import EndToEndConfig, FinetuneConfig
from sports_clip_pipeline.pipelines.report.config import ReportConfig
from sports_clip_pipeline.pipelines.wiring import Arrays, Document, Table


def count_labels_needed(
    finetune_curves: Table, trial_probabilities: Arrays, test_data: Arrays, analysis: AnalysisConfig
) -> Table:
    """Labels that each method needs to reach each accuracy."""
    from sports_clip_pipeline.evaluation.bootstrap import Bootstrap
    from sports_clip_pipeline.evaluation.learning_curves import labels_needed

    points = finetune_curves, trial_probabilities, test_data["target"]
    bootstrap = Bootstrap(analysis.resamples, analysis.seed, test_data["groups"])
    return labels_needed(*points, analysis.accuracies, bootstrap)


def compare_methods(
    finetune_trials: Table,
    trial_probabilities: Arrays,
    zero_shot_predictions: Table,
    test_data: Arrays,
    analysis: AnalysisConfig,
) -> Table:
    """Paired comparisons of each method with the best and with zero-shot, on the same images."""
    from sports_clip_pipeline.evaluation.bootstrap import Bootstrap, paired_comparisons
    from sports_clip_pipeline.evaluation.zero_shot_evaluation import evaluation_probabilities

    zero_shot = evaluation_probabilities(zero_shot_predictions)
    trials = finetune_trials, trial_probabilities, test_data["target"]
    bootstrap = Bootstrap(analysis.resamples, analysis.seed, test_data["groups"])
    return paired_comparisons(*trials, zero_shot, bootstrap)


def measure_calibration(
    trial_probabilities: Arrays,
    zero_shot_predictions: Table,
    test_data: Arrays,
    analysis: AnalysisConfig,
) -> tuple[Table, Table]:
    """Calibration of zero-shot and of every method and fraction, and their reliability bins."""
    from sports_clip_pipeline.evaluation.calibration import calibration_table, reliability_table
    from sports_clip_pipeline.evaluation.zero_shot_evaluation import evaluation_probabilities

    zero_shot = {"zero_shot/0/0": evaluation_probabilities(zero_shot_predictions)}
    study = {**zero_shot, **trial_probabilities}, test_data["target"], analysis.calibration_bins
    return calibration_table(*study), reliability_table(*study)


def trace_classes(
    chosen_trials: Any,
    trial_probabilities: Arrays,
    zero_shot_predictions: Table,
    test_data: Arrays,
    class_bank: ClassBank,
    analysis: AnalysisConfig,
) -> tuple[Table, Table]:
    """Gains of each class from zero-shot to the shipped method, and the confusions that remain."""
    from sports_clip_pipeline.evaluation.metrics import class_gains, most_confused_pairs
    from sports_clip_pipeline.evaluation.zero_shot_evaluation import evaluation_probabilities

    target, labels = test_data["target"], class_bank.labels
    best = chosen_trials[max(chosen_trials)].key
    zero_shot = evaluation_probabilities(zero_shot_predictions)
    gains = class_gains(best.method, trial_probabilities, target, labels, zero_shot)
    pairs = most_confused_pairs(
        trial_probabilities[best.name], target, labels, analysis.confused_pairs
    )
    return gains, pairs


def measure_abstention(
    predictor: Any,
    test_predictions: Table,
    test_data: Arrays,
    captions: Table,
    flickr8k_images: Any,
    clip_flickr8k_features: Arrays,
    class_bank: ClassBank,
    finetune: FinetuneConfig,
    predict_state: RunState,
) -> Document:
    """Abstention on test images, and on captioned images whose captions name no class."""
    from sports_clip_pipeline.data.captions import rows_without_mention
    from sports_clip_pipeline.evaluation import abstention

    names = {label: class_bank[label].names for label in class_bank.labels}
    rows = rows_without_mention(captions, names, "test")
    ood_probabilities = abstention.out_of_distribution_probabilities(
        predictor, flickr8k_images, rows, clip_flickr8k_features["features"], predict_state
    )
    return abstention.abstention_report(
        predictor.threshold,
        finetune.coverage,
        test_predictions["finetuned_probability"].to_numpy(),
        (test_predictions["finetuned_label"] == test_predictions["label"]).to_numpy(),
        ood_probabilities,
        predictor.classes,
        test_data["groups"],
    )


def find_label_issues(
    chosen_trials: Any, study_data: Any, class_bank: ClassBank, analysis: AnalysisConfig
) -> Table:
    """Likely label issues among the development images, from held-out folds of the best trial."""
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
    """Active learning: the images to label next, given the labels of one fraction."""
    import numpy as np

    from sports_clip_pipeline.fewshot.active_learning import query_images
    from sports_clip_pipeline.predictor.head import Head, softmax

    fraction = min(chosen_trials, key=lambda share: abs(share - analysis.queried_at_fraction))
    chosen = chosen_trials[fraction]
    labelled = study_data.labelled_rows(chosen.key)
    hidden = np.delete(np.arange(len(study_data.target)), labelled)
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
    feature_cache: Any,
    embed: EmbedConfig,
    end_to_end: EndToEndConfig,
) -> Table:
    """Inference cost of each method: parameters and milliseconds an image, beside its accuracy."""
    from sports_clip_pipeline.evaluation.learning_curves import inference_cost_table

    if end_to_end_curves.empty:
        return inference_cost_table(finetune_curves, embed_audit["encoders"])
    import pandas as pd

    from sports_clip_pipeline.encoders.embedder import encoder_cost

    trained = encoder_cost(
        embed, end_to_end.test_size, end_to_end.views, feature_cache, sports_images
    )
    curves = pd.concat([finetune_curves, end_to_end_curves], ignore_index=True)
    return inference_cost_table(curves, embed_audit["encoders"], trained)


def recommend_method(
    finetune_curves: Table,
    labels_needed: Table,
    paired_comparisons: Table,
    inference_cost: Table,
    end_to_end_curves: Table,
    report: ReportConfig,
) -> Document:
    """Recommended method by number of labels, in words."""
    from sports_clip_pipeline.report.recommendation import recommend

    return {
        "paragraphs": recommend(
            finetune_curves,
            labels_needed,
            paired_comparisons,
            inference_cost,
            report.methods,
            end_to_end_curves,
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
    trials = [
        *finetune_trials[columns].to_numpy().tolist(),
        *end_to_end_trials[columns].to_numpy().tolist(),
    ]
    return {
        "trials": len(trials),
        "methods": sorted({row[0] for row in trials}),
        "parameters_sha256": fingerprint(trials),
        "data_digest": ingest_audit["data_digest"],
        "chosen": finetune_metrics["best_method"],
        "chosen_top1": finetune_metrics["top1"],
    }
