"""Wiring of `finetune`: frozen trials, then end-to-end trials."""

from kedro.pipeline import Pipeline

from sports_clip_pipeline.pipelines.finetune import nodes
from sports_clip_pipeline.pipelines.wiring import named_node


def create_pipeline() -> Pipeline:
    """Few-shot trials on frozen features: development labels to learning curves and predictors."""
    return Pipeline([
        named_node(nodes.select_development, "study_data"),
        named_node(nodes.select_test, "test_data"),
        named_node(
            nodes.fit_trials,
            ["finetune_trials", "finetune_curves", "trial_probabilities", "chosen_trials"],
        ),
        named_node(nodes.save_predictors, ["predictor", "fraction_predictors"]),
        named_node(nodes.evaluate_predictor, ["test_predictions", "finetune_metrics"]),
    ], tags="finetune")  # fmt: skip


def create_end_to_end_pipeline() -> Pipeline:
    """Trials that train the image encoder, alone and in ensembles with frozen ones."""
    return Pipeline([
        named_node(nodes.select_end_to_end, "end_to_end_study"),
        named_node(nodes.fit_end_to_end_trials, "end_to_end_scores"),
        named_node(
            nodes.build_end_to_end_ensembles,
            ["end_to_end_trials", "end_to_end_curves", "end_to_end_predictors",
             "ensemble_predictors"],
        ),
    ], tags="finetune")  # fmt: skip
