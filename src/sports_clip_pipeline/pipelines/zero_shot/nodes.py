"""Nodes of `zero_shot`: text anchors, classification without labels, retrieval."""

from __future__ import annotations

from pathlib import Path

from sports_clip_pipeline.annotations import Arrays, Document, Table
from sports_clip_pipeline.config.classes import ClassBank
from sports_clip_pipeline.config.embed import EmbedConfig
from sports_clip_pipeline.config.tokenize import TokenizeConfig
from sports_clip_pipeline.config.zero_shot import ZeroShotConfig
from sports_clip_pipeline.journal import Journal


def encode_anchors(
    clip_model: Path,
    class_bank: ClassBank,
    config: ZeroShotConfig,
    tokenize: TokenizeConfig,
    embed: EmbedConfig,
) -> Arrays:
    """One unit-norm text embedding a class, ensembled over its prompts."""
    from sports_clip_pipeline.models.anchors import class_anchors
    from sports_clip_pipeline.models.clip_folder import read_projections

    projections = read_projections(clip_model)
    return class_anchors(
        class_bank, config.prompts, projections, embed.text_tower, tokenize, clip_model
    )


def classify_without_labels(
    text_anchors: Arrays,
    clip_model: Path,
    clip_sports_features: Arrays,
    sports_manifest: Table,
    splits: Table,
    class_bank: ClassBank,
) -> Table:
    """Zero-shot probabilities of every sports photograph."""
    from sports_clip_pipeline.evaluation.zero_shot import zero_shot_table
    from sports_clip_pipeline.models.clip_folder import read_projections

    embeddings = read_projections(clip_model).image_embeddings(clip_sports_features["features"])
    return zero_shot_table(embeddings, text_anchors, sports_manifest, splits, class_bank.labels)


def score_zero_shot(
    zero_shot_predictions: Table, class_bank: ClassBank, config: ZeroShotConfig, journal: Journal
) -> Document:
    """Top-1, top-5, macro-F1, per class and confusion on the evaluation part."""
    from sports_clip_pipeline.evaluation.zero_shot import score_table

    metrics = score_table(
        zero_shot_predictions, class_bank.labels, config.bootstrap_resamples, config.seed
    )
    names = ("top1", "top5", "macro_f1")
    journal.log_metrics({f"test/zero_shot_{name}": metrics[name] for name in names})
    return metrics


def score_retrieval(
    clip_model: Path,
    clip_flickr8k_features: Arrays,
    clip_caption_features: Arrays,
    flickr8k_manifest: Table,
    captions: Table,
    journal: Journal,
) -> Document:
    """Recall at 1, 5 and 10 both ways on the caption corpus's test split."""
    from sports_clip_pipeline.evaluation.retrieval import retrieval_metrics
    from sports_clip_pipeline.models.clip_folder import read_projections
    from sports_clip_pipeline.training.locked import pairs_of_split

    features = clip_flickr8k_features["features"], clip_caption_features["features"]
    pairs = pairs_of_split(*features, flickr8k_manifest, captions, "test")
    projections = read_projections(clip_model)
    metrics = retrieval_metrics(
        projections.image_embeddings(pairs.image),
        projections.text_embeddings(pairs.text),
        pairs.owner,
    )
    journal.log_metrics({f"test/t2i_{name}": value for name, value in metrics["t2i"].items()})
    journal.log_metrics({f"test/i2t_{name}": value for name, value in metrics["i2t"].items()})
    return {**metrics, "images": len(pairs.image), "captions": len(pairs.text)}
