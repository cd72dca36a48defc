"""Wiring of the `report` pipeline."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node

from sports_clip_pipeline.pipelines.report import nodes

FIGURES = (
    "learning_curve_figure",
    "training_curve_figure",
    "retrieval_figure",
    "per_class_figure",
    "confusion_figure",
    "zero_shot_confusion_figure",
    "data_audit_figure",
    "caption_mentions_figure",
    "paired_figure",
    "inference_cost_figure",
    "ablation_figure",
    "class_gains_figure",
    "reliability_figure",
)
RESULTS = (
    "zero_shot_metrics",
    "retrieval_metrics",
    "finetune_trials",
    "finetune_curves",
    "finetune_metrics",
    "test_predictions",
    "pretrain_history",
    "ingest_audit",
    "tokenize_audit",
    "embed_audit",
    "quarantine",
    "duplicates",
    "cam_gallery",
    "provenance",
    "card",
)
# What the model card speaks of.
CARD = (
    "zero_shot_metrics",
    "finetune_metrics",
    "finetune_trials",
    "end_to_end_trials",
    "calibration",
    "pretrain_history",
    "ingest_audit",
    "tokenize_audit",
    "embed_audit",
    "provenance",
)
# What judges the study; empty where a part of the plan did not run.
JUDGED = (
    "end_to_end_curves",
    "labels_needed",
    "recommendation",
    "paired_comparisons",
    "calibration",
    "reliability",
    "class_gains",
    "confusion_pairs",
    "mislabelled",
    "label_queries",
    "thumbnails",
    "inference_cost",
    "ablation",
    "transduction",
    "cam_eval_verdicts",
    "ledger",
)
DRAWN_WITH = ["finetune_curves", "finetune_trials", "params:report"]


def create_pipeline() -> Pipeline:
    """Results to figures, `metrics.json`, `model_card.md` and `report.html`."""
    return _figures() + _judged_figures() + _page()


def _figures() -> Pipeline:
    return Pipeline(
        [
            node(
                nodes.draw_learning_curve,
                [
                    "finetune_curves",
                    "finetune_trials",
                    "zero_shot_metrics",
                    "params:report",
                    "end_to_end_curves",
                ],
                "learning_curve_figure",
                name="draw_learning_curve",
            ),
            node(
                nodes.draw_training_curve,
                "pretrain_history",
                "training_curve_figure",
                name="draw_training_curve",
            ),
            node(
                nodes.draw_retrieval, "retrieval_metrics", "retrieval_figure", name="draw_retrieval"
            ),
            node(
                nodes.draw_confusion, "finetune_metrics", "confusion_figure", name="draw_confusion"
            ),
            node(
                nodes.draw_confusion,
                "zero_shot_metrics",
                "zero_shot_confusion_figure",
                name="draw_zero_shot_confusion",
            ),
            node(
                nodes.draw_per_class,
                ["zero_shot_metrics", "finetune_metrics"],
                "per_class_figure",
                name="draw_per_class",
            ),
            node(
                nodes.draw_data_audit, "ingest_audit", "data_audit_figure", name="draw_data_audit"
            ),
            node(
                nodes.draw_caption_mentions,
                "tokenize_audit",
                "caption_mentions_figure",
                name="draw_caption_mentions",
            ),
        ]
    )


def _judged_figures() -> Pipeline:
    return Pipeline(
        [
            node(
                nodes.draw_paired,
                ["paired_comparisons", *DRAWN_WITH],
                "paired_figure",
                name="draw_paired",
            ),
            node(
                nodes.draw_reliability,
                ["reliability", *DRAWN_WITH],
                "reliability_figure",
                name="draw_reliability",
            ),
            node(
                nodes.draw_price,
                ["inference_cost", *DRAWN_WITH],
                "inference_cost_figure",
                name="draw_price",
            ),
            node(nodes.draw_ablation, "ablation", "ablation_figure", name="draw_ablation"),
            node(
                nodes.draw_class_gains,
                "class_gains",
                "class_gains_figure",
                name="draw_class_gains",
            ),
            node(
                nodes.collect_thumbnails,
                [
                    "mislabelled",
                    "label_queries",
                    "sports_images",
                    "sports_manifest",
                    "params:report",
                ],
                "thumbnails",
                name="collect_thumbnails",
            ),
        ]
    )


def _page() -> Pipeline:
    return Pipeline(
        [
            node(
                nodes.gather_metrics,
                ["zero_shot_metrics", "retrieval_metrics", "finetune_curves", "end_to_end_curves"],
                "metrics",
                name="gather_metrics",
            ),
            node(
                nodes.describe_provenance,
                ["ingest_audit", "embed_audit", "finetune_trials", "params:report"],
                "provenance",
                name="describe_provenance",
            ),
            node(
                nodes.describe_model,
                {
                    "report": "params:report",
                    "model_card": "params:model_card",
                    **{name: name for name in CARD},
                },
                "card",
                name="describe_model",
            ),
            node(nodes.write_model_card, "card", "model_card", name="write_model_card"),
            node(
                nodes.write_report,
                {
                    "report": "params:report",
                    **{name: name for name in (*RESULTS, *JUDGED, *FIGURES)},
                },
                "report",
                name="write_report",
            ),
        ]
    )
