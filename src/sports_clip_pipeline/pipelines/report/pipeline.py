"""Wiring of the `report` pipeline."""

from kedro.pipeline import Pipeline

from sports_clip_pipeline.pipelines.report import nodes
from sports_clip_pipeline.pipelines.wiring import named_node

# Sections with a figure; each is saved as the dataset `<name>_figure`.
FIGURES = (
    "learning_curve", "paired", "inference_cost", "ablation", "per_class", "class_gains",
    "confusion", "zero_shot_confusion", "reliability", "training_curve", "retrieval", "data_audit",
    "caption_mentions",
)  # fmt: skip
# The fields of `report.sections.StudyResults`; those of parts that did not run are empty.
RESULTS = (
    "zero_shot_metrics", "retrieval_metrics", "finetune_trials", "finetune_curves",
    "finetune_metrics", "test_predictions", "pretrain_history", "ingest_audit", "tokenize_audit",
    "embed_audit", "quarantine", "duplicates", "cam_gallery", "provenance", "end_to_end_trials",
    "end_to_end_curves", "labels_needed", "recommendation", "paired_comparisons", "calibration",
    "reliability", "class_gains", "confusion_pairs", "label_issues", "label_queries", "thumbnails",
    "inference_cost", "ablation", "transduction", "cam_eval_verdicts", "evaluation_log",
)  # fmt: skip


def create_pipeline() -> Pipeline:
    """Results to figures, `metrics.json`, `model_card.md` and `report.html`."""
    return Pipeline([
        named_node(nodes.collect_thumbnails, "thumbnails"),
        named_node(nodes.gather_metrics, "metrics"),
        named_node(nodes.describe_provenance, "provenance"),
        named_node(
            nodes.make_sections,
            {"content": "report_content", **{name: f"{name}_figure" for name in FIGURES}},
            **{name: name for name in RESULTS},
        ),
        named_node(nodes.write_model_card, "model_card"),
        named_node(nodes.write_report, "report"),
    ])  # fmt: skip
