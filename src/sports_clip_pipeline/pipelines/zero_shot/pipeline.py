"""Wiring of `zero_shot`."""

from kedro.pipeline import Pipeline

from sports_clip_pipeline.pipelines.wiring import named_node
from sports_clip_pipeline.pipelines.zero_shot import nodes


def create_pipeline() -> Pipeline:
    """Zero-shot classification and retrieval by the CLIP model."""
    return Pipeline([
        named_node(nodes.encode_class_prompts, "zero_shot_weights"),
        named_node(nodes.build_zero_shot_scores, "zero_shot_scores"),
        named_node(nodes.choose_zero_shot, ["zero_shot_head", "zero_shot_choice"]),
        named_node(nodes.ablate_zero_shot, "ablation"),
        named_node(nodes.classify_without_labels, "zero_shot_predictions"),
        named_node(nodes.learn_without_labels, ["zero_shot_unlabelled_head", "transduction"]),
        named_node(
            nodes.classify_without_labels, "zero_shot_unlabelled_predictions",
            "classify_with_unlabelled", zero_shot_head="zero_shot_unlabelled_head",
        ),
        named_node(nodes.score_zero_shot, "zero_shot_metrics"),
        named_node(nodes.score_retrieval, "retrieval_metrics"),
    ], tags="zero_shot")  # fmt: skip
