"""Wiring of the `report` pipeline."""

from __future__ import annotations

from kedro.pipeline import Pipeline

from sports_clip_pipeline.pipelines.report import nodes
from sports_clip_pipeline.pipelines.wiring import named_node

# Sections with a figure; each is saved as the dataset `<name>_figure`.
FIGURES = (
    "learning_curve", "paired", "inference_cost", "ablation", "per_class", "class_gains",
    "confusion", "zero_shot_confusion", "reliability", "training_curve", "retrieval", "data_audit",
    "caption_mentions",
)  # fmt: skip
# Field of `report.sections.StudyResults` -> dataset.
INPUTS = {
    "zero_shot": "zero_shot_metrics",
    "retrieval": "retrieval_metrics",
    "trials": "finetune_trials",
    "curves": "finetune_curves",
    "finetuned": "finetune_metrics",
    "predictions": "test_predictions",
    "pretrain_history": "pretrain_history",
    "ingest_audit": "ingest_audit",
    "caption_audit": "tokenize_audit",
    "embed_audit": "embed_audit",
    "rejected": "quarantine",
    "duplicates": "duplicates",
    "gallery": "cam_gallery",
    "provenance": "provenance",
    # Empty where a part of the study did not run.
    "end_to_end_trials": "end_to_end_trials",
    "end_to_end_curves": "end_to_end_curves",
    "labels_needed": "labels_needed",
    "recommendation": "recommendation",
    "paired_comparisons": "paired_comparisons",
    "calibration": "calibration",
    "reliability": "reliability",
    "class_gains": "class_gains",
    "confusion_pairs": "confusion_pairs",
    "label_issues": "label_issues",
    "queries": "label_queries",
    "thumbnails": "thumbnails",
    "inference_cost": "inference_cost",
    "ablation": "ablation",
    "transduction": "transduction",
    "map_verdicts": "cam_eval_verdicts",
    "evaluation_log": "evaluation_log",
}


def create_pipeline() -> Pipeline:
    """Results to figures, `metrics.json`, `model_card.md` and `report.html`."""
    blocks = {"report": "params:report", "model_card": "params:model_card"}
    return Pipeline([
        named_node(nodes.collect_thumbnails, "thumbnails"),
        named_node(nodes.gather_metrics, "metrics"),
        named_node(nodes.describe_provenance, "provenance"),
        named_node(
            nodes.make_sections,
            {"content": "report_content", **{name: f"{name}_figure" for name in FIGURES}},
            {**INPUTS, **blocks},
        ),
        named_node(nodes.write_model_card, "model_card"),
        named_node(nodes.write_report, "report"),
    ])  # fmt: skip
